/** Where an execution can be reset to. */
import { useQuery } from "@tanstack/react-query";
import { get } from "../../api/client";
import type { Schemas } from "../../api/client";

const PAGE = 1000;

export function useResetPoints(executionId: string) {
  return useQuery({
    queryKey: ["reset-points", executionId],
    staleTime: 0,
    queryFn: async ({ signal }) => {
      const points: Schemas["ResetPointResponse"][] = [];
      let after: number | null = 0;
      while (after !== null) {
        const page: Schemas["ResetPointsResponse"] = await get("/v1/workflows/executions/{execution_id}/reset-points", {
          params: { execution_id: executionId },
          query: { after, limit: PAGE },
          signal,
        });
        points.push(...page.points);
        after = page.next_after;
      }
      return points;
    },
  });
}
