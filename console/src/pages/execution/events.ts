/** What the events of a history say, in words: pure functions, for the history and the timeline alike. */
import { writeJson } from "../../api/json";
import type { Schemas } from "../../api/client";
import type { Tone } from "../../ui/parts";

/** Any event; its kind says which fields it has. */
export type HistoryEvent = Schemas["ShownEvent"];

export const GROUPS: readonly [string, string, (kind: string) => boolean][] = [
  ["", "All events", () => true],
  ["failures", "Failures", (kind) => /failed|timed_out|terminated|handed_over/.test(kind)],
  ["activities", "Activities", (kind) => kind.startsWith("activity_")],
  ["timers", "Timers", (kind) => kind.startsWith("timer_")],
  ["children", "Children", (kind) => kind.startsWith("child_")],
  ["messages", "Messages", (kind) => /^(signal|update|cancel)_/.test(kind)],
  ["tasks", "Custom tasks", (kind) => kind === "task_published"],
];

export function toneOf(kind: string): Tone {
  if (/failed|timed_out/.test(kind)) return "bad";
  if (/terminated|handed_over|cancel/.test(kind)) return "warn";
  if (/completed|fired/.test(kind)) return "good";
  return "quiet";
}

/** `activity_scheduled` as people read it: Activity scheduled. */
export function titleOf(kind: string): string {
  const words = kind.replaceAll("_", " ");
  return words[0]?.toUpperCase() + words.slice(1);
}

/** Names by seq, so that an outcome can say whose it is. */
export function namesOf(events: readonly HistoryEvent[]): Map<number, string> {
  const names = new Map<number, string>();
  for (const event of events) {
    if (event.kind === "activity_scheduled") names.set(event.seq, event.name);
    if (event.kind === "child_scheduled") names.set(event.seq, event.execution_id);
  }
  return names;
}

/** What an event is about, in one line. */
export function subjectOf(event: HistoryEvent, names: ReadonlyMap<number, string>): string {
  const failure = "failure" in event && event.failure ? failureLine(event.failure) : null;
  const hand = "by_hand" in event && event.by_hand ? handOf(event.by_hand) : "";
  return [nameOf(event, names), failure ?? detailOf(event), hand].filter(Boolean).join(" · ");
}

/** Who gave an outcome by hand, and why. */
function handOf(hand: Schemas["ByHand"]): string {
  return `by hand, by ${hand.key_name}${hand.reason ? `: ${hand.reason}` : ""}`;
}

function nameOf(event: HistoryEvent, names: ReadonlyMap<number, string>): string {
  switch (event.kind) {
    case "execution_started":
      return event.workflow_name;
    case "task_published":
      return `${event.event.task_type} ${event.event.phase}`;
    case "timer_started":
    case "timer_fired":
      return `#${event.seq}`;
    case "timer_canceled":
      return `#${event.timer}`;
    default:
      return "name" in event ? event.name : (names.get(seqOf(event) ?? 0) ?? "");
  }
}

/** The seq of the command that an event is about; undefined for what is about none. */
export function seqOf(event: HistoryEvent): number | undefined {
  if ("activity" in event) return event.activity;
  if ("timer" in event) return event.timer;
  if ("child" in event) return event.child;
  return "seq" in event ? event.seq : undefined;
}

function detailOf(event: HistoryEvent): string {
  if ("result" in event && !isNothing(event.result)) return brief(event.result);
  if ("input" in event && !isNothing(event.input)) return brief(event.input);
  if (event.kind === "search_keys_changed") return brief(event.values);
  if (event.kind === "timer_started") return `due ${event.fire_at}`;
  return event.kind === "handlers_unfinished" ? brief(event.handlers) : "";
}

function isNothing(value: unknown): boolean {
  return value === undefined || value === null;
}

const BRIEF_CHARACTERS = 160;

export function brief(value: unknown): string {
  const text = writeJson(value);
  return text.length > BRIEF_CHARACTERS ? `${text.slice(0, BRIEF_CHARACTERS)}…` : text;
}

function failureLine(failure: Schemas["Failure-Output"]): string {
  return `${failure.type ? `${failure.type}: ` : ""}${failure.message}`;
}

/** Events that match a group and a text, whatever its case. */
export function filtered(events: readonly HistoryEvent[], group: string, text: string, names: ReadonlyMap<number, string>): readonly HistoryEvent[] {
  const admits = GROUPS.find(([key]) => key === group)?.[2];
  const wanted = text.trim().toLowerCase();
  if (!wanted && !group) return events;
  return events.filter(
    (event) =>
      (admits?.(event.kind) ?? true) &&
      (!wanted || event.kind.includes(wanted) || subjectOf(event, names).toLowerCase().includes(wanted)),
  );
}
