"""Workflows, registrations, deployments and workers."""

from typing import Any

from tests.compat.scenarios.server import DEPLOYMENT, GONE_DEPLOYMENT, SECOND_DEPLOYMENT, Server, fresh, invalid, refused

TECHNICAL = "__parallel_execution__"
"""Every worker serves it."""
NAMES = {
    TECHNICAL,
    "abandoned",
    "approval",
    "counter",
    "echo",
    "greet",
    "hurry",
    "large",
    "listed",
    "nap",
    "nothing",
    "order",
    "refuse",
    "shared",
    "stumble",
    "talk",
}

REGISTRATIONS = len(NAMES) + 3
"""One of them is served by two deployments, the technical workflow by all three."""


def sizes_of_pages(count: int, limit: int) -> list[int]:
    """Return how many there are on each page: all are full but for the last one."""
    return [min(limit, count - first) for first in range(0, count, limit)]


def workflow_pages(server: Server, **query: Any) -> list[list[Any]]:
    """Follow the client's pager to the end."""
    found = []
    page: Any = server.client.workflows.get_workflows(**query)
    while page is not None:
        found.append(page.result.workflows)
        page = page.next()
    return found


def names(server: Server, **query: Any) -> list[str]:
    """Return the names of all workflows that are listed."""
    return [workflow.name for page in workflow_pages(server, **query) for workflow in page]


def registrations(server: Server, **query: Any) -> list[Any]:
    """Return one page of registrations."""
    return list(server.client.workflows.get_workflow_registrations(**query).workflow_registrations)


def test_get_workflows_when_there_are_several_pages_then_the_pager_brings_each_once(server: Server) -> None:
    """Pages are full but for the last one; together they are everything, once, sorted by display name."""
    pages = workflow_pages(server, limit=5)
    assert [len(page) for page in pages] == sizes_of_pages(len(NAMES), 5)
    listed = [workflow for page in pages for workflow in page]
    assert {workflow.name for workflow in listed} == NAMES
    shown = [workflow.display_name for workflow in listed]
    assert sorted(shown, key=str.casefold) == shown
    assert [workflow.name for workflow in listed] == names(server)


def test_get_workflows_when_listed_then_display_name_and_description_are_there(server: Server) -> None:
    """What the decorator says of a workflow is shown; a workflow that has no display name goes by its name."""
    listed = {workflow.name: workflow for page in workflow_pages(server) for workflow in page}
    greet, nap = listed["greet"], listed["nap"]
    assert (greet.display_name, greet.description) == ("Greet somebody", "One activity, and its result")
    assert (nap.display_name, nap.archived, nap.tags) == ("nap", False, [])
    assert greet.id
    assert greet.id != nap.id


def test_get_workflows_when_filtered_then_only_those_are_listed(server: Server) -> None:
    """Search, deployment and order do what they say."""
    assert names(server, search="GREET") == ["greet"]
    assert names(server, search="no such thing") == []
    assert set(names(server, deployment_name=[SECOND_DEPLOYMENT])) == {"shared", TECHNICAL}
    assert set(names(server, deployment_name=[SECOND_DEPLOYMENT, GONE_DEPLOYMENT])) == {"shared", "abandoned", TECHNICAL}
    assert names(server, order="desc") == names(server)[::-1]
    assert set(names(server, archived=False)) == NAMES
    assert names(server, archived=True) == []
    assert {"greet", "shared"} <= set(names(server, active_only=True))
    assert {"greet", "shared"} <= set(names(server, deployment_status="active"))


def test_get_workflows_when_filtered_by_status_then_those_with_such_a_run_are_listed(server: Server) -> None:
    """One status and several are both sent by the client; a workflow that nobody started has none."""
    started = server.client.workflows.execute_workflow(workflow_identifier="nap", input={"seconds": 60})
    try:
        assert "nap" in names(server, status="RUNNING")
        assert "nap" in names(server, status=["RUNNING", "FAILED"])
        assert "abandoned" not in names(server, status=["RUNNING", "COMPLETED", "FAILED"])
    finally:
        server.client.workflows.executions.terminate_workflow_execution(execution_id=started.execution_id)


def test_get_workflow_when_asked_by_name_or_by_id_then_it_is_the_same(server: Server) -> None:
    """A workflow identifier is a name or an id."""
    workflows = server.client.workflows
    by_name: Any = workflows.get_workflow(workflow_identifier="greet").workflow
    by_id: Any = workflows.get_workflow(workflow_identifier=by_name.id).workflow
    assert by_id == by_name
    assert (by_name.name, by_name.display_name, by_name.type) == ("greet", "Greet somebody", "code")
    assert (by_name.active, by_name.archived, by_name.is_technical) == (True, False, False)
    assert by_name.workspace_id
    assert by_name.customer_id


def test_get_workflow_when_unknown_then_404(server: Server) -> None:
    """No deployment has registered it: WF_1100, by any name."""
    for unknown in (fresh("unknown"), "00000000-0000-4000-8000-000000000000", "a b"):
        refused(404, "WF_1100", server.client.workflows.get_workflow, workflow_identifier=unknown)


