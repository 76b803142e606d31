import { expect, test } from "vitest";
import type { HistoryEvent } from "./events";
import { scaleOf, spansOf } from "./spans";

const T0 = Date.parse("2026-12-01T10:00:00Z");
const at = (seconds: number) => new Date(T0 + seconds * 1000).toISOString();
const event = (kind: string, seconds: number, more: object = {}) => ({ kind, event_id: 1, recorded_at: at(seconds), ...more }) as HistoryEvent;

test("an activity that ended in the batch of its beginning has lasted from what was recorded before", () => {
  const [span] = spansOf([
    event("execution_started", 0),
    event("activity_scheduled", 5, { seq: 1, name: "charge" }),
    event("activity_completed", 5, { seq: 1, at: at(4) }),
  ]);
  expect(span).toMatchObject({ name: "charge", start: T0, end: T0 + 4000, tone: "good" });
});

test("an activity that is tried again goes on, and its attempts are counted", () => {
  const [span] = spansOf([
    event("execution_started", 0),
    event("activity_scheduled", 1, { seq: 1, name: "charge" }),
    event("activity_handed_over", 2, { activity: 1, attempt: 3 }),
  ]);
  expect(span).toMatchObject({ attempts: 3, tone: "running" });
  expect(span?.end).toBeUndefined();
});

test("days in which nothing is done take little room, and what is done takes the rest", () => {
  const spans = spansOf([
    event("execution_started", 0),
    event("activity_scheduled", 0, { seq: 1, name: "charge" }),
    event("activity_completed", 10, { seq: 1, at: at(10) }),
    event("timer_started", 10, { seq: 2 }),
    event("timer_fired", 86_400, { seq: 2, at: at(86_400) }),
    event("activity_scheduled", 86_400, { seq: 3, name: "ship" }),
    event("activity_completed", 86_410, { seq: 3, at: at(86_410) }),
  ]);
  const scale = scaleOf(spans, T0, T0 + 86_410_000);
  expect(scale.gaps).toHaveLength(1);
  expect(scale.at(T0 + 10_000)).toBeGreaterThan(40);
  expect(scale.at(T0 + 86_410_000)).toBeCloseTo(100);
});
