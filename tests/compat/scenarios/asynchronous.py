"""The asynchronous twins of the calls."""

import asyncio
from typing import Any

from mistralai.client import Mistral
from mistralai.client.errors import HTTPValidationError, SDKError

from tests.compat.scenarios.server import (
    ATTEMPTS,
    DEPLOYMENT,
    NEVER_SECONDS,
    POLL,
    SECOND_DEPLOYMENT,
    Server,
    fresh,
    refusal,
)


def test_async_execute_when_called_then_it_works_like_the_other(server: Server) -> None:
    """Start, look, wait, read the history."""

    async def talk(client: Mistral) -> None:
        started: Any = await client.workflows.execute_workflow_async(workflow_identifier="greet", input={"name": "Ada"})
        assert started.status == "RUNNING"
        execution = await client.workflows.wait_for_workflow_completion_async(started.execution_id, POLL, ATTEMPTS)
        assert execution.result == {"result": "hello Ada"}
        executions = client.workflows.executions
        found = await executions.get_workflow_execution_async(execution_id=started.execution_id)
        assert found == execution
        history: Any = await executions.get_workflow_execution_history_async(execution_id=started.execution_id)
        assert history["events"][-1]["kind"] == "execution_completed"

    server.in_a_loop(talk)


def test_async_execute_and_wait_when_called_then_both_ways_return_the_result(server: Server) -> None:
    """Polling, and one request that waits."""

    async def talk(client: Mistral) -> None:
        execute = client.workflows.execute_workflow_and_wait_async
        order = {"customer": "Ada", "quantity": 2}
        polled = await execute("order", order, polling_interval=POLL)
        waited = await execute("order", order, use_api_sync=True)
        assert polled == waited == {"customer": "Ada", "total": 3.0, "city": None}

    server.in_a_loop(talk)


def test_async_execute_and_wait_when_many_wait_at_once_then_each_gets_its_own_result(server: Server) -> None:
    """Waiting requests do not stand in one another's way, nor in that of other requests."""

    async def talk(client: Mistral) -> list[Any]:
        execute = client.workflows.execute_workflow_and_wait_async
        return await asyncio.gather(
            *(execute("echo", {"value": number}, use_api_sync=True) for number in range(25)),
            *(execute("echo", {"value": number}, polling_interval=POLL) for number in range(25, 50)),
        )

    assert server.in_a_loop(talk) == [{"result": number} for number in range(50)]


def test_async_execute_when_many_ask_for_one_id_then_exactly_one_starts(server: Server) -> None:
    """Of callers that race for an execution id, one wins and the others are told."""
    chosen = fresh("contested")

    async def talk(client: Mistral) -> list[Any]:
        execute = client.workflows.execute_workflow_async
        racing = [
            execute(workflow_identifier="nap", input={"seconds": NEVER_SECONDS}, execution_id=chosen) for _ in range(10)
        ]
        return await asyncio.gather(*racing, return_exceptions=True)

    outcomes = server.in_a_loop(talk)
    server.terminate(chosen)
    losers = [outcome for outcome in outcomes if isinstance(outcome, SDKError)]
    assert len(losers) == 9, outcomes
    for loser in losers:
        refusal(409, "WF_1101", loser)


def test_async_execute_and_wait_when_the_workflow_fails_then_it_raises(server: Server) -> None:
    """The same errors as from the other calls."""

    async def talk(client: Mistral) -> None:
        execute = client.workflows.execute_workflow_and_wait_async
        outcomes = await asyncio.gather(
            execute("refuse", {"reason": "no stock"}, polling_interval=POLL),
            execute("refuse", {"reason": "no stock"}, use_api_sync=True),
            return_exceptions=True,
        )
        polled, waited = outcomes
        assert isinstance(polled, RuntimeError)
        assert str(polled) == "Workflow failed with status: FAILED"
        assert isinstance(waited, SDKError)
        assert refusal(409, "EXECUTION_NOT_COMPLETED", waited)["status"] == "FAILED"

    server.in_a_loop(talk)


def test_async_listings_when_there_are_several_pages_then_the_pagers_lead_on(server: Server) -> None:
    """`.next()` is awaited here."""
    expected = [server.start("nothing") for _ in range(3)]

    async def talk(client: Mistral) -> None:
        runs: Any = await client.workflows.runs.list_runs_async(workflow_identifier="nothing", page_size=2)
        more = await runs.next()
        rows = [*runs.result.executions, *more.result.executions]
        assert [run.execution_id for run in rows[:3]] == expected[::-1]
        first: Any = await client.workflows.get_workflows_async(limit=10)
        second = await first.next()
        assert (len(first.result.workflows), len(second.result.workflows)) == (10, 5)
        assert await second.next() is None

    server.in_a_loop(talk)


def test_async_catalogue_when_asked_then_it_says_the_same(server: Server) -> None:
    """Workflows, registrations, deployments, workers."""

    async def talk(client: Mistral) -> None:
        workflows, deployments = client.workflows, client.workflows.deployments
        workflow = await workflows.get_workflow_async(workflow_identifier="greet")
        assert workflow == server.client.workflows.get_workflow(workflow_identifier="greet")
        listed = await workflows.get_workflow_registrations_async(workflow_search="greet")
        (registration,) = listed.workflow_registrations
        found = await workflows.get_workflow_registration_async(workflow_registration_id=registration.id)
        assert found.workflow_registration.id == registration.id
        names = {one.name for one in (await deployments.list_deployments_async()).deployments}
        assert names >= {DEPLOYMENT, SECOND_DEPLOYMENT}
        assert (await deployments.get_deployment_async(name=DEPLOYMENT)).name == DEPLOYMENT
        assert len((await deployments.list_deployment_workers_async(name=DEPLOYMENT)).workers) == 1

    server.in_a_loop(talk)


def test_async_terminate_when_called_then_executions_are_closed(server: Server) -> None:
    """One, and several at once."""
    first, second, third = (server.start("nap", {"seconds": NEVER_SECONDS}) for _ in range(3))

    async def talk(client: Mistral) -> None:
        executions = client.workflows.executions
        await executions.terminate_workflow_execution_async(execution_id=first)
        answer: Any = await executions.batch_terminate_workflow_executions_async(execution_ids=[first, second, third])
        assert [answer.results[one].status for one in (first, second, third)] == ["failure", "success", "success"]

    server.in_a_loop(talk)
    assert {server.status(one) for one in (first, second, third)} == {"TERMINATED"}


def test_async_call_when_refused_then_the_errors_are_the_same(server: Server) -> None:
    """404 and 409 with their codes, 422 with a list."""
    chosen = server.start("nap", {"seconds": NEVER_SECONDS}, execution_id=fresh("async"))

    async def talk(client: Mistral) -> tuple[Any, ...]:
        execute = client.workflows.execute_workflow_async
        return await asyncio.gather(
            client.workflows.executions.get_workflow_execution_async(execution_id=fresh("unknown")),
            execute(workflow_identifier="nothing", execution_id=chosen),
            execute(workflow_identifier="greet", input={"name": 1}),
            return_exceptions=True,
        )

    try:
        unknown, duplicate, misfit = server.in_a_loop(talk)
    finally:
        server.terminate(chosen)
    assert isinstance(unknown, SDKError)
    refusal(404, "WF_1100", unknown)
    assert isinstance(duplicate, SDKError)
    refusal(409, "WF_1101", duplicate)
    assert isinstance(misfit, HTTPValidationError)
    assert [problem.loc for problem in misfit.data.detail or []] == [["body", "input", "name"]]
