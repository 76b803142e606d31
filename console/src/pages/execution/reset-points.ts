/** Where an execution can be reset to. A server that does not list the points refuses those that are none, and names the others. */
import { useQuery } from "@tanstack/react-query";
import { ApiError, send } from "../../api/client";
import { namesOf } from "./events";
import type { HistoryEvent } from "./events";

export interface ResetPoint {
  event_id: number;
  kind: string;
  name: string | null;
  recorded_at: string;
}

const EXECUTION = "/v1/workflows/executions/{execution_id}";
const PAGE = 1000;

export function useResetPoints(executionId: string) {
  return useQuery({
    queryKey: ["reset-points", executionId],
    staleTime: 0,
    queryFn: async ({ signal }): Promise<ResetPoint[]> => {
      const params = { execution_id: executionId };
      try {
        return await listed(params, signal);
      } catch (error) {
        if (!(error instanceof ApiError) || error.status !== 404) throw error;
        const { events } = await send<{ events: HistoryEvent[] }>("GET", `${EXECUTION}/history`, { params, signal });
        return fromHistory(events);
      }
    },
  });
}

async function listed(params: { execution_id: string }, signal: AbortSignal): Promise<ResetPoint[]> {
  const points: ResetPoint[] = [];
  let after: number | null = 0;
  while (after !== null) {
    const query = { after, limit: PAGE };
    const page: { points: ResetPoint[]; next_after: number | null } = await send("GET", `${EXECUTION}/reset-points`, { params, query, signal });
    points.push(...page.points);
    after = page.next_after;
  }
  return points;
}

function fromHistory(events: readonly HistoryEvent[]): ResetPoint[] {
  const names = namesOf(events);
  return events.map(({ event_id, kind, recorded_at, seq }) => ({ event_id, kind, recorded_at, name: names.get(Number(seq)) ?? null }));
}
