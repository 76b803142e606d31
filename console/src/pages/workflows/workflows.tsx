/** All workflows that workers have registered. */
import { useInfiniteQuery } from "@tanstack/react-query";
import type { InfiniteData } from "@tanstack/react-query";
import { Link } from "wouter";
import { get } from "../../api/client";
import type { Schemas } from "../../api/client";
import { useQuery as useAddress } from "../../routing/hash";
import { Badge, Card, Empty, Loading, Problem, Table } from "../../ui/parts";

type Page = Schemas["WorkflowListResponse"];

export default function WorkflowsPage() {
  const [address, change] = useAddress();
  const search = address.get("q") ?? "";
  const { data, error, isPending, hasNextPage, fetchNextPage } = useInfiniteQuery<Page, Error, InfiniteData<Page>, [string, string], string | null>({
    queryKey: ["workflows", search],
    initialPageParam: null,
    queryFn: ({ pageParam, signal }) => get("/v1/workflows", { query: { search: search || undefined, limit: 100, cursor: pageParam ?? undefined }, signal }),
    getNextPageParam: (page) => page.next_cursor,
    placeholderData: (before) => before,
  });
  const rows = data?.pages.flatMap((page) => page.workflows) ?? [];
  return (
    <div className="page">
      <div className="page-head">
        <h1>Workflows</h1>
      </div>
      <div className="filters" role="search">
        <input className="input" type="search" aria-label="Search" placeholder="Name of a workflow" value={search} onChange={(event) => change({ q: event.target.value })} />
      </div>
      {error && <Problem error={error} />}
      <Card>
        {isPending ? <Loading /> : rows.length === 0 ? <NoWorkflows isFiltered={search !== ""} /> : <Rows rows={rows} />}
      </Card>
      {hasNextPage && (
        <div className="buttons">
          <button type="button" className="button" onClick={() => void fetchNextPage()}>
            Load more
          </button>
        </div>
      )}
    </div>
  );
}

function NoWorkflows({ isFiltered }: { isFiltered: boolean }) {
  if (isFiltered) return <Empty title="No workflow has such a name" />;
  return (
    <Empty title="No workflows yet">
      <p>
        They appear when a worker registers them: <code>levante worker shop.py</code>
      </p>
    </Empty>
  );
}

function Rows({ rows }: { rows: readonly Schemas["WorkflowBasicDefinition"][] }) {
  return (
    <Table label="Workflows">
      <thead>
        <tr>
          <th>Workflow</th>
          <th>What it does</th>
          <th>Tags</th>
          <th className="end">Executions</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((one) => (
          <tr key={one.id}>
            <td className="main-cell">
              <Link className="strong" href={`/workflows/${one.name}`}>
                {one.display_name}
              </Link>{" "}
              {one.archived && <Badge>Archived</Badge>}
            </td>
            <td className="quiet">{one.description ?? "–"}</td>
            <td>{one.tags.length ? one.tags.map((tag) => <Badge key={tag}>{tag}</Badge>) : <span className="quiet">–</span>}</td>
            <td className="end nowrap">
              <Link href={`/executions?workflow=${encodeURIComponent(one.name)}`}>
                Show<span className="hidden-visually"> executions of {one.name}</span>
              </Link>
            </td>
          </tr>
        ))}
      </tbody>
    </Table>
  );
}
