/** All schedules: when each comes next, and which are paused. */
import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { get } from "../../api/client";
import type { Schemas } from "../../api/client";
import { useQuery as useAddress } from "../../routing/hash";
import { Badge, Card, Empty, Loading, Problem, Table } from "../../ui/parts";
import { Ago } from "../../ui/time";
import { timesOf } from "./times";

export type Schedule = Schemas["ScheduleDefinitionOutput"];

export default function SchedulesPage() {
  const [address, change] = useAddress();
  const search = address.get("q") ?? "";
  const { data, error, isPending } = useQuery({
    queryKey: ["schedules", search],
    queryFn: ({ signal }) => get("/v1/workflows/schedules", { query: { search: search || undefined }, signal }),
    refetchInterval: 10_000,
    placeholderData: (before) => before,
  });
  const rows = data?.schedules ?? [];
  return (
    <div className="page">
      <div className="page-head">
        <h1>Schedules</h1>
      </div>
      <div className="filters" role="search">
        <input className="input" type="search" aria-label="Search" placeholder="Schedule or workflow" value={search} onChange={(event) => change({ q: event.target.value })} />
      </div>
      {error && <Problem error={error} />}
      <Card>{isPending ? <Loading /> : rows.length ? <Rows rows={rows} /> : <NoSchedules isFiltered={search !== ""} />}</Card>
    </div>
  );
}

function NoSchedules({ isFiltered }: { isFiltered: boolean }) {
  if (isFiltered) return <Empty title="No schedule matches" />;
  return (
    <Empty title="No schedules yet">
      <p>A schedule starts executions by itself. Declare one in a workflow's code, or make one:</p>
      <code>levante schedules create order --cron '0 2 * * *'</code>
    </Empty>
  );
}

function Rows({ rows }: { rows: readonly Schedule[] }) {
  return (
    <Table label="Schedules">
      <thead>
        <tr>
          <th>Schedule</th>
          <th>Workflow</th>
          <th>Times</th>
          <th>Next</th>
          <th>Last</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((one) => (
          <tr key={one.schedule_id}>
            <td className="main-cell">
              <Link className="strong" href={`/schedules/${one.schedule_id}`}>
                {one.schedule_id}
              </Link>{" "}
              {one.paused && <Badge tone="warn">Paused</Badge>}
            </td>
            <td>{one.workflow_name}</td>
            <td className="quiet">{timesOf(one).join("; ") || "–"}</td>
            <td className="quiet">{one.paused || !one.future_executions[0] ? "–" : <Ago at={one.future_executions[0].scheduled_at} />}</td>
            <td className="quiet">{lastOf(one)}</td>
          </tr>
        ))}
      </tbody>
    </Table>
  );
}

function lastOf(schedule: Schedule) {
  const last = [...schedule.recent_executions].sort((one, other) => one.started_at.localeCompare(other.started_at)).at(-1);
  if (!last) return "–";
  return (
    <Link href={`/executions/${last.execution_id}`}>
      <Ago at={last.started_at} />
    </Link>
  );
}
