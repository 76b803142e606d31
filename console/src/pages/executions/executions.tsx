/** All executions, by filters that stand in the address; what comes new appears by itself. */
import { useState } from "react";
import { Link } from "wouter";
import { useQuery as useAddress } from "../../routing/hash";
import { Card, Empty, Loading, Problem } from "../../ui/parts";
import { useWho } from "../../api/who";
import { BatchBar } from "./batch-bar";
import { BatchDialog } from "./batch-dialog";
import { ExecutionTable } from "./execution-table";
import { Filters } from "./filters";
import { queryOf, useRuns } from "./runs";

export function ExecutionsPage() {
  const [address, change] = useAddress();
  const runs = useRuns(queryOf(address));
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const [isBatch, setBatch] = useState(false);
  const { mayWrite } = useWho();
  const rows = runs.data?.pages.flatMap((page) => page.executions) ?? [];
  return (
    <div className="page">
      <div className="page-head">
        <h1>Executions</h1>
        {mayWrite && (
          <div className="buttons">
            <button type="button" className="button" disabled={rows.length === 0} onClick={() => setBatch(true)}>
              All that match…
            </button>
            <Link href="/start" className="button primary">
              Start a workflow
            </Link>
          </div>
        )}
      </div>
      {isBatch && <BatchDialog query={queryOf(address)} onClose={() => setBatch(false)} />}
      <Filters address={address} change={change} />
      {runs.error && <Problem error={runs.error} />}
      {selected.size > 0 && <BatchBar selected={selected} onDone={() => setSelected(new Set())} />}
      <Card>
        {runs.isPending ? (
          <Loading rows={8} />
        ) : rows.length === 0 ? (
          <NoExecutions isFiltered={address.size > 0} clear={() => change(cleared(address))} />
        ) : (
          <ExecutionTable rows={rows} selected={mayWrite ? selected : undefined} onSelect={setSelected} />
        )}
      </Card>
      {runs.hasNextPage && (
        <div className="buttons">
          <button type="button" className="button" onClick={() => void runs.fetchNextPage()} disabled={runs.isFetchingNextPage}>
            {runs.isFetchingNextPage ? "Loading…" : "Load more"}
          </button>
          <span className="quiet small">{rows.length} shown</span>
        </div>
      )}
    </div>
  );
}

function cleared(address: URLSearchParams): Record<string, null> {
  return Object.fromEntries([...address.keys()].map((name) => [name, null]));
}

function NoExecutions({ isFiltered, clear }: { isFiltered: boolean; clear: () => void }) {
  if (isFiltered)
    return (
      <Empty title="Nothing matches these filters">
        <div className="buttons">
          <button type="button" className="button" onClick={clear}>
            Clear the filters
          </button>
        </div>
      </Empty>
    );
  return (
    <Empty title="No executions yet">
      <p>An execution is one invocation of a workflow. Start one here, with a client, or by a schedule.</p>
      <div className="buttons">
        <Link href="/start" className="button primary">
          Start a workflow
        </Link>
      </div>
    </Empty>
  );
}
