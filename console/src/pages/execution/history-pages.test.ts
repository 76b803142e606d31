import { expect, test } from "vitest";
import type { HistoryEvent } from "./events";
import { joined } from "./history-pages";

const event = (event_id: number) => ({ kind: "timer_fired", event_id, recorded_at: "2026-12-01T10:00:00Z" }) as HistoryEvent;
const history = (...ids: number[]) => ({ run_id: "r", workflow_task_failure: null, events: ids.map(event) });

test("a page follows what is known", () => {
  expect(joined(history(1, 2), { ...history(3), next_after: null }).events.map((one) => one.event_id)).toEqual([1, 2, 3]);
});

test("a page without events leaves the same list, so that nothing is drawn anew", () => {
  const known = history(1, 2);
  expect(joined(known, { ...history(), next_after: null }).events).toBe(known.events);
});

test("a whole history takes the place of what is known", () => {
  expect(joined(history(1, 2), history(1, 2, 3)).events).toHaveLength(3);
  expect(joined(history(1, 2), { ...history(1, 2, 3), next_after: null }).events).toHaveLength(3);
});
