/** Batch jobs, as the API has them, and in the words of the pages. */
import type { Schemas } from "../../api/client";
import type { Tone } from "../../ui/parts";

export type Job = Schemas["BatchJobResponse"];
export type Action = Job["action"];
export type Kind = Action["kind"];

export const ACTIONS: Record<Kind, { name: string; means: string }> = {
  retry: { name: "Retry now", means: "The next attempts of all activities that have failed begin now." },
  cancel: { name: "Cancel", means: "Each workflow is asked to end, and may clean up first." },
  terminate: { name: "Terminate", means: "Each ends at once. Its workflow code gets no say, and nothing is cleaned up." },
  signal: { name: "Signal", means: "Each open execution is sent a signal." },
  reset: { name: "Reset", means: "Each takes its last step again, open or closed." },
  rerun: { name: "Run again", means: "Each closed execution is started once more, under another id." },
};

const STATUSES: Record<Job["status"], [Tone, string]> = {
  RUNNING: ["running", "Running"],
  COMPLETED: ["good", "Completed"],
  ABORTED: ["warn", "Aborted"],
  FAILED: ["bad", "Gave up"],
};

export function statusOf(job: Job): [Tone, string] {
  return STATUSES[job.status];
}

const SKIPPED: Record<string, string> = {
  ended: "ended before",
  open: "still open",
  child: "children",
  not_applicable: "not applicable",
  gone: "gone",
};

/** Why executions were skipped, such as `3 ended before, 1 still open`. */
export function skippedOf(job: Job): string {
  return Object.entries(job.skipped_because)
    .map(([reason, count]) => `${count} ${SKIPPED[reason] ?? reason}`)
    .join(", ");
}

/** The filter in one line, such as `status FAILED, workflow_identifier order`. */
export function filterOf(job: Job): string {
  const parts = Object.entries(job.filter).map(([name, value]) => `${name} ${Array.isArray(value) ? value.join(" or ") : String(value)}`);
  return parts.join(", ") || "every execution";
}
