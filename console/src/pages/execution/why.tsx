/** Why an execution does not go on: one sentence, then everything that it waits for, each with what helps. */
import { useState } from "react";
import { Link } from "wouter";
import type { Explanation, Wait, WaitKind } from "../../api/explain";
import { useWho } from "../../api/who";
import { Badge, Problem } from "../../ui/parts";
import type { Tone } from "../../ui/parts";
import { Ago, Countdown, Said } from "../../ui/time";
import { FailureView } from "./failure";
import { RemedyButton, RemedyDialog } from "./remedies";
import type { Chosen } from "./remedies";
import type { Execution } from "./use-execution";
import { useExplanation } from "./use-execution";

const KINDS: Record<WaitKind, [Tone, string]> = {
  starting: ["running", "Starting"],
  workflow_task_queued: ["running", "Queued"],
  activity_queued: ["running", "Activity queued"],
  activity_running: ["running", "Activity runs"],
  activity_failing: ["warn", "Activity fails"],
  rate_limited: ["warn", "Rate limit"],
  timer: ["running", "Timer"],
  child: ["running", "Child"],
  condition: ["running", "Condition"],
  code_failing: ["bad", "Code fails"],
  no_worker: ["bad", "No worker"],
  parked: ["bad", "Parked"],
  cancel_requested: ["warn", "Being cancelled"],
  paused: ["warn", "Paused"],
};
const ACTORS: Record<Wait["actor"], string> = {
  nobody: "Goes on by itself",
  worker: "A worker has to act",
  caller: "A caller has to act",
  operator: "An operator has to act",
  developer: "A developer has to act",
};
const MOST_SHOWN = 20;
const SUBMIT_INPUT = "__submit_input";

export function Why({ execution }: { execution: Execution }) {
  const { data, error } = useExplanation(execution);
  if (error) return <Problem error={error} />;
  if (!data) return null;
  return <Explained explanation={data} execution={execution} />;
}

function Explained({ explanation, execution }: { explanation: Explanation; execution: Execution }) {
  const { summary, waits } = explanation;
  const [chosen, setChosen] = useState<Chosen | null>(null);
  const tone = waits[0] ? KINDS[waits[0].kind][0] : "running";
  return (
    <section className={`why card ${tone}`} aria-labelledby="why">
      <div className="card-head">
        <h2 id="why">Why it waits</h2>
      </div>
      {(waits.length !== 1 || !isSame(summary, waits[0]?.message)) && (
        <p className="why-summary">
          <Said text={summary} />
        </p>
      )}
      <div className="waits">
        {waits.slice(0, MOST_SHOWN).map((wait, index) => (
          <WaitRow key={wait.seq ?? `${wait.kind}-${index}`} wait={wait} execution={execution} onChoose={setChosen} />
        ))}
      </div>
      {chosen && <RemedyDialog chosen={chosen} execution={execution} onClose={() => setChosen(null)} />}
      {waits.length > MOST_SHOWN && <p className="card-body quiet">And {waits.length - MOST_SHOWN} more.</p>}
    </section>
  );
}

/** The summary of a single wait says the same again, as a sentence. */
function isSame(summary: string, message: string | undefined): boolean {
  return summary.replace(/\.$/, "").toLowerCase() === message?.replace(/\.$/, "").toLowerCase();
}

interface RowProps {
  wait: Wait;
  execution: Execution;
  onChoose: (chosen: Chosen) => void;
}

function WaitRow({ wait, execution, onChoose }: RowProps) {
  const [tone, title] = KINDS[wait.kind];
  const { mayWrite } = useWho();
  return (
    <div className="wait">
      <span className={`wait-mark ${tone}`} />
      <div className="stack tight">
        <div>
          <Badge tone={tone}>{title}</Badge> {wait.name && <strong>{wait.name}</strong>} <Said text={wait.message} />
        </div>
        <div className="quiet small">
          <Details wait={wait} />
        </div>
        {wait.failure && <FailureView failure={wait.failure} />}
      </div>
      <div className="wait-side">
        <Talk wait={wait} execution={execution} />
        {wait.remedies.map((remedy) => (
          <RemedyButton key={remedy} remedy={remedy} wait={wait} execution={execution} isDisabled={!mayWrite} onChoose={onChoose} />
        ))}
      </div>
    </div>
  );
}

/** A condition is met by a message: the way to where it is sent. */
function Talk({ wait, execution }: { wait: Wait; execution: Execution }) {
  if (wait.updates?.includes(SUBMIT_INPUT))
    return (
      <Link className="button small" href="/inbox">
        Answer in the inbox
      </Link>
    );
  if (!wait.signals?.length && !wait.updates?.length) return null;
  return (
    <Link className="button small" href={`/executions/${execution.execution_id}/messages`}>
      Messages
    </Link>
  );
}

function Details({ wait }: { wait: Wait }) {
  const attempt = wait.attempt ? `attempt ${wait.attempt}${wait.max_attempts ? ` of ${wait.max_attempts}` : ""}` : null;
  const parts = [
    ACTORS[wait.actor],
    attempt,
    wait.since && (
      <>
        since <Ago at={wait.since} />
      </>
    ),
    wait.until && (
      <>
        {wait.kind.includes("failing") ? "next attempt" : "due"} <Countdown until={wait.until} />
      </>
    ),
    wait.worker && <>worker {wait.worker}</>,
    wait.child_execution_id && <Link href={`/executions/${wait.child_execution_id}`}>{wait.child_execution_id}</Link>,
    wait.signals?.length ? <>signals {wait.signals.join(", ")}</> : null,
    wait.updates?.length ? <>updates {wait.updates.join(", ")}</> : null,
  ].filter(Boolean);
  return parts.map((part, index) => (
    <span key={index}>
      {index > 0 && " · "}
      {part}
    </span>
  ));
}
