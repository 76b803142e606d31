"""Listing runs. Of the workflow `listed` there are only those that these scenarios start."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from tests.compat.scenarios.server import DEPLOYMENT, GONE_DEPLOYMENT, Server, fresh, invalid, refused


def pages(server: Server, **query: Any) -> Iterator[list[Any]]:
    """Follow the client's pager to the end."""
    page: Any = server.client.workflows.runs.list_runs(**query)
    while page is not None:
        yield page.result.executions
        page = page.next()


def ids(server: Server, **query: Any) -> list[str]:
    """Return the ids of all runs that are listed."""
    return [run.execution_id for page in pages(server, **query) for run in page]


def started(server: Server, *fates: str) -> list[str]:
    """Start an execution for each fate, and wait until the fates have come true. Returns the ids."""
    found = []
    for fate in fates:
        execution_id = server.start("listed", {"fate": fate})
        if fate == "complete":
            server.completed(execution_id)
        elif fate == "fail":
            server.failed(execution_id)
        found.append(execution_id)
    return found


def test_list_runs_when_there_are_several_pages_then_the_pager_brings_each_run_once(server: Server) -> None:
    """Pages are full but for the last one, newest first; together they are everything, once."""
    expected = started(server, *["complete"] * 5)
    found = list(pages(server, workflow_identifier="listed", page_size=2))
    assert {len(page) for page in found[:-1]} == {2}
    assert len(found[-1]) <= 2
    listed = [run for page in found for run in page]
    assert [run.execution_id for run in listed[:5]] == expected[::-1]
    assert len({run.run_id for run in listed}) == len(listed)
    assert [run.execution_id for run in listed] == ids(server, workflow_identifier="listed", page_size=1000)


def test_list_runs_when_the_order_is_ascending_then_the_oldest_comes_first(server: Server) -> None:
    """Both orders go by start time."""
    expected = started(server, *["complete"] * 3)
    times = [
        run.start_time for page in pages(server, workflow_identifier="listed", order="asc", page_size=2) for run in page
    ]
    assert times == sorted(times)
    assert ids(server, workflow_identifier="listed", order="asc")[-3:] == expected
    assert ids(server, workflow_identifier="listed", order="desc", sort_by="start_time")[:3] == expected[::-1]


def test_list_runs_when_filtered_by_status_then_only_those_are_listed(server: Server) -> None:
    """One status or several; the pages are full all the same."""
    completed, failed, waiting, again = started(server, "complete", "fail", "wait", "complete")
    mine = {completed, failed, waiting, again}

    def found(status: Any) -> set[str]:
        return mine.intersection(ids(server, workflow_identifier="listed", status=status, page_size=1))

    try:
        assert found("COMPLETED") == {completed, again}
        assert found(["FAILED"]) == {failed}
        assert found(["RUNNING", "FAILED"]) == {waiting, failed}
        assert found(["TIMED_OUT", "CANCELED", "CONTINUED_AS_NEW"]) == set()
        assert found("RETRYING_AFTER_ERROR") == set()
    finally:
        server.terminate(waiting)
    assert found("TERMINATED") == {waiting}
    assert found("RUNNING") == set()


def test_list_runs_when_filtered_by_workflow_then_name_and_id_mean_the_same(server: Server) -> None:
    """A workflow identifier is a name or an id; runs of other workflows are left out."""
    other = server.start("nothing")
    (mine,) = started(server, "complete")
    workflow_id = server.client.workflows.get_workflow(workflow_identifier="listed").workflow.id
    by_id = ids(server, workflow_identifier=workflow_id)
    assert by_id == ids(server, workflow_identifier="listed")
    assert mine in by_id
    assert other not in by_id


def test_list_runs_when_not_filtered_then_runs_of_all_workflows_are_listed(server: Server) -> None:
    """Without a filter, everything is there, newest first."""
    first, second = server.start("nothing"), server.start("greet", {"name": "Ada"})
    page: Any = server.client.workflows.runs.list_runs(page_size=2)
    assert [run.execution_id for run in page.result.executions] == [second, first]
    assert page.result.next_page_token


def test_list_runs_when_a_run_is_listed_then_it_says_what_the_execution_says(server: Server) -> None:
    """The rows of the listing and the execution agree."""
    (execution_id,) = started(server, "fail")
    run: Any = next(pages(server, workflow_identifier="listed", page_size=1))[0]
    execution: Any = server.client.workflows.executions.get_workflow_execution(execution_id=execution_id)
    for name in ("execution_id", "root_execution_id", "run_id", "workflow_name", "workflow_id", "status"):
        assert getattr(run, name) == getattr(execution, name), name
    for name in ("start_time", "end_time", "deployment_name", "parent_execution_id", "total_duration_ms"):
        assert getattr(run, name) == getattr(execution, name), name
    assert (run.status, run.deployment_name) == ("FAILED", DEPLOYMENT)


