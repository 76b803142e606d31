/** One deployment: its workers and its builds, and what to run when nobody is there. */
import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "wouter";
import { ApiError, get } from "../../api/client";
import type { Schemas } from "../../api/client";
import { Badge, Card, Copy, Empty, Loading, PageHead, Problem, Table } from "../../ui/parts";
import { Ago } from "../../ui/time";

export default function DeploymentPage() {
  const { name = "" } = useParams<{ name: string }>();
  const params = { name };
  const deployment = useQuery({
    queryKey: ["deployment", name],
    queryFn: ({ signal }) => get("/v1/workflows/deployments/{name}", { params, signal }),
    refetchInterval: 3000,
  });
  const builds = useQuery({
    queryKey: ["builds", name],
    queryFn: ({ signal }) => get("/v1/workflows/deployments/{name}/builds", { params, signal }),
    refetchInterval: 5000,
  });
  const { data, error } = deployment;
  if (error instanceof ApiError && error.status === 404) return <Empty title={`There is no deployment ${name}`} />;
  if (error && !data) return <Problem error={error} />;
  if (!data) return <Loading />;
  return (
    <div className="page">
      <div>
        <PageHead back={<Link href="/deployments">Workers</Link>} title={data.name} badge={data.is_active ? <Badge tone="good">Live</Badge> : <Badge tone="bad">No worker</Badge>}>
          <Link className="button" href={`/executions?status=RUNNING&deployment=${encodeURIComponent(name)}`}>
            Open executions
          </Link>
        </PageHead>
      </div>
      {!data.is_active && <StartOne name={name} />}
      <Card title="Workers">
        <Workers workers={data.workers} />
      </Card>
      {builds.data && builds.data.builds.length > 0 && (
        <Card title="Builds">
          <Builds builds={builds.data.builds} />
        </Card>
      )}
    </div>
  );
}

function StartOne({ name }: { name: string }) {
  const command = `levante worker MODULE --deployment-name ${name}`;
  return (
    <div className="note bad" role="alert">
      <span>
        No worker is there, so nothing of this deployment goes on. Start one: <code>{command}</code>
      </span>
      <Copy text={command} label="Copy the command" />
    </div>
  );
}

function Workers({ workers }: { workers: readonly Schemas["DeploymentWorkerResponse"][] }) {
  if (workers.length === 0) return <Empty title="No worker is known" />;
  return (
    <Table label="Workers">
      <thead>
        <tr>
          <th>Worker</th>
          <th>State</th>
          <th>Registered</th>
          <th>Last heard of</th>
        </tr>
      </thead>
      <tbody>
        {workers.map((one) => (
          <tr key={one.name}>
            <td className="main-cell mono">{one.name}</td>
            <td>{one.is_active ? <Badge tone="good">Live</Badge> : <Badge>Gone</Badge>}</td>
            <td className="quiet">
              <Ago at={one.created_at} />
            </td>
            <td className="quiet">
              <Ago at={one.last_heartbeat} />
            </td>
          </tr>
        ))}
      </tbody>
    </Table>
  );
}

function Builds({ builds }: { builds: readonly Schemas["DeploymentBuildResponse"][] }) {
  return (
    <Table label="Builds">
      <thead>
        <tr>
          <th>Build</th>
          <th>State</th>
          <th className="end">Live workers</th>
          <th className="end">Open executions</th>
          <th>Registered</th>
        </tr>
      </thead>
      <tbody>
        {builds.map((one) => (
          <tr key={one.build_id}>
            <td className="main-cell mono">{one.build_id}</td>
            <td>{one.is_current ? <Badge tone="good">Current</Badge> : one.is_drained ? <Badge>Drained</Badge> : <Badge tone="warn">Draining</Badge>}</td>
            <td className="end number">{one.active_worker_count}</td>
            <td className="end number">{one.open_executions}</td>
            <td className="quiet">
              <Ago at={one.registered_at} />
            </td>
          </tr>
        ))}
      </tbody>
    </Table>
  );
}
