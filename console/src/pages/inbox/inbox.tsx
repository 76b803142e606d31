/** What workflows ask people for, each with a form that answers. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "wouter";
import { post } from "../../api/client";
import type { Json } from "../../api/json";
import { useWho } from "../../api/who";
import { Card, Empty, Loading, Problem } from "../../ui/parts";
import { InputEditor } from "../../ui/schema-form/input-editor";
import { initialValue, problemsIn } from "../../ui/schema-form/schema";
import { Ago } from "../../ui/time";
import { say } from "../../ui/toasts";
import { MOST_SHOWN, usePending } from "./pending";
import type { Pending } from "./pending";

export default function InboxPage() {
  const { data, error, isPending } = usePending();
  return (
    <div className="page">
      <div className="page-head">
        <div>
          <h1>Inbox</h1>
          <p>What workflows ask people for.</p>
        </div>
      </div>
      {error && <Problem error={error} />}
      {isPending && <Loading />}
      {data?.pending.length === 0 && (
        <Card>
          <Empty title="Nothing waits for an answer">
            <p>
              A workflow that asks with <code>wait_for_input</code> appears here, with a form.
            </p>
          </Empty>
        </Card>
      )}
      <div className="columns">
        {data?.pending.map((one) => (
          <PendingCard key={one.taskId} pending={one} />
        ))}
      </div>
      {data?.hasMore && <p className="quiet">Of the newest {MOST_SHOWN} executions that wait. Answer these, and the others follow.</p>}
    </div>
  );
}

function PendingCard({ pending }: { pending: Pending }) {
  const { schema } = pending;
  const [value, setValue] = useState<Json | undefined>(() => initialValue(schema, schema));
  const [problems, setProblems] = useState<ReadonlyMap<string, string>>(new Map());
  const { mayWrite } = useWho();
  const queries = useQueryClient();
  const answering = useMutation({
    mutationFn: () =>
      post("/v1/workflows/executions/{execution_id}/updates", {
        params: { execution_id: pending.executionId },
        body: { name: "__submit_input", input: { task_id: pending.taskId, input: value } as never },
      }),
    onSuccess: () => {
      say("Answered");
      return queries.invalidateQueries({ queryKey: ["inbox"] });
    },
  });
  const submit = () => {
    const found = problemsIn(value ?? null, schema);
    setProblems(found);
    if (found.size === 0) answering.mutate();
  };
  return (
    <Card title={pending.label ?? "Input"} side={<span className="quiet small"><Ago at={pending.since} /></span>}>
      <form
        className="card-body stack"
        onSubmit={(event) => {
          event.preventDefault();
          submit();
        }}
      >
        <p className="quiet">
          {pending.workflow} <Link href={`/executions/${pending.executionId}`}>{pending.executionId}</Link>
        </p>
        <InputEditor schema={schema} value={value} onChange={setValue} problems={problems} />
        {answering.error && <Problem error={answering.error} />}
        <div className="buttons">
          <button type="submit" className="button primary" disabled={!mayWrite || answering.isPending}>
            {answering.isPending ? "Sending…" : "Answer"}
          </button>
        </div>
      </form>
    </Card>
  );
}
