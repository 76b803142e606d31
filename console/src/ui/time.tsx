/** Times as people read them: how long ago, exact when pointed at, in a zone that the page names. */
import { useSyncExternalStore } from "react";

const ticking = new Set<() => void>();
let now = Date.now();
let timer: ReturnType<typeof setInterval> | undefined;

/** The time, once a second for all who show it. */
export function useNow(): number {
  return useSyncExternalStore(
    (listener) => {
      ticking.add(listener);
      timer ??= setInterval(() => {
        now = Date.now();
        for (const one of ticking) one();
      }, 1000);
      return () => {
        ticking.delete(listener);
        if (ticking.size) return;
        clearInterval(timer);
        timer = undefined;
      };
    },
    () => now,
  );
}

export const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23" });

export function exactTime(iso: string): string {
  return exact.format(new Date(iso));
}

export function clockTime(iso: string): string {
  return clock.format(new Date(iso));
}

const UNITS: readonly [number, string][] = [
  [86_400_000, "d"],
  [3_600_000, "h"],
  [60_000, "min"],
  [1000, "s"],
];

/** A duration in its two largest units: `3 min 20 s`, `840 ms`. */
export function duration(milliseconds: number): string {
  const total = Math.max(0, Math.round(milliseconds));
  if (total < 1000) return `${total} ms`;
  if (total < 10_000) return `${(total / 1000).toFixed(1)} s`;
  const index = UNITS.findIndex(([size]) => total >= size);
  const [size, name] = UNITS[index] ?? [1000, "s"];
  const next = UNITS[index + 1];
  const rest = next ? Math.floor((total % size) / next[0]) : 0;
  return `${Math.floor(total / size)} ${name}${next && rest ? ` ${rest} ${next[1]}` : ""}`;
}

export function Ago({ at }: { at: string }) {
  const passed = useNow() - Date.parse(at);
  const text = passed < 5000 && passed > -5000 ? "just now" : passed > 0 ? `${coarse(passed)} ago` : `in ${coarse(-passed)}`;
  return (
    <time dateTime={at} title={`${exactTime(at)} (${ZONE})`} className="nowrap number">
      {text}
    </time>
  );
}

/** Counts down to a time, in full seconds. */
export function Countdown({ until }: { until: string }) {
  const left = Date.parse(until) - useNow();
  return (
    <time dateTime={until} title={`${exactTime(until)} (${ZONE})`} className="nowrap number">
      {left > 0 ? `in ${coarse(left)}` : "due now"}
    </time>
  );
}

const ISO = /(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?Z)/;

/** A text of the server's, its times written as all others on the page. */
export function Said({ text }: { text: string }) {
  return text.split(ISO).map((part, index) =>
    index % 2 ? (
      <time key={index} dateTime={part} title={part} className="nowrap number">
        {exactTime(part)}
      </time>
    ) : (
      part
    ),
  );
}

/** How long something takes or has taken, and goes on counting while it has no end. */
export function Lasting({ from, until }: { from: string; until?: string | null }) {
  const current = useNow();
  const end = until ? Date.parse(until) : current;
  const passed = end - Date.parse(from);
  return <span className="nowrap number">{until ? duration(passed) : coarse(passed)}</span>;
}

function coarse(milliseconds: number): string {
  return duration(Math.max(1000, Math.floor(milliseconds / 1000) * 1000)).replace(".0 s", " s");
}
