/** Goes on from an earlier event with the code of today: with a new run, or in another execution. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useLocation } from "wouter";
import { ApiError, post } from "../../api/client";
import type { Schemas } from "../../api/client";
import { isObject } from "../../api/json";
import { Dialog } from "../../ui/dialog";
import { Problem } from "../../ui/parts";
import { say } from "../../ui/toasts";
import { clockTime } from "../../ui/time";
import { titleOf } from "./events";
import { useResetPoints } from "./reset-points";

const MOST_LISTED = 300;

export function ResetDialog({ executionId, onClose }: { executionId: string; onClose: () => void }) {
  const points = useResetPoints(executionId);
  const [eventId, setEventId] = useState("1");
  const [reason, setReason] = useState("");
  const [isFork, setFork] = useState(false);
  const [, go] = useLocation();
  const queries = useQueryClient();
  const reset = useMutation({
    mutationFn: () => goOn(executionId, Number(eventId), reason, isFork),
    onSuccess: async (forked) => {
      say(`${forked ? "Another execution" : "A new run"} goes on from event ${eventId}`);
      await queries.invalidateQueries({ queryKey: ["execution", executionId] });
      onClose();
      if (forked) go(`/executions/${forked.execution_id}`);
    },
  });
  const valid = validIn(reset.error);
  const all = points.data ?? [];
  const choices = (valid ? all.filter((point) => valid.includes(point.event_id)) : all).slice(-MOST_LISTED);
  return (
    <Dialog title="Reset the execution" onClose={onClose}>
      <p className="quiet">
        {isFork ? "Another execution" : "A new run"} keeps the history up to an event, and goes on from there with the code of today.{" "}
        {isFork ? "This one does not notice." : "A run that is open ends."}
      </p>
      <div className="field">
        <label htmlFor="event">Last event that is kept</label>
        <select id="event" className="select" value={eventId} onChange={(event) => setEventId(event.target.value)}>
          {choices.map((point) => (
            <option key={point.event_id} value={point.event_id}>
              {[point.event_id, titleOf(point.kind), point.name, clockTime(point.recorded_at)].filter(Boolean).join(" · ")}
            </option>
          ))}
        </select>
      </div>
      <div className="field">
        <label htmlFor="why">Reason</label>
        <input id="why" className="input" value={reason} onChange={(event) => setReason(event.target.value)} />
      </div>
      <label className="check">
        <input type="checkbox" checked={isFork} onChange={(event) => setFork(event.target.checked)} />
        In another execution, beside this one
      </label>
      {points.error && <Problem error={points.error} />}
      {reset.error && <Problem error={reset.error} />}
      <div className="buttons">
        <button type="button" className="button" onClick={onClose}>
          Back
        </button>
        <button type="button" className="button primary" disabled={reset.isPending || !eventId} onClick={() => reset.mutate()}>
          {isFork ? "Fork" : "Reset"}
        </button>
      </div>
    </Dialog>
  );
}

async function goOn(executionId: string, eventId: number, reason: string, isFork: boolean): Promise<Schemas["WorkflowExecutionResponse"] | null> {
  const params = { execution_id: executionId };
  const body = { event_id: eventId, reason: reason || null, exclude_signals: false, exclude_updates: false };
  if (isFork) return post("/v1/workflows/executions/{execution_id}/fork", { params, body });
  await post("/v1/workflows/executions/{execution_id}/reset", { params, body });
  return null;
}

/** The events that the server names as possible, once it has refused another. */
function validIn(error: unknown): number[] | null {
  if (!(error instanceof ApiError) || !isObject(error.body)) return null;
  const valid = error.body.valid_reset_events;
  return Array.isArray(valid) ? valid.map(Number) : null;
}