def test_get_workflow_registrations_when_listed_then_definition_and_workflow_are_there(server: Server) -> None:
    """A registration says what the worker said: schemas, timeout, determinism; the workflow itself if asked for."""
    workflow_id = server.client.workflows.get_workflow(workflow_identifier="greet").workflow.id
    (found,) = registrations(server, workflow_id=workflow_id, with_workflow=True)
    assert (found.workflow_id, found.workflow.id, found.workflow.name) == (workflow_id, workflow_id, "greet")
    assert found.deployment_name == DEPLOYMENT
    definition = found.definition
    assert set(definition.input_schema["properties"]) == {"name", "times"}
    assert definition.input_schema["required"] == ["name"]
    assert definition.output_schema["properties"]["result"]["type"] == "string"
    assert (definition.signals, definition.queries, definition.updates) == ([], [], [])
    assert (definition.execution_timeout, definition.on_behalf_of) == (3600.0, False)
    assert not registrations(server, workflow_id=workflow_id)[0].workflow


def test_get_workflow_registrations_when_two_deployments_serve_it_then_there_are_two(server: Server) -> None:
    """One registration per deployment; the older name of the list has the same."""
    answer: Any = server.client.workflows.get_workflow_registrations(workflow_search="shared", active_only=True)
    found = answer.workflow_registrations
    assert {one.deployment_name for one in found} == {DEPLOYMENT, SECOND_DEPLOYMENT}
    assert len({one.id for one in found}) == 2
    assert answer.workflow_versions == found
    in_second = registrations(server, task_queue=SECOND_DEPLOYMENT)
    assert len(in_second) == 2, "the technical workflow, and this one"
    assert [one for one in in_second if one in found] == [one for one in found if one.deployment_name == SECOND_DEPLOYMENT]


def test_get_workflow_registrations_when_there_are_several_pages_then_the_cursor_leads_on(server: Server) -> None:
    """Registrations have a plain cursor; null after the last page."""
    found: list[str] = []
    cursor: Any = None
    sizes = []
    while True:
        page: Any = server.client.workflows.get_workflow_registrations(limit=5, cursor=cursor)
        sizes.append(len(page.workflow_registrations))
        found += [one.id for one in page.workflow_registrations]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert sizes == sizes_of_pages(REGISTRATIONS, 5)
    assert len(set(found)) == REGISTRATIONS


def test_get_workflow_registration_when_asked_by_id_then_it_is_the_one_listed(server: Server) -> None:
    """Both names of the field carry it, and it is active while its worker lives."""
    (listed,) = registrations(server, workflow_search="greet", with_workflow=True)
    answer: Any = server.client.workflows.get_workflow_registration(workflow_registration_id=listed.id, with_workflow=True)
    found = answer.workflow_registration
    assert (found.id, found.definition, found.workflow) == (listed.id, listed.definition, listed.workflow)
    assert found.active is True
    assert answer.workflow_version == found


def test_get_workflow_registration_when_unknown_then_404(server: Server) -> None:
    """Nothing has this id: WF_1100."""
    unknown = "00000000-0000-4000-8000-000000000000"
    refused(404, "WF_1100", server.client.workflows.get_workflow_registration, workflow_registration_id=unknown)


def test_list_deployments_when_workers_live_then_they_are_counted(server: Server) -> None:
    """Deployments come from workers' heartbeats: active ones unless told otherwise."""
    answer: Any = server.client.workflows.deployments.list_deployments()
    assert answer.workspace_id
    assert answer.next_cursor is None
    found = {deployment.name: deployment for deployment in answer.deployments}
    for name in (DEPLOYMENT, SECOND_DEPLOYMENT):
        assert (found[name].is_active, found[name].worker_count, found[name].active_worker_count) == (True, 1, 1)
        assert found[name].last_heartbeat >= found[name].created_at
    everything: Any = server.client.workflows.deployments.list_deployments(active_only=False)
    assert {one.name for one in everything.deployments} == {DEPLOYMENT, SECOND_DEPLOYMENT, GONE_DEPLOYMENT}


def test_list_deployments_when_filtered_then_only_those_are_listed(server: Server) -> None:
    """By workflow and by name; a limit makes pages."""
    deployments = server.client.workflows.deployments
    serving: Any = deployments.list_deployments(workflow_name="shared")
    assert {one.name for one in serving.deployments} == {DEPLOYMENT, SECOND_DEPLOYMENT}
    searched: Any = deployments.list_deployments(search="gone", active_only=False)
    assert [one.name for one in searched.deployments] == [GONE_DEPLOYMENT]
    first: Any = deployments.list_deployments(active_only=False, limit=2)
    rest: Any = deployments.list_deployments(active_only=False, limit=2, cursor=first.next_cursor)
    assert (len(first.deployments), len(rest.deployments), rest.next_cursor) == (2, 1, None)


