/** What the events of a history say, in words: pure functions, for the history and the timeline alike. */
import { isObject, writeJson } from "../../api/json";
import type { Json } from "../../api/json";
import type { Tone } from "../../ui/parts";

export type HistoryEvent = { kind: string; event_id: number; recorded_at: string } & { [name: string]: Json };

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
    if (event.kind === "activity_scheduled") names.set(Number(event.seq), String(event.name));
    if (event.kind === "child_scheduled") names.set(Number(event.seq), String(event.execution_id));
  }
  return names;
}

/** What an event is about, in one line. */
export function subjectOf(event: HistoryEvent, names: ReadonlyMap<number, string>): string {
  const failure = isObject(event.failure) ? failureLine(event.failure) : null;
  const name = nameOf(event, names);
  const parts = [name, failure ?? detailOf(event), isObject(event.by_hand) ? handOf(event.by_hand) : ""].filter(Boolean);
  return parts.join(" · ");
}

/** Who gave an outcome by hand, and why. */
function handOf(hand: { [key: string]: Json }): string {
  const why = hand.reason ? `: ${String(hand.reason)}` : "";
  return `by hand, by ${String(hand.key_name ?? hand.key_id)}${why}`;
}

function nameOf(event: HistoryEvent, names: ReadonlyMap<number, string>): string {
  if (typeof event.name === "string") return event.name;
  if (event.kind === "execution_started") return String(event.workflow_name);
  const seq = Number(event.activity ?? event.child ?? event.seq);
  if (isObject(event.event)) return `${String(event.event.task_type)} ${String(event.event.phase)}`;
  return names.get(seq) ?? (event.timer !== undefined || event.kind.startsWith("timer_") ? `#${String(event.timer ?? event.seq)}` : "");
}

function detailOf(event: HistoryEvent): string {
  for (const member of ["result", "input", "values", "fire_at", "handlers"]) {
    const value = event[member];
    if (value !== undefined && value !== null) return member === "fire_at" ? `due ${String(value)}` : brief(value);
  }
  return "";
}

const BRIEF_CHARACTERS = 160;

export function brief(value: Json): string {
  const text = writeJson(value);
  return text.length > BRIEF_CHARACTERS ? `${text.slice(0, BRIEF_CHARACTERS)}…` : text;
}

function failureLine(failure: { [key: string]: Json }): string {
  const type = failure.type ? `${String(failure.type)}: ` : "";
  return `${type}${String(failure.message)}`;
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
