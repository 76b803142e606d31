/** What needs somebody: executions that are stuck, that have failed, that ask people, and workers that are not there. */
import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Link } from "wouter";
import { get } from "../../api/client";
import { useWho } from "../../api/who";
import { Badge, Card, Empty, Loading, Problem } from "../../ui/parts";
import { Ago } from "../../ui/time";
import { useDeployments } from "../deployments/queries";
import { ExecutionTable } from "../executions/execution-table";
import { queryOf, useRuns } from "../executions/runs";
import { usePending } from "../inbox/pending";

const STUCK = "status=RUNNING&blocked=1";
const FAILED = "status=FAILED,TIMED_OUT&hours=24";
const RUNNING = "status=RUNNING";
const MOST_LISTED = 8;

export function HomePage() {
  const stuck = useRuns(queryOf(new URLSearchParams(STUCK)));
  const failed = useRuns(queryOf(new URLSearchParams(FAILED)));
  const running = useRuns(queryOf(new URLSearchParams(RUNNING)));
  const pending = usePending();
  const waiting = pending.data?.pending.length ?? 0;
  return (
    <div className="page">
      <div className="page-head">
        <h1>What needs you</h1>
      </div>
      {stuck.error && <Problem error={stuck.error} />}
      <div className="tiles">
        <Tile title="Stuck" runs={stuck} href={`/executions?${STUCK}`} tone="bad" />
        <Tile title="Failed in the last day" runs={failed} href={`/executions?${FAILED}`} tone="bad" />
        <Link href="/inbox" className="card tile">
          <span className="quiet">Waiting for an answer</span>
          <strong className={waiting ? "warn" : ""}>{pending.data ? `${waiting}${pending.data.hasMore ? "+" : ""}` : "–"}</strong>
        </Link>
        <Tile title="Running" runs={running} href={`/executions?${RUNNING}`} tone="running" />
      </div>
      <Installation />
      <Listed title="Stuck" runs={stuck} href={`/executions?${STUCK}`} empty="Nothing is stuck" />
      <Listed title="Failed in the last day" runs={failed} href={`/executions?${FAILED}`} empty="Nothing has failed in the last day" />
    </div>
  );
}

type Runs = ReturnType<typeof useRuns>;

function Tile({ title, runs, href, tone }: { title: string; runs: Runs; href: string; tone: string }) {
  const page = runs.data?.pages[0];
  const count = page?.executions.length ?? 0;
  return (
    <Link href={href} className="card tile">
      <span className="quiet">{title}</span>
      <strong className={count ? tone : ""}>{page ? `${count}${page.next_page_token ? "+" : ""}` : "–"}</strong>
    </Link>
  );
}

function Listed({ title, runs, href, empty }: { title: string; runs: Runs; href: string; empty: string }) {
  const rows = runs.data?.pages[0]?.executions ?? [];
  return (
    <Card title={title} side={rows.length > MOST_LISTED ? <Link href={href}>All</Link> : undefined}>
      {runs.isPending ? <Loading rows={3} /> : rows.length ? <ExecutionTable rows={rows.slice(0, MOST_LISTED)} label={title} /> : <Empty title={empty} />}
    </Card>
  );
}

/** Parts of the installation that do not work, and workers that are not there. Nothing is shown where all is well. */
function Installation() {
  const { isAdmin, role } = useWho();
  const health = useQuery({ queryKey: ["health"], queryFn: ({ signal }) => get("/v1/health", { signal }), refetchInterval: 10_000 });
  const parked = useQuery({
    queryKey: ["parked"],
    enabled: isAdmin || role === "viewer",
    queryFn: ({ signal }) => get("/v1/parked", { query: { limit: 20 }, signal }),
    refetchInterval: 10_000,
  });
  const deployments = useDeployments();
  const gone = deployments.data?.deployments.filter((one) => !one.is_active) ?? [];
  const notes: ReactNode[] = [
    ...(health.data?.problems ?? []).map((one) => (
      <div key={one.part} className="note bad">
        <span>
          The host's {one.part} does not work since <Ago at={one.since} />: {one.error}
        </span>
      </div>
    )),
    ...(parked.data?.count
      ? [
          <div key="parked" className="note warn">
            <span>
              {parked.data.count} items could not be handled and are parked. The oldest error: {parked.data.parked[0]?.error ?? "unknown"}. See{" "}
              <code>levante parked list</code>.
            </span>
          </div>,
        ]
      : []),
    ...gone.map((one) => (
      <div key={one.id} className="note">
        <span>
          <Badge tone="warn">No worker</Badge> Deployment <Link href={`/deployments/${one.name}`}>{one.name}</Link> was last heard of <Ago at={one.last_heartbeat} />.
        </span>
      </div>
    )),
  ];
  return notes.length ? <div className="stack tight">{notes}</div> : null;
}
