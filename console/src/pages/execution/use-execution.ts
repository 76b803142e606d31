/** One execution with its history and explanation, kept up to date by its stream of events. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { explain } from "../../api/explain";
import { get } from "../../api/client";
import type { Schemas } from "../../api/client";
import { follow } from "../../api/stream";

export type Execution = Schemas["WorkflowExecutionResponse"];
const EXECUTION = "/v1/workflows/executions/{execution_id}";
/** The stream does not tell of everything, such as a termination: so often it is asked anyway. */
const SLOW_MILLISECONDS = 5000;
/** Of news that come together, one look is enough. */
const TOGETHER_MILLISECONDS = 250;

export function useExecution(id: string) {
  return useQuery({
    queryKey: ["execution", id, "status"],
    queryFn: ({ signal }) => get(EXECUTION, { params: { execution_id: id }, query: { include_search_keys: true }, signal }),
    refetchInterval: ({ state }) => (state.data?.status === "RUNNING" ? SLOW_MILLISECONDS : false),
  });
}

export function useExplanation(execution: Execution) {
  return useQuery({
    queryKey: ["execution", execution.execution_id, "explanation"],
    enabled: execution.status === "RUNNING",
    queryFn: ({ signal }) => explain(execution.execution_id, signal),
    refetchInterval: 2000,
  });
}

/** Look again whenever the stream of an open execution tells something. */
export function useLive(id: string, isOpen: boolean): void {
  const queries = useQueryClient();
  useEffect(() => {
    if (!isOpen) return;
    const controller = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = () => {
      timer ??= setTimeout(() => {
        timer = undefined;
        void queries.invalidateQueries({ queryKey: ["execution", id] });
      }, TOGETHER_MILLISECONDS);
    };
    const query = { event_source: "LIVE" };
    void follow(`${EXECUTION}/stream`, { params: { execution_id: id }, query, signal: controller.signal, onFrame: look }).then(look);
    return () => {
      controller.abort();
      clearTimeout(timer);
      void queries.invalidateQueries({ queryKey: ["execution", id], refetchType: "none" });
    };
  }, [id, isOpen, queries]);
}
