/** The first look: timeline, input, and what came of it. */
import { Card, Loading } from "../../ui/parts";
import type { Json } from "../../api/json";
import { JsonView } from "../../ui/json-view";
import { FailureView } from "./failure";
import { Timeline } from "./timeline";
import type { History } from "./history-pages";
import type { Execution } from "./use-execution";

export function Overview({ execution, history }: { execution: Execution; history: History | undefined }) {
  const events = history?.events;
  const started = events?.find((event) => event.kind === "execution_started");
  return (
    <div className="stack">
      <Card title="Timeline">{events ? <Timeline events={events} endedAt={execution.end_time} /> : <Loading />}</Card>
      <div className="columns">
        <Card title="Input">
          <div className="card-body">{started ? <JsonView value={(started.input ?? null) as Json} label="Input" /> : <Loading rows={2} />}</div>
        </Card>
        <Card title={execution.failure ? "Failure" : "Result"}>
          <div className="card-body">
            <Outcome execution={execution} />
          </div>
        </Card>
      </div>
    </div>
  );
}

function Outcome({ execution }: { execution: Execution }) {
  if (execution.failure) return <FailureView failure={execution.failure} />;
  if (execution.status === "RUNNING") return <p className="quiet">It is still running.</p>;
  if (execution.status === "COMPLETED") return <JsonView value={execution.result} label="Result" />;
  return <p className="quiet">It has no result.</p>;
}