def test_get_deployment_when_asked_then_its_workers_are_there(server: Server) -> None:
    """A deployment shows its workers by name."""
    deployment: Any = server.client.workflows.deployments.get_deployment(name=SECOND_DEPLOYMENT)
    assert (deployment.name, deployment.is_active, deployment.is_hardened) == (SECOND_DEPLOYMENT, True, False)
    (worker,) = deployment.workers
    assert worker.is_active is True
    assert worker.last_heartbeat >= worker.created_at
    assert worker.name


def test_list_deployment_workers_when_asked_then_the_same_workers_are_listed(server: Server) -> None:
    """Workers can be listed on their own, and by whether they live."""
    deployments = server.client.workflows.deployments
    known: Any = deployments.get_deployment(name=DEPLOYMENT).workers
    listed: Any = deployments.list_deployment_workers(name=DEPLOYMENT)
    assert [worker.name for worker in listed.workers] == [worker.name for worker in known]
    assert listed.next_cursor is None
    assert len(deployments.list_deployment_workers(name=DEPLOYMENT, worker_status="active").workers) == 1
    assert deployments.list_deployment_workers(name=DEPLOYMENT, worker_status="inactive").workers == []


def test_listing_when_the_query_is_wrong_then_the_parameter_is_named(server: Server) -> None:
    """Limits go from 1 to 1000, and a cursor is one that was given out."""
    workflows, deployments = server.client.workflows, server.client.workflows.deployments
    for listing, arguments in (
        (workflows.get_workflows, {}),
        (workflows.get_workflow_registrations, {}),
        (deployments.list_deployments, {}),
        (deployments.list_deployment_workers, {"name": DEPLOYMENT}),
    ):
        for limit in (0, 1001):
            assert list(invalid(listing, limit=limit, **arguments)) == [("query", "limit")]
        assert list(invalid(listing, cursor="no-cursor", **arguments)) == [("query", "cursor")]


def test_deployment_when_unknown_then_404(server: Server) -> None:
    """No worker has ever registered under this name: WF_1100."""
    deployments, unknown = server.client.workflows.deployments, fresh("unknown")
    refused(404, "WF_1100", deployments.get_deployment, name=unknown)
    refused(404, "WF_1100", deployments.list_deployment_workers, name=unknown)


def add_tags(workflows: Any, tags: list[str]) -> None:
    """Add tags; the client's second major version has no method for that, so there they are set."""
    if hasattr(workflows, "add_workflow_tags"):
        workflows.add_workflow_tags(workflow_identifier="order", tags=tags)
    else:
        workflows.update_workflow(workflow_identifier="order", tags=tags)


def test_update_workflow_when_users_name_and_tag_it_then_listings_show_that(server: Server) -> None:
    """And what is not set stays; null brings back what the code says."""
    workflows: Any = server.client.workflows
    before = workflows.get_workflow(workflow_identifier="order").workflow
    changed = workflows.update_workflow(workflow_identifier="order", display_name="Orders of ours", tags=["shop"]).workflow
    assert (changed.display_name, changed.tags, changed.description) == ("Orders of ours", ["shop"], before.description)
    add_tags(workflows, ["shop", "daily"])
    listed = workflows.get_workflows(tags=["daily", "shop"], search="orders of").result.workflows
    assert [one.name for one in listed] == ["order"]
    restored = workflows.update_workflow(workflow_identifier="order", display_name=None, tags=[]).workflow
    assert (restored.display_name, restored.tags) == (before.display_name, [])


def test_archive_workflow_when_done_then_listings_can_leave_it_out(server: Server) -> None:
    """One, or several at once; what is not there is told beside the others."""
    workflows: Any = server.client.workflows
    unknown = fresh("unknown")
    try:
        assert workflows.archive_workflow(workflow_identifier="order").workflow.archived
        known = {one.name for one in workflows.get_workflows(archived=False, limit=1000).result.workflows}
        assert "order" not in known
        assert "order" in {one.name for one in workflows.get_workflows(archived=True, limit=1000).result.workflows}
    finally:
        assert not workflows.unarchive_workflow(workflow_identifier="order").workflow.archived
    several = workflows.bulk_archive_workflows(workflow_ids=["order", unknown])
    assert ([one.name for one in several.archived], [one.workflow_id for one in several.errored]) == (["order"], [unknown])
    back = workflows.bulk_unarchive_workflows(workflow_ids=["order", unknown])
    assert ([one.name for one in back.unarchived], [one.workflow_id for one in back.errored]) == (["order"], [unknown])


def test_workflow_edits_when_they_cannot_be_made_then_the_answer_says_why(server: Server) -> None:
    """404 for what is not there, 422 for tags that are none."""
    workflows: Any = server.client.workflows
    unknown = fresh("unknown")
    refused(404, "WF_1100", workflows.archive_workflow, workflow_identifier=unknown)
    refused(404, "WF_1100", workflows.update_workflow, workflow_identifier=unknown, tags=[])
    assert invalid(add_tags, workflows, [""]).keys() == {("body", "tags")}
