/** Inputs that workflows wait for people to give: read from histories, so that they are known without a live worker. */
import { useQuery } from "@tanstack/react-query";
import { get } from "../../api/client";
import { isObject } from "../../api/json";
import type { Schema } from "../../ui/schema-form/schema";
import type { HistoryEvent } from "../execution/events";
import { eventsOfKind } from "../execution/history-pages";

/** Set by `InteractiveWorkflow` while it waits. */
const WAITING = "internal.execution.state==:waiting_for_input";
export const MOST_SHOWN = 30;

export interface Pending {
  executionId: string;
  workflow: string;
  taskId: string;
  label: string | null;
  schema: Schema;
  since: string;
}

export function usePending() {
  return useQuery({
    queryKey: ["inbox"],
    refetchInterval: 4000,
    queryFn: async ({ signal }) => {
      const runs = await get("/v1/workflows/runs", { query: { status: ["RUNNING"], search_key: [WAITING], page_size: MOST_SHOWN } as never, signal });
      const found = await Promise.all(
        runs.executions.map(async (run) => {
          const events = await eventsOfKind(run.execution_id, "task_published", signal);
          return pendingIn(events, run.execution_id, run.workflow_name);
        }),
      );
      return { pending: found.flat(), hasMore: runs.next_page_token !== null };
    },
  });
}

/** The waits of a history that have begun and not ended. */
export function pendingIn(events: readonly HistoryEvent[], executionId: string, workflow: string): Pending[] {
  const waits = new Map<string, Pending>();
  for (const shown of events) {
    if (shown.kind !== "task_published" || shown.event.task_type !== "wait_for_input") continue;
    const { event, recorded_at } = shown;
    const taskId = event.task_id;
    if (event.phase !== "started") waits.delete(taskId);
    else if (isObject(event.payload) && isObject(event.payload.input_schema)) {
      const label = typeof event.payload.label === "string" ? event.payload.label : null;
      waits.set(taskId, { executionId, workflow, taskId, label, schema: event.payload.input_schema, since: recorded_at });
    }
  }
  return [...waits.values()];
}
