"""Starting executions."""

import re
from typing import Any

from pydantic import BaseModel

from tests.compat.scenarios.server import (
    DEPLOYMENT,
    GONE_DEPLOYMENT,
    POLL,
    SECOND_DEPLOYMENT,
    Server,
    fresh,
    raised,
    refused,
)

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Order(BaseModel):
    """What a caller has, who shares no code with the worker."""

    customer: str
    quantity: int


def test_execute_workflow_when_input_is_a_dict_then_a_running_execution_is_returned(server: Server) -> None:
    """Starting does not wait: the answer is the execution, RUNNING, without end and result."""
    started: Any = server.client.workflows.execute_workflow(workflow_identifier="greet", input={"name": "Ada"})
    assert re.fullmatch("[A-Za-z0-9_-]{1,256}", started.execution_id)
    assert (started.status, started.end_time, started.result) == ("RUNNING", None, None)
    assert (started.workflow_name, started.root_execution_id) == ("greet", started.execution_id)
    assert (started.deployment_name, started.parent_execution_id) == (DEPLOYMENT, None)
    assert started.start_time.utcoffset() is not None
    assert server.completed(started.execution_id).result == {"result": "hello Ada"}


def test_execute_workflow_when_input_is_a_model_then_its_fields_are_the_input(server: Server) -> None:
    """Pydantic models are sent as JSON objects."""
    execution = server.start("order", Order(customer="Ada", quantity=4))
    assert server.completed(execution).result == {"customer": "Ada", "total": 6.0, "city": None}


def test_execute_workflow_when_a_parameter_is_left_out_then_its_default_is_used(server: Server) -> None:
    """The worker's defaults are honoured, and a value that is given wins."""
    assert server.completed(server.start("greet", {"name": "Ada", "times": 2})).result == {"result": "hello Ada, hello Ada"}
    assert server.completed(server.start("greet", {"name": "Ada"})).result == {"result": "hello Ada"}


def test_execute_workflow_when_an_id_is_given_then_the_execution_has_it(server: Server) -> None:
    """Callers may choose the id; it is what everything else is asked by."""
    chosen = fresh("Given_Id")
    assert server.start("greet", {"name": "Ada"}, execution_id=chosen) == chosen
    assert server.completed(chosen).execution_id == chosen


def test_execute_workflow_when_the_id_is_of_the_longest_then_it_is_taken(server: Server) -> None:
    """Ids have up to 256 characters."""
    chosen = fresh("long").ljust(256, "_")
    assert server.completed(server.start("nothing", execution_id=chosen)).execution_id == chosen


def test_execute_workflow_when_no_id_is_given_then_each_execution_has_its_own(server: Server) -> None:
    """Without an id, the same call twice means two executions."""
    assert server.start("nothing") != server.start("nothing")


def test_execute_workflow_when_the_id_belongs_to_a_closed_one_then_a_new_run_starts(server: Server) -> None:
    """Ids are unique among running executions only: afterwards they may be used again, for another run."""
    chosen = fresh("again")
    first = server.completed(server.start("echo", {"value": 1}, execution_id=chosen))
    second = server.completed(server.start("echo", {"value": 2}, execution_id=chosen))
    assert (first.result, second.result) == ({"result": 1}, {"result": 2})
    assert first.run_id != second.run_id


def test_execute_workflow_when_the_workflow_is_named_by_its_id_then_it_runs(server: Server) -> None:
    """A workflow identifier is a name or an id."""
    workflow: Any = server.client.workflows.get_workflow(workflow_identifier="greet").workflow
    started: Any = server.client.workflows.execute_workflow(workflow_identifier=workflow.id, input={"name": "Ada"})
    assert (started.workflow_name, started.workflow_id) == ("greet", workflow.id)
    assert server.completed(started.execution_id).result == {"result": "hello Ada"}


def test_execute_workflow_when_a_deployment_is_named_then_it_goes_there(server: Server) -> None:
    """deployment_name selects one of several deployments that serve the workflow."""
    for deployment in (DEPLOYMENT, SECOND_DEPLOYMENT):
        execution = server.completed(server.start("shared", deployment_name=deployment))
        assert (execution.deployment_name, execution.result) == (deployment, {"result": "shared"})


