/** The execution that is run again: its workflow, where it ran, and its input as the history has it. */
import { useQuery } from "@tanstack/react-query";
import { get } from "../../api/client";
import { firstEvent } from "../execution/history-pages";

export function useOrigin(id: string | null) {
  return useQuery({
    queryKey: ["origin", id],
    enabled: id !== null,
    staleTime: Infinity,
    queryFn: async ({ signal }) => {
      const params = { execution_id: id ?? "" };
      const [execution, started] = await Promise.all([
        get("/v1/workflows/executions/{execution_id}", { params, signal }),
        firstEvent(id ?? "", signal),
      ]);
      return { workflow: execution.workflow_name, deployment: execution.deployment_name, input: started?.input };
    },
  });
}
