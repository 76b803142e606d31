/** All batch jobs: what is done to many executions at once, and how far it has come. */
import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { get } from "../../api/client";
import { Badge, Card, Empty, Loading, Problem, Table } from "../../ui/parts";
import { Ago } from "../../ui/time";
import { ACTIONS, filterOf, statusOf } from "./jobs";
import type { Job } from "./jobs";

const REFRESH_MILLISECONDS = 3000;

export default function BatchesPage() {
  const { data, error, isPending } = useQuery({
    queryKey: ["batches"],
    queryFn: ({ signal }) => get("/v1/batches", { query: { limit: 200 }, signal }),
    refetchInterval: REFRESH_MILLISECONDS,
  });
  const rows = data?.batches ?? [];
  return (
    <div className="page">
      <div className="page-head">
        <h1>Batch jobs</h1>
        <Link href="/executions" className="button">
          Choose executions
        </Link>
      </div>
      {error && <Problem error={error} />}
      <Card>{isPending ? <Loading /> : rows.length ? <Rows rows={rows} /> : <NoJobs />}</Card>
    </div>
  );
}

function NoJobs() {
  return (
    <Empty title="No batch jobs yet">
      <p>A batch job does the same to all executions that a filter finds. Filter the executions, and choose “All that match…”.</p>
    </Empty>
  );
}

function Rows({ rows }: { rows: readonly Job[] }) {
  return (
    <Table label="Batch jobs">
      <thead>
        <tr>
          <th>Status</th>
          <th>Job</th>
          <th className="wide-only">Executions</th>
          <th className="end">Done</th>
          <th className="end">Failed</th>
          <th className="wide-only">Started</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((job) => (
          <tr key={job.batch_id}>
            <td>
              <JobStatus job={job} />
            </td>
            <td className="main-cell">
              <Link className="strong" href={`/batches/${job.batch_id}`}>
                {ACTIONS[job.action.kind].name}
              </Link>
              {job.reason && <div className="small quiet clamp">{job.reason}</div>}
            </td>
            <td className="quiet wide-only">{filterOf(job)}</td>
            <td className="end">{job.done}</td>
            <td className="end">{job.failed}</td>
            <td className="quiet wide-only">
              <Ago at={job.created_at} />
            </td>
          </tr>
        ))}
      </tbody>
    </Table>
  );
}

export function JobStatus({ job }: { job: Job }) {
  const [tone, text] = statusOf(job);
  return <Badge tone={tone}>{text}</Badge>;
}
