/** All deployments, and whether anybody works for them. */
import { Link } from "wouter";
import { Badge, Card, Empty, Loading, Problem, Table } from "../../ui/parts";
import { Ago } from "../../ui/time";
import { useDeployments } from "./queries";

export default function DeploymentsPage() {
  const { data, error, isPending } = useDeployments();
  const rows = data?.deployments ?? [];
  return (
    <div className="page">
      <div className="page-head">
        <div>
          <h1>Workers</h1>
          <p>A deployment is a named group of workers that serve the same workflows.</p>
        </div>
      </div>
      {error && <Problem error={error} />}
      <Card>
        {isPending ? (
          <Loading />
        ) : rows.length === 0 ? (
          <Empty title="No worker has registered yet">
            <p>
              Start one: <code>levante worker shop.py</code>
            </p>
          </Empty>
        ) : (
          <Table label="Deployments">
            <thead>
              <tr>
                <th>Deployment</th>
                <th>State</th>
                <th className="end">Live workers</th>
                <th>Last heard of</th>
                <th className="end">Open executions</th>
              </tr>
            </thead>
            <tbody>
              {rows.map((one) => (
                <tr key={one.id}>
                  <td className="main-cell">
                    <Link className="strong" href={`/deployments/${one.name}`}>
                      {one.name}
                    </Link>
                  </td>
                  <td>{one.is_active ? <Badge tone="good">Live</Badge> : <Badge tone="bad">No worker</Badge>}</td>
                  <td className="end number">{one.active_worker_count}</td>
                  <td className="quiet">
                    <Ago at={one.last_heartbeat} />
                  </td>
                  <td className="end nowrap">
                    <Link href={`/executions?status=RUNNING&deployment=${encodeURIComponent(one.name)}`}>
                      Show<span className="hidden-visually"> open executions of {one.name}</span>
                    </Link>
                  </td>
                </tr>
              ))}
            </tbody>
          </Table>
        )}
      </Card>
    </div>
  );
}
