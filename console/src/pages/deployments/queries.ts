/** All deployments, those without a live worker too. */
import { useQuery } from "@tanstack/react-query";
import { get } from "../../api/client";

export function useDeployments() {
  return useQuery({
    queryKey: ["deployments"],
    queryFn: ({ signal }) => get("/v1/workflows/deployments", { query: { active_only: false, limit: 100 }, signal }),
    refetchInterval: 4000,
  });
}
