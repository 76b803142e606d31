/** One batch job: how far it has come, what it could not do and why, and the button that stops it. */
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useParams } from "wouter";
import { ApiError, get, post } from "../../api/client";
import { useWho } from "../../api/who";
import { Card, Empty, Facts, Loading, PageHead, Problem, Table } from "../../ui/parts";
import { say } from "../../ui/toasts";
import { Ago, Lasting } from "../../ui/time";
import { JobStatus } from "./batches";
import { ACTIONS, filterOf, skippedOf } from "./jobs";
import type { Job } from "./jobs";

const ONE = "/v1/batches/{batch_id}";
const REFRESH_MILLISECONDS = 1000;

export default function BatchPage() {
  const { id = "" } = useParams<{ id: string }>();
  const { data: job, error } = useQuery({
    queryKey: ["batch", id],
    queryFn: ({ signal }) => get(ONE, { params: { batch_id: id }, signal }),
    refetchInterval: ({ state }) => (state.data?.status === "RUNNING" ? REFRESH_MILLISECONDS : false),
  });
  if (error instanceof ApiError && error.status === 404)
    return (
      <Empty title="There is no such batch job">
        <p>Jobs are kept for 30 days after their end.</p>
        <Link href="/batches" className="button">
          All batch jobs
        </Link>
      </Empty>
    );
  if (error && !job) return <Problem error={error} />;
  if (!job) return <Loading />;
  return (
    <div className="page">
      <div>
        <PageHead back={<Link href="/batches">Batch jobs</Link>} title={ACTIONS[job.action.kind].name} badge={<JobStatus job={job} />}>
          {job.status === "RUNNING" && <Abort id={id} />}
        </PageHead>
      </div>
      {error && <Problem error={error} />}
      <Head job={job} />
      <Failures job={job} />
    </div>
  );
}

function Abort({ id }: { id: string }) {
  const { mayWrite } = useWho();
  const queries = useQueryClient();
  const aborting = useMutation({
    mutationFn: () => post(`${ONE}/abort`, { params: { batch_id: id } }),
    onSuccess: () => {
      say("The job stops; what was done stays done");
      return queries.invalidateQueries({ queryKey: ["batch", id] });
    },
  });
  return (
    <>
      <button type="button" className="button danger" disabled={!mayWrite || aborting.isPending} onClick={() => aborting.mutate()}>
        Abort
      </button>
      {aborting.error && <Problem error={aborting.error} />}
    </>
  );
}

function Head({ job }: { job: Job }) {
  const skipped = skippedOf(job);
  return (
    <div className="card card-body stack">
      <p>{ACTIONS[job.action.kind].means}</p>
      <Facts
        facts={[
          ["Executions", filterOf(job)],
          ["Found so far", job.matched],
          ["Done", job.done],
          ["Skipped", skipped ? `${job.skipped} (${skipped})` : job.skipped],
          ["Failed", job.failed],
          ["Started", <Ago key="at" at={job.created_at} />],
          [job.ended_at ? "Took" : "Running for", <Lasting key="for" from={job.created_at} until={job.ended_at} />],
          ["With key", job.requested_by.key_name],
          ["Reason", job.reason],
        ]}
      />
    </div>
  );
}

function Failures({ job }: { job: Job }) {
  const failures = useInfiniteQuery({
    queryKey: ["batch", job.batch_id, "failures", job.failed],
    enabled: job.failed > 0,
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam, signal }) =>
      get(`${ONE}/failures`, { params: { batch_id: job.batch_id }, query: { cursor: pageParam }, signal }),
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    placeholderData: (before) => before,
  });
  const rows = failures.data?.pages.flatMap((page) => page.failures) ?? [];
  return (
    <Card title="What failed">
      {failures.error && <Problem error={failures.error} />}
      {job.failed === 0 ? (
        <p className="card-body quiet">Nothing failed.</p>
      ) : (
        <Table label="Failures">
          <thead>
            <tr>
              <th>Execution</th>
              <th>Why</th>
              <th className="wide-only">When</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((one) => (
              <tr key={one.run_id}>
                <td className="main-cell">
                  <Link className="strong mono" href={`/executions/${one.execution_id}`}>
                    {one.execution_id}
                  </Link>
                </td>
                <td>{one.reason}</td>
                <td className="quiet wide-only">
                  <Ago at={one.at} />
                </td>
              </tr>
            ))}
          </tbody>
        </Table>
      )}
      {failures.hasNextPage && (
        <div className="card-body">
          <button type="button" className="button" disabled={failures.isFetchingNextPage} onClick={() => void failures.fetchNextPage()}>
            Load more
          </button>
        </div>
      )}
    </Card>
  );
}