def test_list_runs_when_filtered_by_search_keys_then_the_four_forms_find_what_they_say(server: Server) -> None:
    """`key:value` similar, `key==:value` exactly, `key` there, `key==` there without a value; all of several."""
    label = fresh("Label")
    found, other = (server.start("listed", {"fate": "complete", "label": text}) for text in (label, f"{label}-2"))
    for execution_id in (found, other):
        server.completed(execution_id)
    for keys, expected in (
        ([f"label:{label.upper()}"], {found, other}),
        ([f"label==:{label}"], {found}),
        ([f"label==:{label.upper()}"], set()),
        ([f"label:{label}", "labelled=="], {found, other}),
        ([f"label:{label}", "label=="], set()),
        ([f"label:{label}", "fate==:complete", "labelled"], {found, other}),
        ([f"label:{label}", "unknown"], set()),
    ):
        assert set(ids(server, workflow_identifier="listed", search_key=keys)) == expected, keys
    execution: Any = server.client.workflows.executions.get_workflow_execution(execution_id=found, include_search_keys=True)
    assert execution.search_keys == {"fate": "complete", "label": label, "labelled": ""}


def test_list_runs_when_searched_then_ids_and_names_are_looked_at(server: Server) -> None:
    """Any part of them, whatever the case."""
    chosen = fresh("Needle-in-a-haystack")
    server.start("listed", {"fate": "complete"}, execution_id=chosen)
    server.completed(chosen)
    assert ids(server, search=chosen.upper()) == [chosen]
    assert ids(server, root_execution_id=chosen, deployment_name=DEPLOYMENT) == [chosen]
    assert ids(server, root_execution_id=chosen, deployment_name="nobodys") == []


def test_list_runs_when_an_id_was_used_twice_then_both_runs_are_listed(server: Server) -> None:
    """One row per run, not per execution."""
    chosen = fresh("listed-twice")
    for fate in ("complete", "fail"):
        server.start("listed", {"fate": fate}, execution_id=chosen)
        server.completed(chosen) if fate == "complete" else server.failed(chosen)
    rows = [run for page in pages(server, workflow_identifier="listed") for run in page if run.execution_id == chosen]
    assert [run.status for run in rows] == ["FAILED", "COMPLETED"]
    assert rows[0].run_id != rows[1].run_id


def test_list_runs_when_the_query_is_wrong_then_the_parameter_is_named(server: Server) -> None:
    """Page sizes go from 1 to 1000, and a page token is one that was given out."""
    runs = server.client.workflows.runs
    for size in (0, -1, 1001):
        assert list(invalid(runs.list_runs, page_size=size)) == [("query", "page_size")]
    assert list(invalid(runs.list_runs, next_page_token="no-token")) == [("query", "next_page_token")]


def test_get_run_when_asked_for_by_its_id_then_each_run_of_an_execution_is_there(server: Server) -> None:
    """The latest run, an earlier one, and one of which nothing is recorded yet; with its own history each."""
    runs: Any = server.client.workflows.runs
    execution_id = fresh("twice")
    found = []
    for quantity in (1, 2):
        server.start("order", {"customer": "Ada", "quantity": quantity}, execution_id=execution_id)
        found.append(server.completed(execution_id).run_id)
    for quantity, run_id in enumerate(found, 1):
        run = runs.get_run(run_id=run_id)
        assert (run.run_id, run.execution_id, run.status) == (run_id, execution_id, "COMPLETED")
        history = runs.get_run_history(run_id=run_id, decode_payloads=True)
        assert (history["run_id"], history["events"][0]["input"]["quantity"]) == (run_id, quantity)
    waiting = server.start("abandoned", {"number": 1}, deployment_name=GONE_DEPLOYMENT)
    run_id = server.client.workflows.executions.get_workflow_execution(execution_id=waiting).run_id
    assert runs.get_run(run_id=run_id).status == "RUNNING"
    server.terminate(waiting)
    refused(404, "WF_1100", runs.get_run, run_id=fresh("unknown"))
    refused(404, "WF_1100", runs.get_run_history, run_id=fresh("unknown"))


def test_metrics_when_executions_have_ended_then_they_are_counted_and_measured(server: Server) -> None:
    """Of the last day, or of the period that is named."""
    metrics: Any = server.client.workflows.metrics
    before = metrics.get_workflow_metrics(workflow_name="listed")
    began = datetime.now(UTC)
    started(server, "complete", "complete", "fail")
    after = metrics.get_workflow_metrics(workflow_name="listed")
    assert after.execution_count.value - before.execution_count.value == 3
    assert after.success_count.value - before.success_count.value == 2
    assert after.error_count.value - before.error_count.value == 1
    assert after.average_latency_ms.value > 0
    assert after.latency_over_time.value[-1][1] > 0
    assert after.retry_rate.value == -1
    later = metrics.get_workflow_metrics(workflow_name="listed", start_time=began, end_time=datetime.now(UTC))
    assert (later.execution_count.value, later.success_count.value, later.error_count.value) == (3, 2, 1)
    refused(404, "WF_1100", metrics.get_workflow_metrics, workflow_name=fresh("unknown"))
    wrong = invalid(metrics.get_workflow_metrics, workflow_name="listed", start_time=datetime.now(UTC), end_time=began)
    assert wrong.keys() == {("query", "end_time")}
