/** A history, page by page: its first rows are there before the last are read, and later only what is new is asked for. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import type { QueryClient } from "@tanstack/react-query";
import { send } from "../../api/client";
import type { Schemas } from "../../api/client";
import type { HistoryEvent } from "./events";

export type History = Pick<Schemas["WorkflowHistoryResponse"], "run_id" | "workflow_task_failure"> & { events: readonly HistoryEvent[] };

/** next_after: absent where the server answers with the whole history, whatever it is asked for. */
type Page = History & { next_after?: number | null };

const PATH = "/v1/workflows/executions/{execution_id}/history";
const EVENTS_A_PAGE = 1000;

export function useHistory(id: string) {
  const queries = useQueryClient();
  return useQuery({
    queryKey: keyOf(id),
    structuralSharing: false, // comparing tens of thousands of events takes longer than showing them
    queryFn: ({ signal }) => read(id, queries, signal),
  });
}

function keyOf(id: string) {
  return ["execution", id, "history"];
}

/** Read what follows the events that are known. A reset has begun another run: then from its start. */
async function read(id: string, queries: QueryClient, signal: AbortSignal): Promise<History> {
  let known = queries.getQueryData<History>(keyOf(id));
  for (;;) {
    const after = known?.events.at(-1)?.event_id ?? 0;
    const page = await pageOf(id, after, signal);
    if (known && known.run_id !== page.run_id && after > 0) {
      known = undefined;
      continue;
    }
    known = joined(known, page);
    if (page.next_after === null || page.next_after === undefined) return known;
    queries.setQueryData(keyOf(id), known);
  }
}

function pageOf(id: string, after: number, signal: AbortSignal): Promise<Page> {
  return send("GET", PATH, { params: { execution_id: id }, query: { after, limit: EVENTS_A_PAGE }, signal });
}

/** Add a page to what is known; a whole history takes its place. */
export function joined(known: History | undefined, page: Page): History {
  const { next_after, ...rest } = page;
  const first = page.events[0]?.event_id ?? Infinity;
  const last = known?.events.at(-1)?.event_id ?? 0;
  if (!known || next_after === undefined || first <= last) return rest;
  return { ...rest, events: page.events.length ? [...known.events, ...page.events] : known.events };
}

/** The events of one kind. */
export async function eventsOfKind(id: string, kind: HistoryEvent["kind"], signal: AbortSignal): Promise<HistoryEvent[]> {
  const found: HistoryEvent[] = [];
  let after: number | null | undefined = 0;
  while (typeof after === "number") {
    const page: Page = await send("GET", PATH, { params: { execution_id: id }, query: { after, limit: EVENTS_A_PAGE, kinds: [kind] }, signal });
    found.push(...page.events.filter((event) => event.kind === kind));
    after = page.next_after;
  }
  return found;
}
