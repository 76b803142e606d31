/** The execution that is run again: its workflow, where it ran, and its input. */
import { useQuery } from "@tanstack/react-query";
import { get } from "../../api/client";

export function useOrigin(id: string | null) {
  return useQuery({
    queryKey: ["origin", id],
    enabled: id !== null,
    staleTime: Infinity,
    queryFn: async ({ signal }) => {
      const params = { execution_id: id ?? "" };
      const execution = await get("/v1/workflows/executions/{execution_id}", { params, query: { include_input: true }, signal });
      return { workflow: execution.workflow_name, deployment: execution.deployment_name, input: execution.input };
    },
  });
}
