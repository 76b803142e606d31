/** One schedule: pause it, resume it, trigger it once; its next times and what it has started. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useParams } from "wouter";
import { ApiError, get, post } from "../../api/client";
import { useWho } from "../../api/who";
import { Dialog } from "../../ui/dialog";
import { Badge, Card, Empty, Facts, Loading, PageHead, Problem } from "../../ui/parts";
import { JsonView } from "../../ui/json-view";
import { Ago, exactTime } from "../../ui/time";
import { say } from "../../ui/toasts";
import type { Schedule } from "./schedules";
import { timesOf } from "./times";

const OVERLAPS = ["", "Skip", "Start one afterwards", "Start all afterwards", "Cancel the one before", "Terminate the one before", "Start all at once"];

export default function SchedulePage() {
  const { id = "" } = useParams<{ id: string }>();
  const { data, error } = useQuery({
    queryKey: ["schedule", id],
    queryFn: ({ signal }) => get("/v1/workflows/schedules/{schedule_id}", { params: { schedule_id: id }, signal }),
    refetchInterval: 5000,
  });
  if (error instanceof ApiError && error.status === 404) return <Empty title={`There is no schedule ${id}`} />;
  if (error && !data) return <Problem error={error} />;
  if (!data) return <Loading />;
  return (
    <div className="page">
      <div>
        <PageHead back={<Link href="/schedules">Schedules</Link>} title={data.schedule_id} badge={data.paused ? <Badge tone="warn">Paused</Badge> : <Badge tone="good">Active</Badge>}>
          <ScheduleActions schedule={data} />
        </PageHead>
      </div>
      {data.note && <p className="note">{data.note}</p>}
      <div className="card card-body">
        <Facts
          facts={[
            ["Workflow", <Link href={`/workflows/${data.workflow_name}`}>{data.workflow_name}</Link>],
            ["Deployment", data.deployment_name],
            ["Times", timesOf(data).join("; ")],
            ["Time zone", data.time_zone_name ?? "UTC"],
            ["When times overlap", OVERLAPS[Number(data.policy.overlap)]],
            ["Executions left", data.remaining_executions === null ? "Any number" : String(data.remaining_executions)],
          ]}
        />
      </div>
      <div className="columns">
        <NextTimes schedule={data} />
        <Recent schedule={data} />
        <Card title="Input">
          <div className="card-body">
            <JsonView value={data.input} label="Input" />
          </div>
        </Card>
      </div>
    </div>
  );
}

function ScheduleActions({ schedule }: { schedule: Schedule }) {
  const { mayWrite } = useWho();
  const [isAsking, setAsking] = useState(false);
  const resume = useVerb(schedule, "resume", "It goes on. What was missed meanwhile is not caught up.");
  const trigger = useVerb(schedule, "trigger", "Triggered once");
  return (
    <div className="buttons">
      <button type="button" className="button" disabled={!mayWrite || trigger.isPending} onClick={() => trigger.mutate({})}>
        Trigger now
      </button>
      {schedule.paused ? (
        <button type="button" className="button primary" disabled={!mayWrite || resume.isPending} onClick={() => resume.mutate({})}>
          Resume
        </button>
      ) : (
        <button type="button" className="button" disabled={!mayWrite} onClick={() => setAsking(true)}>
          Pause…
        </button>
      )}
      {isAsking && <PauseDialog schedule={schedule} onClose={() => setAsking(false)} />}
      {[resume.error, trigger.error].map((error, index) => error && <Problem key={index} error={error} />)}
    </div>
  );
}

function useVerb(schedule: Schedule, verb: "pause" | "resume" | "trigger", done: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: { note?: string }): Promise<unknown> =>
      post(`/v1/workflows/schedules/{schedule_id}/${verb}`, { params: { schedule_id: schedule.schedule_id }, body }),
    onSuccess: () => {
      say(done);
      return queries.invalidateQueries({ queryKey: ["schedule", schedule.schedule_id] });
    },
  });
}

function PauseDialog({ schedule, onClose }: { schedule: Schedule; onClose: () => void }) {
  const [note, setNote] = useState("");
  const pause = useVerb(schedule, "pause", "Paused. It starts nothing until it is resumed.");
  return (
    <Dialog title={`Pause ${schedule.schedule_id}?`} onClose={onClose}>
      <p className="quiet">It starts nothing until it is resumed. Executions that run go on.</p>
      <div className="field">
        <label htmlFor="note">Why, for those who find it paused</label>
        <input id="note" className="input" value={note} onChange={(event) => setNote(event.target.value)} />
      </div>
      {pause.error && <Problem error={pause.error} />}
      <div className="buttons">
        <button type="button" className="button" onClick={onClose}>
          Back
        </button>
        <button type="button" className="button primary" disabled={pause.isPending} onClick={() => pause.mutate(note ? { note } : {}, { onSuccess: onClose })}>
          Pause
        </button>
      </div>
    </Dialog>
  );
}

function NextTimes({ schedule }: { schedule: Schedule }) {
  const times = schedule.paused ? [] : schedule.future_executions;
  return (
    <Card title="Next times">
      {times.length === 0 ? (
        <Empty title={schedule.paused ? "None while it is paused" : "None left"} />
      ) : (
        <ul className="card-body stack tight">
          {times.map((one) => (
            <li key={one.scheduled_at} className="side-row">
              <span className="number">{exactTime(one.scheduled_at)}</span>
              <span className="quiet">
                <Ago at={one.scheduled_at} />
              </span>
            </li>
          ))}
        </ul>
      )}
    </Card>
  );
}

function Recent({ schedule }: { schedule: Schedule }) {
  return (
    <Card title="Last executions">
      {schedule.recent_executions.length === 0 ? (
        <Empty title="It has started nothing yet" />
      ) : (
        <ul className="card-body stack tight">
          {schedule.recent_executions.map((one) => (
            <li key={one.execution_id} className="side-row">
              <Link className="truncate" href={`/executions/${one.execution_id}`}>
                {one.execution_id}
              </Link>
              <span className="quiet">
                <Ago at={one.started_at} />
              </span>
            </li>
          ))}
        </ul>
      )}
    </Card>
  );
}
