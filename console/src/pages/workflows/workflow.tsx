/** One workflow: how its executions have done, who serves it, what it takes and gives, and which messages it handles. */
import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "wouter";
import { ApiError, get } from "../../api/client";
import type { Schemas } from "../../api/client";
import { useWho } from "../../api/who";
import { Badge, Card, Empty, Facts, Loading, PageHead, Problem, Table } from "../../ui/parts";
import { JsonView } from "../../ui/json-view";
import { duration } from "../../ui/time";
import { ExecutionTable } from "../executions/execution-table";
import { useRuns } from "../executions/runs";

export default function WorkflowPage() {
  const { name = "" } = useParams<{ name: string }>();
  const { mayWrite } = useWho();
  const params = { workflow_identifier: name };
  const workflow = useQuery({ queryKey: ["workflow", name], queryFn: ({ signal }) => get("/v1/workflows/{workflow_identifier}", { params, signal }) });
  if (workflow.error instanceof ApiError && workflow.error.status === 404) return <Empty title={`There is no workflow ${name}`} />;
  if (workflow.error) return <Problem error={workflow.error} />;
  if (!workflow.data) return <Loading />;
  const { workflow: found } = workflow.data;
  return (
    <div className="page">
      <div>
        <PageHead back={<Link href="/workflows">Workflows</Link>} title={found.display_name} badge={found.active ? <Badge tone="good">Served</Badge> : <Badge tone="warn">No live worker</Badge>}>
          {mayWrite && (
            <Link className="button primary" href={`/start?workflow=${encodeURIComponent(found.name)}`}>
              Start
            </Link>
          )}
        </PageHead>
        {found.description && <p className="quiet">{found.description}</p>}
      </div>
      <Numbers name={found.name} />
      <Latest name={found.name} />
      <Definition name={found.name} />
    </div>
  );
}

function Numbers({ name }: { name: string }) {
  const { data } = useQuery({
    queryKey: ["metrics", name],
    queryFn: ({ signal }) => get("/v1/workflows/{workflow_name}/metrics", { params: { workflow_name: name }, signal }),
    refetchInterval: 10_000,
  });
  if (!data) return null;
  const value = (metric: { value: unknown }) => Number(metric.value ?? 0);
  return (
    <div className="card card-body">
      <Facts
        facts={[
          ["Executions", value(data.execution_count).toLocaleString()],
          ["Completed", value(data.success_count).toLocaleString()],
          ["Failed", value(data.error_count).toLocaleString()],
          ["Stuck now", value(data.blocked_count).toLocaleString()],
          ["Average duration", duration(value(data.average_latency_ms))],
        ]}
      />
      {data.is_partial && <p className="quiet small">Of the latest executions; there are more than are counted here.</p>}
    </div>
  );
}

function Latest({ name }: { name: string }) {
  const runs = useRuns({ workflow_identifier: name, include_blockers: true, page_size: 10 } as Parameters<typeof useRuns>[0]);
  const rows = runs.data?.pages[0]?.executions ?? [];
  return (
    <Card title="Latest executions" side={<Link href={`/executions?workflow=${encodeURIComponent(name)}`}>All</Link>}>
      {runs.isPending ? <Loading /> : rows.length ? <ExecutionTable rows={rows} /> : <Empty title="Not started yet" />}
    </Card>
  );
}

function Definition({ name }: { name: string }) {
  const { data, error } = useQuery({
    queryKey: ["registrations", name],
    queryFn: ({ signal }) => get("/v1/workflows/registrations", { query: { workflow_name: name, limit: 100 }, signal }),
  });
  if (error) return <Problem error={error} />;
  const all = data?.workflow_registrations ?? [];
  const [first] = all;
  if (!first) return null;
  return (
    <>
      <Card title="Served by">
        <ul className="card-body buttons">
          {all.map((one) => (
            <li key={one.id}>
              <Link href={`/deployments/${one.deployment_name ?? ""}`}>{one.deployment_name}</Link>
            </li>
          ))}
        </ul>
      </Card>
      <Handlers definition={first.definition} />
      <div className="columns">
        <Card title="Input schema">
          <div className="card-body">
            <JsonView value={first.definition.input_schema} label="Input schema" />
          </div>
        </Card>
        <Card title="Output schema">
          <div className="card-body">
            <JsonView value={first.definition.output_schema} label="Output schema" />
          </div>
        </Card>
      </div>
    </>
  );
}

function Handlers({ definition }: { definition: Schemas["WorkflowCodeDefinition"] }) {
  const rows = (["signals", "updates", "queries"] as const).flatMap((kind) => definition[kind].map((one) => ({ kind, ...one })));
  if (rows.length === 0) return null;
  return (
    <Card title="Messages that it handles">
      <Table label="Messages">
        <tbody>
          {rows.map((one) => (
            <tr key={`${one.kind}-${one.name}`}>
              <td className="mono">{one.name}</td>
              <td>
                <Badge>{{ signals: "Signal", updates: "Update", queries: "Query" }[one.kind]}</Badge>
              </td>
              <td className="quiet">{one.description ?? "–"}</td>
            </tr>
          ))}
        </tbody>
      </Table>
    </Card>
  );
}
