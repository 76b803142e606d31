/** What takes time in a run, and a scale on which idle stretches take little room. Pure functions. */
import type { Tone } from "../../ui/parts";
import { seqOf } from "./events";
import type { HistoryEvent } from "./events";

export interface Span {
  key: string;
  name: string;
  kind: "activity" | "timer" | "child" | "message" | "task";
  start: number;
  /** Undefined while it goes on. */
  end?: number;
  tone: Tone;
  attempts: number;
}

export function spansOf(events: readonly HistoryEvent[]): Span[] {
  const spans = new Map<string, Span>();
  let before = events[0] ? Date.parse(events[0].recorded_at) : 0;
  let recorded = before;
  for (const event of events) {
    const at = Date.parse(event.recorded_at);
    if (at > recorded) [before, recorded] = [recorded, at];
    const begun = beginningOf(event, at);
    if (begun) spans.set(begun.key, begun);
    else end(spans, event, at, before);
  }
  return [...spans.values()];
}

function beginningOf(event: HistoryEvent, start: number): Span | null {
  const open = { start, tone: "running" as Tone, attempts: 1 };
  switch (event.kind) {
    case "activity_scheduled":
      return { ...open, key: String(event.seq), name: event.name, kind: "activity" };
    case "timer_started":
      return { ...open, key: String(event.seq), name: "timer", kind: "timer", tone: "quiet" };
    case "child_scheduled":
      return { ...open, key: String(event.seq), name: event.workflow_name, kind: "child" };
    case "signal_received":
    case "update_requested":
    case "cancel_requested": {
      const at = Date.parse(event.at);
      const name = event.kind === "cancel_requested" ? "cancel request" : event.name;
      return { key: `m${event.number}`, name, kind: "message", start: at, end: at, tone: "warn", attempts: 1 };
    }
    case "task_published":
      if (event.event.phase !== "started") return null;
      return { ...open, key: `t${event.event.task_id}`, name: event.event.task_type, kind: "task" };
    default:
      return null;
  }
}

/** before: what was recorded last before this event's batch: an outcome in the batch of its beginning has lasted from then. */
function end(spans: Map<string, Span>, event: HistoryEvent, recorded: number, before: number): void {
  const span = spans.get(keyOf(event));
  if (!span) return;
  if (event.kind === "activity_handed_over") {
    span.attempts = event.attempt;
    return;
  }
  const task = event.kind === "task_published" ? event.event : null;
  if (task ? task.phase === "in_progress" : !/_(completed|failed|fired|canceled)$/.test(event.kind)) return;
  const at = "at" in event ? Date.parse(event.at) : recorded;
  if (at < span.start) span.start = Math.min(before, at);
  span.end = at;
  const phase = task?.phase ?? event.kind;
  span.tone = /failed|timed_out/.test(phase) ? "bad" : /cancel/.test(phase) ? "warn" : span.kind === "timer" ? "quiet" : "good";
  span.attempts = Math.max(span.attempts, "attempt" in event ? event.attempt : 1);
}

function keyOf(event: HistoryEvent): string {
  return event.kind === "task_published" ? `t${event.event.task_id}` : String(seqOf(event));
}

export interface Scale {
  /** Where a time is, as a percentage of the width. */
  at: (time: number) => number;
  gaps: { from: number; to: number; milliseconds: number }[];
}

const IDLE_PART = 0.15;
const IDLE_WIDTH = 0.15;

/** The times in which any of these goes on, as stretches that do not touch. */
function merged(spans: readonly Span[], last: number): [number, number][] {
  const stretches: [number, number][] = [];
  for (const span of [...spans].sort((one, other) => one.start - other.start)) {
    const before = stretches.at(-1);
    const end = span.end ?? last;
    if (before && span.start <= before[1]) before[1] = Math.max(before[1], end);
    else stretches.push([span.start, end]);
  }
  return stretches;
}

/** A scale from first to last on which stretches without activities and children are cut short; its marks are those of the spans that are shown. */
export function scaleOf(spans: readonly Span[], first: number, last: number, shown = spans): Scale {
  const inside = (time: number) => Math.min(Math.max(time, first), last);
  const times = new Set([first, last, ...shown.flatMap((span) => [inside(span.start), inside(span.end ?? last)])]);
  const marks = [...times].sort((one, other) => one - other);
  const total = Math.max(last - first, 1);
  const busy = merged(spans.filter((span) => span.kind === "activity" || span.kind === "child"), last);
  const stretches = marks.slice(1).map((to, index) => {
    const from = marks[index] ?? first;
    const isIdle = busy.length > 0 && to - from > total * IDLE_PART && !busy.some(([start, end]) => start < to && end > from);
    return { from, to, isIdle };
  });
  const work = stretches.filter((one) => !one.isIdle).reduce((sum, one) => sum + one.to - one.from, 0) || total;
  const widths = stretches.map((one) => (one.isIdle ? Math.min(work * IDLE_WIDTH, one.to - one.from) : one.to - one.from));
  const all = widths.reduce((sum, width) => sum + width, 0) || 1;
  const starts: number[] = [0];
  for (const width of widths) starts.push((starts.at(-1) ?? 0) + (width / all) * 100);
  const at = (time: number) => {
    const index = Math.max(0, stretches.findIndex((one) => inside(time) <= one.to));
    const stretch = stretches[index];
    if (!stretch) return 0;
    const [from = 0, to = 100] = [starts[index], starts[index + 1]];
    return from + ((inside(time) - stretch.from) / Math.max(stretch.to - stretch.from, 1)) * (to - from);
  };
  const gaps = stretches.flatMap((one, index) =>
    one.isIdle ? [{ from: starts[index] ?? 0, to: starts[index + 1] ?? 100, milliseconds: one.to - one.from }] : [],
  );
  return { at, gaps };
}
