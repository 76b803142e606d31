/** All executions below this one, as the listing knows them: always as they stand now. */
import { Link } from "wouter";
import { Card, Empty, Loading, Problem } from "../../ui/parts";
import { ExecutionTable } from "../executions/execution-table";
import { useRuns } from "../executions/runs";
import type { Execution } from "./use-execution";

export function Children({ execution }: { execution: Execution }) {
  const id = execution.execution_id;
  const runs = useRuns({ root_execution_id: execution.root_execution_id, include_blockers: true, page_size: 100 } as Parameters<typeof useRuns>[0]);
  if (runs.error) return <Problem error={runs.error} />;
  const others = (runs.data?.pages ?? []).flatMap((page) => page.executions).filter((run) => run.execution_id !== id);
  const below = id === execution.root_execution_id ? others : others.filter((run) => run.parent_execution_id === id);
  return (
    <div className="stack">
      {execution.parent_execution_id && (
        <p>
          Started by <Link href={`/executions/${execution.parent_execution_id}`}>{execution.parent_execution_id}</Link>
        </p>
      )}
      <Card>
        {runs.isPending ? <Loading /> : below.length ? <ExecutionTable rows={below} /> : <Empty title="It has started no other execution" />}
      </Card>
    </div>
  );
}
