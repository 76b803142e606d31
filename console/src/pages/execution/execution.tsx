/** One execution: where it stands, why it waits, and everything that is recorded of it. */
import { Link, useParams } from "wouter";
import { ApiError } from "../../api/client";
import { Badge, Copy, Empty, Facts, Loading, Problem, Status } from "../../ui/parts";
import { JsonView } from "../../ui/json-view";
import { Ago, Lasting } from "../../ui/time";
import { Actions } from "./actions";
import { Children } from "./children";
import { DownloadHistory } from "./download";
import { History as HistoryView } from "./history";
import { Messages } from "./messages";
import { Overview } from "./overview";
import { useHistory } from "./history-pages";
import { useExecution, useLive } from "./use-execution";
import type { Execution } from "./use-execution";
import { Why } from "./why";

const TABS = [
  ["", "Overview"],
  ["history", "History"],
  ["messages", "Messages"],
  ["children", "Children"],
  ["raw", "Raw"],
] as const;

export default function ExecutionPage() {
  const { id = "", tab = "" } = useParams<{ id: string; tab?: string }>();
  return <OneExecution key={id} id={id} tab={tab} />;
}

function OneExecution({ id, tab }: { id: string; tab: string }) {
  const { data: execution, error } = useExecution(id);
  useLive(id, execution?.status === "RUNNING");
  if (error instanceof ApiError && error.status === 404)
    return (
      <Empty title="There is no such execution">
        <p className="mono">{id}</p>
        <p>It was never started in this workspace, or is older than executions are kept.</p>
        <Link href="/executions" className="button">
          All executions
        </Link>
      </Empty>
    );
  if (error && !execution) return <Problem error={error} />;
  if (!execution) return <Loading />;
  return (
    <div className="page">
      <div>
        <div className="crumbs">
          <Link href="/executions">Executions</Link> / <Link href={`/workflows/${execution.workflow_name}`}>{execution.workflow_name}</Link>
        </div>
        <div className="page-head">
          <div className="buttons">
            <h1>{execution.execution_id}</h1>
            <Copy text={execution.execution_id} label="Copy the id" />
            <Status status={execution.status} />
            {execution.paused_at && <Badge tone="warn">Paused</Badge>}
          </div>
          <Actions execution={execution} />
        </div>
      </div>
      {error && <Problem error={error} />}
      <Head execution={execution} />
      {execution.status === "RUNNING" && <Why execution={execution} />}
      <nav className="tabs" aria-label="Parts of the execution">
        {TABS.map(([key, name]) => (
          <Link key={key} href={`/executions/${id}${key && `/${key}`}`} aria-current={tab === key ? "page" : undefined}>
            {name}
          </Link>
        ))}
      </nav>
      <Tab tab={tab} execution={execution} />
    </div>
  );
}

function Head({ execution }: { execution: Execution }) {
  const keys = Object.entries(execution.search_keys ?? {}).filter(([name]) => !name.startsWith("internal."));
  return (
    <div className="card card-body">
      <Facts
        facts={[
          ["Workflow", <Link href={`/workflows/${execution.workflow_name}`}>{execution.workflow_name}</Link>],
          ["Deployment", execution.deployment_name && <Link href={`/deployments/${execution.deployment_name}`}>{execution.deployment_name}</Link>],
          ...(execution.build_id ? [["Build", execution.build_id] as [string, React.ReactNode]] : []),
          ["Started", <Ago at={execution.start_time} />],
          [execution.end_time ? "Duration" : "Running for", <Lasting from={execution.start_time} until={execution.end_time} />],
          ...(execution.deadline_at && !execution.end_time ? [["Ended at the latest", <Ago at={execution.deadline_at} />] as [string, React.ReactNode]] : []),
          ...keys.map(([name, value]): [string, React.ReactNode] => [name, value || "–"]),
        ]}
      />
    </div>
  );
}

function Tab({ tab, execution }: { tab: string; execution: Execution }) {
  const history = useHistory(execution.execution_id);
  if (history.error && !history.data) return <Problem error={history.error} />;
  switch (tab) {
    case "history":
      if (!history.data) return <Loading rows={8} />;
      return <HistoryView events={history.data.events} side={<DownloadHistory name={execution.execution_id} history={history.data} />} />;
    case "messages":
      return <Messages execution={execution} />;
    case "children":
      return <Children execution={execution} />;
    case "raw":
      return <JsonView value={execution} label="Execution" />;
    default:
      return <Overview execution={execution} history={history.data} />;
  }
}
