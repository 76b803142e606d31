/** Why an execution waits, and the repairs that help it. */
import { get, send } from "./client";
import type { Schemas } from "./client";
import type { paths } from "./schema";

export type Failure = Schemas["Failure-Output"];
export type Wait = Schemas["Wait"];
export type WaitKind = Schemas["WaitKind"];
export type Explanation = Schemas["ExecutionExplanation"];
export type Remedy = Schemas["Remedy"];

const EXECUTION = "/v1/workflows/executions/{execution_id}";

export function explain(executionId: string, signal?: AbortSignal): Promise<Explanation> {
  return get(`${EXECUTION}/explain`, { params: { execution_id: executionId }, signal });
}

const ACTIVITY = {
  retry: `${EXECUTION}/activities/{seq}/retry`,
  complete: `${EXECUTION}/activities/{seq}/complete`,
  fail: `${EXECUTION}/activities/{seq}/fail`,
} as const;
const TIMER = { skip: `${EXECUTION}/timers/{seq}/skip` } as const;
const CHILD = { complete: `${EXECUTION}/children/{seq}/complete`, fail: `${EXECUTION}/children/{seq}/fail` } as const;
const PAUSED = { resume: `${EXECUTION}/resume` } as const;
type Paths = Partial<Record<Remedy, keyof paths>>;

const REPAIRS: Partial<Record<WaitKind, Paths>> = {
  activity_queued: ACTIVITY,
  activity_running: ACTIVITY,
  activity_failing: ACTIVITY,
  rate_limited: ACTIVITY,
  timer: TIMER,
  child: CHILD,
  paused: PAUSED,
};

/** Where a remedy of a wait is applied; null for what has a dialog of its own. */
export function repairPath(wait: Wait, remedy: Remedy): keyof paths | null {
  return REPAIRS[wait.kind]?.[remedy] ?? null;
}

export function repair(executionId: string, path: string, wait: Wait, body: unknown): Promise<void> {
  return send("POST", path, { params: { execution_id: executionId, seq: String(wait.seq) }, body });
}
