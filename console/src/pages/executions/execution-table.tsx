/** Rows of executions, on the list and wherever else some are shown. */
import { Link } from "wouter";
import { Badge, Status, Table } from "../../ui/parts";
import { Ago, Lasting } from "../../ui/time";
import type { Run } from "./runs";

interface Props {
  rows: readonly Run[];
  /** Ids that are ticked; undefined where nothing can be done with them. */
  selected?: ReadonlySet<string>;
  /** What these are, for those who cannot see it. */
  label?: string;
  onSelect?: (selected: ReadonlySet<string>) => void;
}

export function ExecutionTable({ rows, selected, onSelect, label = "Executions" }: Props) {
  const ids = rows.map((run) => run.execution_id);
  const toggle = (id: string) => {
    const next = new Set(selected);
    if (!next.delete(id)) next.add(id);
    onSelect?.(next);
  };
  return (
    <Table label={label}>
      <thead>
        <tr>
          {selected && (
            <th>
              <input
                type="checkbox"
                aria-label="Select all that are shown"
                checked={ids.length > 0 && ids.every((id) => selected.has(id))}
                onChange={(event) => onSelect?.(new Set(event.target.checked ? ids : []))}
              />
            </th>
          )}
          <th>Status</th>
          <th>Execution</th>
          <th className="wide-only">Workflow</th>
          <th className="wide-only">Deployment</th>
          <th className="wide-only">Started</th>
          <th className="end wide-only">Duration</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((run) => (
          <tr key={run.run_id ?? run.execution_id}>
            {selected && (
              <td>
                <input
                  type="checkbox"
                  aria-label={`Select ${run.execution_id}`}
                  checked={selected.has(run.execution_id)}
                  onChange={() => toggle(run.execution_id)}
                />
              </td>
            )}
            <td>
              <Status status={run.status} />
            </td>
            <td className="main-cell">
              <Link className="strong mono" href={`/executions/${run.execution_id}`}>
                {run.execution_id}
              </Link>
              <Stuck run={run} />
            </td>
            <td className="nowrap wide-only">{run.workflow_name}</td>
            <td className="quiet wide-only">{run.deployment_name ?? "–"}</td>
            <td className="quiet wide-only">
              <Ago at={run.start_time} />
            </td>
            <td className="end wide-only">
              <Lasting from={run.start_time} until={run.end_time} />
            </td>
          </tr>
        ))}
      </tbody>
    </Table>
  );
}

const REASONS: Record<string, string> = {
  code_failing: "Code fails",
  activity_failing: "Activity fails",
  no_worker: "No worker",
  paused: "Paused",
};

function Stuck({ run }: { run: Run }) {
  const blocker = run.blockers?.[0];
  if (!blocker) return null;
  return (
    <div className="small quiet clamp" style={{ marginTop: 3 }} title={blocker.message}>
      <Badge tone={blocker.kind === "activity_failing" || blocker.kind === "paused" ? "warn" : "bad"}>{REASONS[blocker.kind] ?? blocker.kind}</Badge>{" "}
      {blocker.message}
    </div>
  );
}
