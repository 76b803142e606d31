"""Requests that are refused: nothing is started, and the answer says what to change."""

from collections.abc import Callable
from typing import Any

from mistralai.client.errors import SDKError

from tests.compat.scenarios.server import (
    DEPLOYMENT,
    NEVER_SECONDS,
    Server,
    all_unauthenticated,
    fresh,
    invalid,
    raised,
    refused,
)

GOOD_ORDER = {"customer": "Ada", "quantity": 1}


def assert_not_started(server: Server, execution_id: str) -> None:
    """Nothing half-written is left of a refused start."""
    refused(404, "WF_1100", server.client.workflows.executions.get_workflow_execution, execution_id=execution_id)


def test_execute_workflow_when_the_workflow_is_unknown_then_404(server: Server) -> None:
    """Only registered workflows can be started: WF_1100, and the detail names it."""
    chosen, unknown = fresh("lost"), fresh("unknown")
    assert unknown in refused(404, "WF_1100", server.start, unknown, {}, execution_id=chosen)["detail"]
    assert_not_started(server, chosen)


def test_execute_workflow_when_the_deployment_does_not_serve_it_then_404(server: Server) -> None:
    """A deployment that is named has to have registered the workflow."""
    chosen = fresh("misrouted")
    body = refused(404, "WF_1100", server.start, "nothing", deployment_name="nowhere", execution_id=chosen)
    assert "nowhere" in body["detail"]
    assert DEPLOYMENT in body["detail"]
    assert_not_started(server, chosen)


def test_execute_workflow_when_the_registration_is_unknown_then_404(server: Server) -> None:
    """Nothing has this id: WF_1100."""
    registration = "00000000-0000-4000-8000-000000000000"
    execute = server.client.workflows.execute_workflow_registration
    refused(404, "WF_1100", execute, workflow_registration_id=registration)


def test_execute_workflow_when_the_id_is_running_then_409_and_the_first_goes_on(server: Server) -> None:
    """One running execution per id: WF_1101, whatever workflow and input the second one has."""
    chosen = fresh("duplicate")
    server.start("nap", {"seconds": NEVER_SECONDS}, execution_id=chosen)
    try:
        for workflow, input_ in (("nap", {"seconds": NEVER_SECONDS}), ("nothing", None)):
            body = refused(409, "WF_1101", server.start, workflow, input_, execution_id=chosen)
            assert chosen in body["detail"]
        execution: Any = server.client.workflows.executions.get_workflow_execution(execution_id=chosen)
        assert (execution.status, execution.workflow_name) == ("RUNNING", "nap")
    finally:
        server.terminate(chosen)


def test_execute_workflow_when_the_input_does_not_fit_then_422_locates_the_field(server: Server) -> None:
    """The input is checked against the workflow's schema before anything starts."""
    chosen = fresh("misfit")
    cases: tuple[tuple[str, Any, tuple[str | int, ...], str], ...] = (
        ("greet", {"name": 1}, ("body", "input", "name"), "string"),
        ("greet", {"name": "Ada", "times": "many"}, ("body", "input", "times"), "integer"),
        ("greet", {"name": "Ada", "tiems": 1}, ("body", "input"), "tiems"),
        ("greet", {}, ("body", "input"), "name"),
        ("greet", None, ("body", "input"), "name"),
        ("nothing", {"surplus": 1}, ("body", "input"), "surplus"),
        ("order", {**GOOD_ORDER, "quantity": 0}, ("body", "input", "quantity"), "minimum"),
        ("order", {"order": GOOD_ORDER}, ("body", "input"), "customer"),
        ("order", {**GOOD_ORDER, "surplus": 1}, ("body", "input"), "surplus"),
        ("listed", {"fate": "unheard of"}, ("body", "input", "fate"), "wait"),
    )
    for workflow, input_, place, word in cases:
        problems = invalid(server.start, workflow, input_, execution_id=chosen)
        assert place in problems, (workflow, input_, problems)
        assert word in str(problems), (workflow, input_, problems)
    assert_not_started(server, chosen)


