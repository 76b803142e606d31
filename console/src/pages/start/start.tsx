/** Starts a workflow: with a form of its input, or with the input of an earlier execution to change. */
import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { FormEvent } from "react";
import { Link } from "wouter";
import { ApiError, get, post } from "../../api/client";
import type { Schemas } from "../../api/client";
import type { Json } from "../../api/json";
import { useWho } from "../../api/who";
import { navigate, useQuery as useAddress } from "../../routing/hash";
import { Card, Empty, Loading, Problem } from "../../ui/parts";
import { InputEditor } from "../../ui/schema-form/input-editor";
import { initialValue, problemsIn } from "../../ui/schema-form/schema";
import type { Schema } from "../../ui/schema-form/schema";
import { CommandsDialog, quoted } from "../execution/commands";
import { writeJson } from "../../api/json";
import { Target } from "./target";
import { useOrigin } from "./origin";

type Registration = Schemas["WorkflowRegistration"];

export default function StartPage() {
  const [address, change] = useAddress();
  const { mayWrite } = useWho();
  const from = address.get("from");
  const origin = useOrigin(from);
  const workflow = address.get("workflow") ?? origin.data?.workflow ?? "";
  const registrations = useQuery({
    queryKey: ["registrations", workflow],
    enabled: workflow !== "",
    queryFn: ({ signal }) => get("/v1/workflows/registrations", { query: { workflow_name: workflow, limit: 100, with_workflow: true }, signal }),
  });
  const all = registrations.data?.workflow_registrations ?? [];
  const deployment = address.get("deployment") ?? origin.data?.deployment ?? all[0]?.deployment_name ?? "";
  const chosen = all.find((one) => one.deployment_name === deployment) ?? all[0];
  return (
    <div className="page narrow">
      <div>
        <div className="crumbs">
          <Link href="/executions">Executions</Link> / {from ? <Link href={`/executions/${from}`}>{from}</Link> : "New"}
        </div>
        <div className="page-head">
          <h1>{from ? "Run again" : "Start a workflow"}</h1>
        </div>
      </div>
      {!mayWrite && <p className="note warn">This key may look at everything and change nothing: starting needs the role client.</p>}
      {origin.error && <Problem error={origin.error} />}
      <Target workflow={workflow} deployment={deployment} registrations={all} change={change} />
      {workflow === "" && !from && (
        <Card>
          <Empty title="Choose a workflow">
            <p>Its input is then asked for here.</p>
          </Empty>
        </Card>
      )}
      {workflow !== "" && registrations.isPending && <Loading />}
      {registrations.error && <Problem error={registrations.error} />}
      {workflow !== "" && registrations.data && !chosen && (
        <Empty title="No deployment has registered this workflow">
          <p>Start a worker that serves it, and it appears here.</p>
        </Empty>
      )}
      {chosen && (!from || origin.data) && (
        <StartForm key={`${chosen.id}-${from ?? ""}`} workflow={workflow} registration={chosen} input={origin.data?.input as Json | undefined} />
      )}
    </div>
  );
}

interface FormProps {
  workflow: string;
  registration: Registration;
  input: Json | undefined;
}

function StartForm({ workflow, registration, input }: FormProps) {
  const schema = registration.definition.input_schema as Schema;
  const [value, setValue] = useState<Json | undefined>(() => input ?? initialValue(schema, schema));
  const [executionId, setExecutionId] = useState("");
  const [problems, setProblems] = useState<ReadonlyMap<string, string>>(new Map());
  const [isShown, setShown] = useState(false);
  const { mayWrite } = useWho();
  const body = {
    input: value as Record<string, never> | undefined,
    ...(executionId ? { execution_id: executionId } : {}),
    ...(registration.deployment_name ? { deployment_name: registration.deployment_name } : {}),
  };
  const starting = useMutation({
    mutationFn: () => post("/v1/workflows/{workflow_identifier}/execute", { params: { workflow_identifier: workflow }, body: body as Schemas["WorkflowExecutionRequest"] }),
    onSuccess: (started) => navigate(`/executions/${started.execution_id}`),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const found = problemsIn(value ?? {}, schema);
    setProblems(found);
    if (found.size === 0) starting.mutate();
  };
  const call = {
    title: "Start it elsewhere",
    cli: `levante executions start ${quoted(workflow)} --input ${quoted(writeJson(value ?? {}))}${executionId ? ` --execution-id ${quoted(executionId)}` : ""}`,
    method: "POST",
    path: "/v1/workflows/{workflow_identifier}/execute",
    params: { workflow_identifier: workflow },
    body,
  };
  return (
    <form className="stack" onSubmit={submit}>
      <Card title="Input">
        <div className="card-body">
          <InputEditor schema={schema} value={value} onChange={setValue} problems={problems} />
        </div>
      </Card>
      <div className="card card-body">
        <div className="field">
          <label htmlFor="execution-id">Execution id</label>
          <input id="execution-id" className="input mono" value={executionId} placeholder="Made here" pattern="[A-Za-z0-9_\-]{1,256}" onChange={(event) => setExecutionId(event.target.value)} />
          <span className="hint">Optional. An id of your own, such as an order number, keeps the same thing from being started twice.</span>
        </div>
      </div>
      {starting.error && <Problem error={starting.error}>{conflict(starting.error, executionId)}</Problem>}
      <div className="buttons">
        <button type="submit" className="button primary" disabled={!mayWrite || starting.isPending}>
          {starting.isPending ? "Starting…" : "Start"}
        </button>
        <button type="button" className="button" onClick={() => setShown(true)}>
          Copy as…
        </button>
      </div>
      {isShown && <CommandsDialog call={call} onClose={() => setShown(false)} />}
    </form>
  );
}

function conflict(error: unknown, executionId: string) {
  if (!(error instanceof ApiError) || error.status !== 409 || !executionId) return null;
  return <Link href={`/executions/${executionId}`}>See the one that is running</Link>;
}
