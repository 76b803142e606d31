/** Whose key this is, and what it may do. */
import { useQuery } from "@tanstack/react-query";
import { createContext, useContext } from "react";
import { get } from "./client";

export interface Who {
  workspace: string;
  role: string;
  /** Whether the key may change executions, workflows and schedules. */
  mayWrite: boolean;
  isAdmin: boolean;
}

export const NOBODY: Who = { workspace: "", role: "", mayWrite: false, isAdmin: false };
export const WhoContext = createContext<Who>(NOBODY);

export function useWho(): Who {
  return useContext(WhoContext);
}

/** Asks once a key. Until the answer is there, nothing may be written. */
export function useWhoAmI(key: string | null) {
  return useQuery<Who>({
    queryKey: ["whoami", key],
    enabled: key !== null,
    staleTime: Infinity,
    placeholderData: (before) => before,
    queryFn: async ({ signal }) => {
      const answer = await get("/v1/workflows/workers/whoami", { signal });
      const role = String(answer.features.role ?? "");
      return {
        workspace: answer.namespace,
        role,
        mayWrite: role === "admin" || role === "client",
        isAdmin: role === "admin",
      };
    },
  });
}