def test_execute_workflow_when_a_nested_field_does_not_fit_then_422_locates_it(server: Server) -> None:
    """However deep the field is, its path is in the answer."""
    given = {**GOOD_ORDER, "address": {"city": 7}}
    problems = invalid(server.start, "order", given)
    assert any(place[:4] == ("body", "input", "address", "city") for place in problems) or (
        ("body", "input", "address") in problems
    ), problems


def test_execute_workflow_when_several_fields_do_not_fit_then_all_are_told(server: Server) -> None:
    """Callers mend everything at once."""
    problems = invalid(server.start, "order", {"customer": 1, "quantity": "two"})
    assert set(problems) == {("body", "input", "customer"), ("body", "input", "quantity")}


def test_execute_workflow_when_the_input_is_no_object_then_422(server: Server) -> None:
    """Input is an object or null."""
    for given in ([1, 2], "text", 7, True):
        assert list(invalid(server.start, "echo", given)) == [("body", "input")]


def test_execute_workflow_when_the_input_is_too_large_then_422(server: Server) -> None:
    """Inputs have up to 2 MB, counted in bytes."""
    chosen = fresh("heavy")
    for value in ("x" * 2_200_000, "世" * 800_000):
        problems = invalid(server.start, "echo", {"value": value}, execution_id=chosen)
        assert list(problems) == [("body", "input")]
        assert "2 MB" in problems["body", "input"]
    assert_not_started(server, chosen)


def test_execute_workflow_when_the_body_is_larger_than_a_gateway_takes_then_413(server: Server) -> None:
    """Bodies over 6 MB are not read at all."""
    chosen = fresh("heaviest")
    error = raised(SDKError, server.start, "echo", {"value": "x" * 6_500_000}, execution_id=chosen)
    assert error.status_code == 413
    assert "6 MB" in error.body
    assert_not_started(server, chosen)


def test_execute_workflow_when_the_execution_id_is_no_id_then_422(server: Server) -> None:
    """Ids have 1 to 256 letters, digits, '_' or '-'."""
    for chosen in ("", "a b", "a.b", "a/b", "ключ", "a\n", "x" * 257):
        problems = invalid(server.start, "nothing", execution_id=chosen)
        assert list(problems) == [("body", "execution_id")], chosen


def test_execute_workflow_when_the_deployment_name_is_none_then_422(server: Server) -> None:
    """Deployment names have 1 to 128 letters, digits, '_', '.' or '-'."""
    for name in ("", "a b", "x" * 129):
        problems = invalid(server.start, "nothing", deployment_name=name)
        assert list(problems) == [("body", "deployment_name")], name


def test_execute_workflow_when_the_timeout_is_negative_then_422(server: Server) -> None:
    """Nobody waits for less than no time."""
    problems = invalid(server.start, "nothing", wait_for_result=True, timeout_seconds=-1)
    assert list(problems) == [("body", "timeout_seconds")]


def test_any_call_when_the_key_is_wrong_then_401(server: Server) -> None:
    """Without a good key nothing is told: not even whether an id exists."""
    known, chosen = server.start("nothing"), fresh("unpaid")
    for key in ("wrong", server.key[:-1], server.key + "x", "ключ".encode().hex()):
        with server.new_client(key=key) as client:
            workflows = client.workflows
            calls: tuple[tuple[Callable[..., object], dict[str, Any]], ...] = (
                (workflows.get_workflows, {}),
                (workflows.deployments.list_deployments, {}),
                (workflows.executions.get_workflow_execution, {"execution_id": known}),
                (workflows.executions.get_workflow_execution, {"execution_id": chosen}),
                (workflows.execute_workflow, {"workflow_identifier": "nothing", "execution_id": chosen}),
                (workflows.execute_workflow, {"workflow_identifier": "nothing", "input": []}),
            )
            all_unauthenticated(calls if key == "wrong" else calls[-1:])
    assert_not_started(server, chosen)
