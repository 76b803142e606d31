/** The execution that is run again: its workflow, where it ran, and its input as the history has it. */
import { useQuery } from "@tanstack/react-query";
import { get } from "../../api/client";
import type { Json } from "../../api/json";

export function useOrigin(id: string | null) {
  return useQuery({
    queryKey: ["origin", id],
    enabled: id !== null,
    staleTime: Infinity,
    queryFn: async ({ signal }) => {
      const params = { execution_id: id ?? "" };
      const [execution, history] = await Promise.all([
        get("/v1/workflows/executions/{execution_id}", { params, signal }),
        get("/v1/workflows/executions/{execution_id}/history", { params, signal }),
      ]);
      const started = history.events[0] as { input?: Json } | undefined;
      return { workflow: execution.workflow_name, deployment: execution.deployment_name, input: started?.input };
    },
  });
}
