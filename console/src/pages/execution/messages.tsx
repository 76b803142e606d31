/** Talks to an execution: the signals, updates and queries that its code handles, each with a form. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useId, useState } from "react";
import { get, post } from "../../api/client";
import type { Schemas } from "../../api/client";
import type { Json } from "../../api/json";
import { isObject } from "../../api/json";
import { useWho } from "../../api/who";
import { Badge, Card, Empty, Loading, Problem } from "../../ui/parts";
import { JsonView } from "../../ui/json-view";
import { InputEditor } from "../../ui/schema-form/input-editor";
import { initialValue, problemsIn } from "../../ui/schema-form/schema";
import type { Schema } from "../../ui/schema-form/schema";
import type { Execution } from "./use-execution";

type Handler = Schemas["HandlerSpec"];
type Kind = "signals" | "updates" | "queries";
const TITLES: Record<Kind, [string, string, string]> = {
  signals: ["Signal", "Send", "Delivered; nobody waits for an answer."],
  updates: ["Update", "Send and wait", "Waits until the workflow has answered."],
  queries: ["Query", "Ask", "Changes nothing."],
};

export function useHandlers(workflow: string, deployment: string | null) {
  return useQuery({
    queryKey: ["registrations", workflow],
    staleTime: 30_000,
    queryFn: ({ signal }) => get("/v1/workflows/registrations", { query: { workflow_name: workflow, limit: 100 }, signal }),
    select: ({ workflow_registrations: all }) => (all.find((one) => one.deployment_name === deployment) ?? all[0])?.definition,
  });
}

export function Messages({ execution }: { execution: Execution }) {
  const { data, isPending, error } = useHandlers(execution.workflow_name, execution.deployment_name);
  if (error) return <Problem error={error} />;
  if (isPending) return <Loading />;
  const kinds: Kind[] = ["signals", "updates", "queries"];
  const handlers = kinds.flatMap((kind) => (data?.[kind] ?? []).map((handler): [Kind, Handler] => [kind, handler]));
  if (handlers.length === 0)
    return (
      <Card>
        <Empty title="This workflow handles no messages">
          <p>A workflow takes signals, updates and queries once its code declares them.</p>
        </Empty>
      </Card>
    );
  return (
    <div className="columns">
      {handlers.map(([kind, handler]) => (
        <HandlerCard key={`${kind}-${handler.name}`} kind={kind} handler={handler} execution={execution} />
      ))}
    </div>
  );
}

function HandlerCard({ kind, handler, execution }: { kind: Kind; handler: Handler; execution: Execution }) {
  const schema = handler.input_schema as Schema;
  const hasInput = isObject(schema.properties) && Object.keys(schema.properties).length > 0;
  const [value, setValue] = useState<Json | undefined>(() => initialValue(schema, schema));
  const [problems, setProblems] = useState<ReadonlyMap<string, string>>(new Map());
  const { mayWrite } = useWho();
  const label = useId();
  const queries = useQueryClient();
  const sending = useMutation({
    mutationFn: (): Promise<unknown> =>
      post(`/v1/workflows/executions/{execution_id}/${kind}`, {
        params: { execution_id: execution.execution_id },
        body: { name: handler.name, input: (hasInput ? value : undefined) as Record<string, never> | undefined },
      }),
    onSuccess: () => queries.invalidateQueries({ queryKey: ["execution", execution.execution_id] }),
  });
  const submit = () => {
    const found = hasInput ? problemsIn(value ?? null, schema) : new Map<string, string>();
    setProblems(found);
    if (found.size === 0) sending.mutate();
  };
  const [title, button, hint] = TITLES[kind];
  const isClosed = execution.status !== "RUNNING" && kind !== "queries";
  return (
    <Card title={<span id={label}>{handler.name}</span>} side={<Badge>{title}</Badge>}>
      <form
        className="card-body stack"
        aria-labelledby={label}
        onSubmit={(event) => {
          event.preventDefault();
          submit();
        }}
      >
        <p className="quiet">{handler.description ?? hint}</p>
        {hasInput && <InputEditor schema={schema} value={value} onChange={setValue} problems={problems} />}
        {sending.error && <Problem error={sending.error} />}
        {sending.isSuccess && kind === "signals" && <p className="note good" role="status">Accepted. The workflow takes it when it runs next.</p>}
        {sending.isSuccess && kind !== "signals" && <JsonView value={(sending.data as { result: unknown }).result} label="Answer" />}
        <div className="buttons">
          <button type="submit" className="button" disabled={sending.isPending || isClosed || !mayWrite}>
            {sending.isPending ? "Waiting…" : button}
          </button>
          {isClosed && <span className="quiet small">The execution has ended.</span>}
        </div>
      </form>
    </Card>
  );
}