def test_execute_workflow_when_a_task_queue_is_named_then_it_is_the_deployment(server: Server) -> None:
    """task_queue is the older name of deployment_name."""
    execution = server.completed(server.start("shared", task_queue=SECOND_DEPLOYMENT))
    assert execution.deployment_name == SECOND_DEPLOYMENT


def test_execute_workflow_when_several_deployments_serve_it_and_none_is_named_then_it_is_ambiguous(server: Server) -> None:
    """Nobody guesses where an execution should run."""
    body = refused(409, "AMBIGUOUS_WORKFLOW", server.start, "shared")
    assert sorted(body["deployments"]) == [DEPLOYMENT, SECOND_DEPLOYMENT]


def test_execute_workflow_when_every_option_is_used_then_it_runs(server: Server) -> None:
    """Whatever the client can send is taken."""
    execution = server.start(
        "greet",
        {"name": "Ada"},
        execution_id=fresh("options"),
        deployment_name=DEPLOYMENT,
        custom_tracing_attributes={"team": "tests"},
        force_new_trace=True,
        traceparent=TRACEPARENT,
        extensions={"plugin": {"depth": [1, None]}},
        timeout_seconds=5.5,
        wait_for_result=False,
    )
    assert server.completed(execution).result == {"result": "hello Ada"}


def test_execute_workflow_when_every_option_is_null_then_it_runs(server: Server) -> None:
    """Null is the same as leaving out."""
    execution = server.start(
        "nothing",
        None,
        execution_id=None,
        deployment_name=None,
        task_queue=None,
        custom_tracing_attributes=None,
        traceparent=None,
        extensions=None,
        timeout_seconds=None,
    )
    assert server.completed(execution).status == "COMPLETED"


def test_execute_workflow_when_it_takes_no_parameters_then_no_null_and_an_empty_input_will_do(server: Server) -> None:
    """Nothing to say can be said in three ways."""
    executions = server.client.workflows
    left_out: Any = executions.execute_workflow(workflow_identifier="nothing")
    null: Any = executions.execute_workflow(workflow_identifier="nothing", input=None)
    empty: Any = executions.execute_workflow(workflow_identifier="nothing", input={})
    assert [server.completed(one.execution_id).status for one in (left_out, null, empty)] == ["COMPLETED"] * 3


def test_execute_workflow_when_its_only_worker_is_gone_then_it_starts_and_stays_running(server: Server) -> None:
    """Starting needs no worker, only a registration; the execution waits for one."""
    started: Any = server.client.workflows.execute_workflow(workflow_identifier="abandoned", input={"number": 1})
    assert (started.status, started.deployment_name) == ("RUNNING", GONE_DEPLOYMENT)
    try:
        raised(TimeoutError, server.client.workflows.wait_for_workflow_completion, started.execution_id, POLL, 5)
    finally:
        server.terminate(started.execution_id)


def test_execute_workflow_registration_when_called_then_that_registration_runs(server: Server) -> None:
    """The deprecated call starts what one deployment registered, also where the name would be ambiguous."""
    listed = server.client.workflows.get_workflow_registrations(workflow_search="shared").workflow_registrations
    second = next(one for one in listed if one.deployment_name == SECOND_DEPLOYMENT)
    started: Any = server.client.workflows.execute_workflow_registration(workflow_registration_id=second.id)
    execution = server.completed(started.execution_id)
    assert (execution.deployment_name, execution.result) == (SECOND_DEPLOYMENT, {"result": "shared"})


def test_execute_workflow_when_the_server_url_ends_in_a_slash_then_it_works_as_well(server: Server) -> None:
    """People paste addresses with a slash at the end."""
    with server.new_client(url=f"{server.url}/") as client:
        assert client.workflows.execute_workflow_and_wait("greet", {"name": "Ada"}, use_api_sync=True) == {
            "result": "hello Ada"
        }
