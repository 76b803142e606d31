"""The client with a real host and a real worker."""

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest

from levante.client import (
    AlreadyStarted,
    AsyncClient,
    Client,
    ClientError,
    ExecutionClosed,
    HandlerFailed,
    InvalidInput,
    NotFound,
    NotReady,
    Unauthorized,
    WorkflowExecutionFailed,
)
from tests.e2e.called import Approval, Approved, Colour, Echo, EchoByChild, EchoPairs, Point, Values
from tests.support.processes import LocalSite, wait_until

pytestmark = pytest.mark.timeout(180)

VALUES = Values(
    day=date(2026, 11, 23),
    at=datetime(2026, 11, 23, 1, 2, 3, 456789, tzinfo=UTC),
    took=timedelta(seconds=1.5),
    price=Decimal("1.10"),
    id=UUID(int=5),
    data=b"\x00\xff",
    colour=Colour.RED,
    point=Point(1, 2.5),
    pair=(1, "a"),
    names=frozenset({"a", "b"}),
    by_number={1: "one"},
    text="a\u2028b\x85\U0001f984\x00",
)


@pytest.fixture
def site(local_site: LocalSite) -> LocalSite:
    """A host with a worker that serves the workflows."""
    local_site.start_worker("tests.e2e.called", Path.cwd())
    local_site.wait_for_workers(1)
    return local_site


@pytest.fixture
def client(site: LocalSite) -> Iterator[Client]:
    with Client(site.url, site.key) as client:
        yield client


def test_values_when_they_go_through_a_workflow_then_they_arrive_as_through_a_child(client: Client) -> None:
    """One set of rules: equal, and of the same classes."""
    assert client.execute(Echo, VALUES) == VALUES
    assert client.execute(EchoByChild, VALUES) == VALUES
    pairs = [(date(2026, 11, 23), Point(1, 2.5))]
    assert client.execute(EchoPairs.echo, {"pairs": pairs}) == pairs


def test_execution_when_it_is_talked_to_then_every_method_does_its_part(client: Client) -> None:
    """Start, query, update, signal, result, events, description."""
    handle = client.start(Approved, {"cents": 3}, execution_id="e1", deployment="d")
    with pytest.raises(AlreadyStarted):
        client.start(Approved, {"cents": 3}, execution_id="e1")
    with pytest.raises(NotReady):
        handle.result(timeout=0.2)
    assert handle.query(Approved.approvals) == ()
    assert handle.update(Approved.ask, {"seconds": 0.5}) == timedelta(seconds=0.5)
    with pytest.raises(HandlerFailed, match="not in the past"):
        handle.update(Approved.ask, {"seconds": -1})
    handle.signal(Approved.approve, Approval(by="me"), idempotency_key="once")
    handle.signal("approve", {"by": "me"}, idempotency_key="once")
    assert handle.result() == "3 charged, approved by me"
    with pytest.raises(ExecutionClosed):
        handle.signal(Approved.approve, Approval(by="me"))
    events = list(handle.stream())
    assert [event.sequence for event in events] == sorted(event.sequence for event in events)
    assert [event.type for event in events] == [
        "WORKFLOW_EXECUTION_STARTED",
        "ACTIVITY_TASK_STARTED",
        "ACTIVITY_TASK_COMPLETED",
        "WORKFLOW_EXECUTION_COMPLETED",
    ]
    third = next(iter(handle.stream(after=events[1].sequence)))
    assert (third.activity_name, third.value) == ("called-charge", "3 charged")
    assert (handle.describe().status, handle.describe().is_open) == ("COMPLETED", False)


def test_execution_when_it_does_not_complete_then_the_error_says_how_it_ended(client: Client) -> None:
    """Failed, cancelled, terminated; what user code raised is there with its cause."""
    with pytest.raises(WorkflowExecutionFailed, match="no refunds") as raised:
        client.execute(Approved, {"cents": -1})
    failed = raised.value
    assert (failed.execution_status, failed.failure_type, failed.details) == ("FAILED", "WorkflowError", {"cents": -1})
    assert failed.cause is not None
    assert str(failed.cause.__cause__) == "negative"
    for verb, status in (("cancel", "CANCELED"), ("terminate", "TERMINATED")):
        handle = client.start(Approved, {"cents": 1})
        getattr(handle, verb)()
        with pytest.raises(WorkflowExecutionFailed) as raised:
            handle.result(timeout=60)
        assert raised.value.execution_status == status


def test_calls_when_they_are_wrong_then_the_error_says_what_to_change(site: LocalSite, client: Client) -> None:
    """Here where the class is known, by the API where it is not."""
    with pytest.raises(InvalidInput) as here:
        client.execute(Approved, {"cents": "many"})
    with pytest.raises(InvalidInput) as there:
        client.execute("approved", {"cents": "many"})
    assert (here.value.problems[0].path, there.value.problems[0].path) == ("cents", "body.input.cents")
    with pytest.raises(NotFound, match="start a worker that serves it"):
        client.start("nothing")
    with pytest.raises(NotFound):
        client.handle("nobody").result()
    with Client(site.url, "lev_wrong") as stranger, pytest.raises(Unauthorized, match="LEVANTE_API_KEY"):
        stranger.start(Approved, {"cents": 1})


def test_result_when_the_host_is_killed_meanwhile_then_it_arrives_all_the_same(site: LocalSite, client: Client) -> None:
    """Waiting outlives what is waited on; so do streams, without a gap and without a repeat."""
    handle = client.start(Approved, {"cents": 3})
    results: list[str | ClientError] = []
    sequences: list[int] = []

    def wait() -> None:
        try:
            results.append(handle.result(timeout=120))
        except ClientError as error:
            results.append(error)

    threads = [
        threading.Thread(target=wait),
        threading.Thread(target=lambda: sequences.extend(event.sequence for event in handle.stream())),
    ]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(list(handle.stream(timeout=0.2))) >= 3, "the activity has run")
    assert site.host is not None
    site.host.kill()
    site.start_host()
    handle.signal(Approved.approve, Approval(by="me"))
    for thread in threads:
        thread.join()
    assert results == ["3 charged, approved by me"]
    assert sequences == sorted(set(sequences))
    assert len(sequences) == 4


def test_async_client_when_used_then_it_does_the_same(site: LocalSite) -> None:
    """Many executions at a time, on one client."""

    async def main() -> None:
        async with AsyncClient(site.url, site.key) as client:
            assert await client.execute(Echo, VALUES) == VALUES
            handles = await asyncio.gather(*(client.start(Approved, {"cents": cents}) for cents in range(20)))
            waiting = [asyncio.create_task(handle.result()) for handle in handles]
            for handle in handles:
                await handle.signal(Approved.approve, Approval(by="me"))
            assert await asyncio.gather(*waiting) == [f"{cents} charged, approved by me" for cents in range(20)]
            assert [event.type async for event in handles[0].stream()][-1] == "WORKFLOW_EXECUTION_COMPLETED"
            open_one = await client.start(Approved, {"cents": 1})
            with pytest.raises(NotReady):
                await open_one.result(timeout=0.2)
            await open_one.terminate()

    asyncio.run(main())
