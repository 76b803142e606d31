/** Listings of executions, as the address of a page asks for them. */
import { useInfiniteQuery } from "@tanstack/react-query";
import type { InfiniteData } from "@tanstack/react-query";
import { get } from "../../api/client";
import type { Schemas } from "../../api/client";

export type Run = Schemas["ListedExecution"];
type Page = Schemas["WorkflowExecutionListResponse"];
export type RunsQuery = NonNullable<Parameters<typeof get<"/v1/workflows/runs">>[1]>["query"];

const REFRESH_MILLISECONDS = 3000;
const MOST_PAGES_REFRESHED = 3;

/** A text with a colon is looked for in search keys: `order:42`. Anything else in ids and names of workflows. */
export function queryOf(address: URLSearchParams): RunsQuery {
  const text = address.get("q") ?? "";
  const byKey = /^[\w-]+:/.test(text);
  const since = Number(address.get("hours"));
  return {
    status: (address.get("status")?.split(",") ?? undefined) as Schemas["ExecutionStatus"][] | undefined,
    workflow_identifier: address.get("workflow") ?? undefined,
    deployment_name: address.get("deployment") ?? undefined,
    root_execution_id: address.get("root") ?? undefined,
    search: text && !byKey ? text : undefined,
    search_key: byKey ? [text] : undefined,
    is_blocked: address.get("blocked") === "1" || undefined,
    start_time_after: since ? startOf(since) : undefined,
    include_blockers: true,
    page_size: 50,
  } as RunsQuery;
}

/** In full minutes, so that the same filter is the same query for a while. */
function startOf(hours: number): string {
  const minute = 60_000;
  return new Date(Math.floor((Date.now() - hours * 60 * minute) / minute) * minute).toISOString();
}

export function useRuns(query: RunsQuery) {
  return useInfiniteQuery<Page, Error, InfiniteData<Page>, [string, RunsQuery], string | null>({
    queryKey: ["runs", query],
    initialPageParam: null,
    queryFn: ({ pageParam, signal }) =>
      get("/v1/workflows/runs", { query: { ...query, next_page_token: pageParam ?? undefined } as RunsQuery, signal }),
    getNextPageParam: (page) => page.next_page_token,
    refetchInterval: ({ state }) =>
      (state.data?.pages.length ?? 0) <= MOST_PAGES_REFRESHED ? REFRESH_MILLISECONDS : false,
    placeholderData: (before) => before,
  });
}
