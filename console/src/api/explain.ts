/** Why an execution waits, and the repairs that help. Older servers know neither: they say what blocks it, and no more. */
import { ApiError, send } from "./client";
import type { Schemas } from "./client";

export type Failure = Schemas["Failure-Output"];
export interface Wait {
  kind: string;
  message: string;
  since?: string | null;
  until?: string | null;
  seq?: number | null;
  name?: string | null;
  attempt?: number | null;
  max_attempts?: number | null;
  failure?: Failure | null;
  worker?: string | null;
  child_execution_id?: string | null;
  signals?: string[] | null;
  updates?: string[] | null;
  actor: string;
  remedies: string[];
}

export interface Explanation {
  summary: string;
  waits: Wait[];
  /** False where the server only knows what blocks the execution. */
  isWhole: boolean;
}

const EXECUTION = "/v1/workflows/executions/{execution_id}";
const ACTORS: Record<string, string> = { code_failing: "developer", no_worker: "operator", activity_failing: "nobody" };

export async function explain(execution: Schemas["WorkflowExecutionResponse"], signal?: AbortSignal): Promise<Explanation> {
  const params = { execution_id: execution.execution_id };
  try {
    const answer = await send<Omit<Explanation, "isWhole">>("GET", `${EXECUTION}/explain`, { params, signal });
    return { ...answer, isWhole: true };
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return fromBlockers(execution);
    throw error;
  }
}

export function fromBlockers(execution: Schemas["WorkflowExecutionResponse"]): Explanation {
  const waits = (execution.blockers ?? []).map((one): Wait => ({
    kind: one.kind,
    message: one.message,
    since: one.since,
    until: one.next_attempt_at,
    name: one.activity_name,
    attempt: one.attempt,
    failure: one.failure,
    actor: ACTORS[one.kind] ?? "operator",
    remedies: one.kind === "code_failing" ? ["reset"] : [],
  }));
  const summary = waits[0]?.message ?? "Nothing is in its way: it runs, or waits for what its workflow has planned.";
  return { summary, waits, isWhole: false };
}

/** Where a remedy of a wait is applied; null for what has a dialog of its own. */
export function repairPath(wait: Wait, remedy: string): string | null {
  if (remedy === "resume") return `${EXECUTION}/resume`;
  if (wait.seq === null || wait.seq === undefined || remedy === "reset") return null;
  const thing = wait.kind.startsWith("activity_") || wait.kind === "rate_limited" ? "activities" : `${wait.kind === "child" ? "children" : "timers"}`;
  return `${EXECUTION}/${thing}/{seq}/${remedy}`;
}

export function repair(executionId: string, path: string, wait: Wait, body: unknown): Promise<void> {
  return send("POST", path, { params: { execution_id: executionId, seq: String(wait.seq) }, body });
}
