"""The testing kit, as users meet it: `levante.testing`."""

import asyncio
import gc
import sys
import time
from datetime import datetime, timedelta
from types import ModuleType

import pytest
from pydantic import BaseModel

import levante as workflows
from levante import workflow
from levante.errors import NonDeterminismError
from levante.testing import ExecutionNotCompleted, History, WorkflowEnvironment, run_in_virtual_time
from levante.testing.installation import InProcessApi
from levante.testing.other_process import replay_elsewhere
from levante.worker.transport.api import ApiError
from levante_core.errors import HandlerFailed, InvalidInput

pytest_plugins = ["pytester"]


class Order(BaseModel):
    """What is ordered."""

    item: str
    count: int = 1


class Receipt(BaseModel):
    """What was paid, and when."""

    text: str
    at: datetime


@workflows.activity(retry_policy_max_attempts=5)
async def charge(order: Order) -> str:
    """Ask the bank."""
    raise NotImplementedError


@workflows.activity()
def slow_in_a_thread(seconds: float) -> str:
    """Keep a thread busy for a while that is not virtual."""
    time.sleep(seconds)
    return "slept"


@workflow.define(name="kit-order", execution_timeout=timedelta(days=800))
class OrderFlow:
    """Waits for an approval, then for a year, then charges."""

    def __init__(self) -> None:
        self.approved_by = ""

    @workflow.entrypoint
    async def run(self, order: Order) -> Receipt:
        """See the class."""
        await workflow.wait_condition(lambda: bool(self.approved_by))
        await workflow.sleep(timedelta(days=365))
        text = await charge(order)
        return Receipt(text=f"{text} for {self.approved_by}", at=workflow.now())

    @workflow.signal(name="approve")
    def approve(self, by: str) -> None:
        """Let it go on."""
        self.approved_by = by

    @workflow.query(name="approved_by")
    def who(self) -> str:
        """Say who approved."""
        return self.approved_by

    @workflow.update(name="approve_now")
    async def approve_now(self, by: str) -> str:
        """Let it go on, after an hour."""
        if not by:
            raise workflows.WorkflowError("by whom?")
        await workflow.sleep(3600)
        self.approved_by = by
        return by


@workflow.define(name="kit-chain")
class Chain:
    """Five activities one after the other."""

    @workflow.entrypoint
    async def run(self) -> list[str]:
        """Return what they returned."""
        return [await charge(Order(item=str(number))) for number in range(5)]


@workflow.define(name="kit-thread")
class Thread:
    """An activity in a thread, beside a timer."""

    @workflow.entrypoint
    async def run(self) -> str:
        """Return what the thread said."""
        return await slow_in_a_thread(0.2)


@workflows.activity(name="kit-tea")
async def tea() -> str:
    """Fetch one of five things."""
    return "tea"


@workflows.activity(name="kit-milk")
async def milk() -> str:
    """Fetch another one."""
    return "milk"


@workflows.activity(name="kit-sugar")
async def sugar() -> str:
    """Fetch another one."""
    return "sugar"


@workflows.activity(name="kit-spoon")
async def spoon() -> str:
    """Fetch another one."""
    return "spoon"


@workflows.activity(name="kit-cup")
async def cup() -> str:
    """Fetch another one."""
    return "cup"


FETCHED = {"tea": tea, "milk": milk, "sugar": sugar, "spoon": spoon, "cup": cup}


@workflow.define(name="kit-tray")
class Tray:
    """Fetches things in the order of a set of their names, or in a fixed one."""

    @workflow.entrypoint
    async def run(self, is_sorted: bool) -> list[str]:  # noqa: FBT001 - an input
        """Return what was fetched."""
        names = set(FETCHED)
        return [await FETCHED[name]() for name in (sorted(names) if is_sorted else names)]


def paid(order: Order) -> str:
    return f"paid {order.item}"


@pytest.mark.levante
@pytest.mark.parametrize("always_replay", [False, True])
async def test_environment_when_a_workflow_takes_a_year_then_the_test_does_not(always_replay: bool) -> None:  # noqa: FBT001
    """Signals, queries and results as a client sees them; the result is the workflow's own type."""
    async with WorkflowEnvironment([OrderFlow], mocks={charge: paid}, always_replay=always_replay) as environment:
        order = await environment.start(OrderFlow, Order(item="tea"), execution_id="o-1")
        assert (order.id, await order.status(), await order.query("approved_by")) == ("o-1", "RUNNING", "")
        await order.signal("approve", by="ann")
        receipt = await order.result()
        assert isinstance(receipt, Receipt)
        assert receipt.text == "paid tea for ann"
        history = await order.history()
        began = datetime.fromisoformat(history.events[0]["recorded_at"])
        assert receipt.at - began == timedelta(days=365)
        history.assert_has("signal_received", "timer_started", "timer_fired", "activity_scheduled", "execution_completed")
        assert history.activities == ["charge"]
        history.replay(OrderFlow)
        with pytest.raises(ValueError, match="of workflow 'kit-order', not of 'kit-chain'"):
            history.replay(Chain)


@pytest.mark.levante
async def test_environment_when_updates_are_called_then_their_answer_comes_back() -> None:
    """Refusals, too; the virtual clock runs on while the caller waits."""
    async with WorkflowEnvironment([OrderFlow], mocks={"charge": paid}) as environment:
        order = await environment.start(OrderFlow, Order(item="tea"))
        with pytest.raises(HandlerFailed, match="by whom"):
            await order.update("approve_now", by="")
        assert await order.update("approve_now", by="bob") == "bob"
        assert (await order.result()).text == "paid tea for bob"


@pytest.mark.levante
async def test_environment_when_an_execution_does_not_complete_then_the_error_says_how_it_ended() -> None:
    """Failed, cancelled, terminated or out of time."""

    def refused(order: Order) -> str:
        raise workflows.WorkflowError("no money", non_retryable=True)

    async with WorkflowEnvironment([OrderFlow, Chain], mocks={charge: refused}) as environment:
        with pytest.raises(ExecutionNotCompleted, match="is FAILED: activity 'charge' failed on attempt 1: no money"):
            await environment.execute(Chain)
        ends = {}
        for end in ("cancel", "terminate", "wait"):
            order = await environment.start(OrderFlow, {"item": end})
            if end != "wait":
                await getattr(order, end)()
            with pytest.raises(ExecutionNotCompleted) as raised:
                await order.result()
            ends[end] = raised.value.status
        assert ends == {"cancel": "CANCELED", "terminate": "TERMINATED", "wait": "TIMED_OUT"}
        with pytest.raises(InvalidInput):
            await environment.start(OrderFlow, {"thing": "tea"})


@pytest.mark.levante
@pytest.mark.parametrize("commit", range(1, 8))
async def test_environment_when_the_worker_dies_after_a_commit_then_another_one_goes_on(commit: int) -> None:
    """No step that was recorded runs again, and the outcome is the same."""
    ran: list[str] = []

    async def count(order: Order) -> str:
        ran.append(order.item)
        return order.item

    async with WorkflowEnvironment([Chain], mocks={charge: count}, crashes=[commit]) as environment:
        assert await environment.execute(Chain) == ["0", "1", "2", "3", "4"]
    assert sorted(set(ran)) == ["0", "1", "2", "3", "4"]
    assert len(ran) <= 6


@pytest.mark.levante
async def test_environment_when_attempts_fail_then_their_pauses_take_no_time() -> None:
    """1 + 2 + 4 + 8 virtual seconds lie between five attempts."""
    loop = asyncio.get_running_loop()
    attempts: list[float] = []

    def flaky(order: Order) -> str:
        attempts.append(loop.time())
        if len(attempts) < 5:
            raise ConnectionError
        return order.item

    async with WorkflowEnvironment([Chain], mocks={charge: flaky}) as environment:
        await environment.execute(Chain)
    assert attempts[4] - attempts[0] == pytest.approx(15, abs=0.5)


@pytest.mark.levante
async def test_environment_when_an_activity_works_in_a_thread_then_time_stands_still_for_it() -> None:
    """Leases, heartbeats and timeouts do not run out meanwhile."""
    began = asyncio.get_running_loop().time()
    async with WorkflowEnvironment([Thread], activities=[slow_in_a_thread]) as environment:
        assert await environment.execute(Thread) == "slept"
    assert asyncio.get_running_loop().time() - began < 10


OTHER_TEST = """
from levante import activity, workflow
from levante.errors import WorkflowError

@activity(retry_policy_max_attempts=1)
async def charge() -> str: return "of another test"

@workflow.define(name="kit-other")
class Other:
    @workflow.entrypoint
    async def run(self) -> str: return await charge()
"""


def imported(monkeypatch: pytest.MonkeyPatch, name: str) -> ModuleType:
    module = ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)
    exec(compile(OTHER_TEST, f"{name}.py", "exec"), vars(module))  # noqa: S102 - a test module of somebody else
    return module


@pytest.mark.levante
async def test_activities_when_another_test_imports_one_of_the_same_name_then_each_workflow_has_that_of_its_module(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two files of one test session may both have a `charge`."""
    others = imported(monkeypatch, "test_of_others")
    async with WorkflowEnvironment([others.Other]) as environment:
        assert await environment.execute(others.Other) == "of another test"
    async with WorkflowEnvironment([Chain], mocks={charge: paid}) as environment:
        assert await environment.execute(Chain) == [f"paid {number}" for number in range(5)]


@pytest.mark.levante
async def test_activities_when_it_is_open_which_is_meant_then_the_call_fails_and_names_the_places(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is chosen by the order of imports, and who does not call it is not bothered."""
    first = imported(monkeypatch, "test_one")
    imported(monkeypatch, "test_two")
    monkeypatch.setattr(first.Other, "__module__", "elsewhere")
    async with WorkflowEnvironment([first.Other]) as environment:
        with pytest.raises(
            ExecutionNotCompleted, match=r"\d activities are named 'charge': .*test_one.py:5 .*activities=\[...\]"
        ):
            await environment.execute(first.Other)


def test_mock_when_there_is_no_such_activity_then_the_error_lists_them() -> None:
    """A mock that mocks nothing would let the real thing run."""
    with pytest.raises(ValueError, match=r"no activity 'charges' to mock, only: charge. Did you mean 'charge'\?$"):
        WorkflowEnvironment([Chain], activities=[charge], mocks={"charges": paid})


@pytest.mark.levante
async def test_worker_when_it_runs_in_an_environment_then_no_call_of_it_fails(caplog: pytest.LogCaptureFixture) -> None:
    """What fails in the background is tried again for ever, and fills a year of virtual time with it."""
    with caplog.at_level("WARNING", "levante"):
        async with WorkflowEnvironment([Thread], activities=[slow_in_a_thread]) as environment:
            assert await environment.execute(Thread) == "slept"
    assert [record.getMessage() for record in caplog.records] == []


def test_history_when_something_is_not_in_it_then_the_assertion_says_what_is() -> None:
    """In order: what comes too early does not count."""
    history = History({"events": [{"kind": "a"}, {"kind": "b"}]})
    history.assert_has("a", "b")
    with pytest.raises(AssertionError, match="no a where it was expected; the history is: a, b"):
        history.assert_has("b", "a")


@pytest.mark.slow
def test_plugin_when_a_test_is_marked_then_it_runs_in_virtual_time(pytester: pytest.Pytester) -> None:
    """Fixtures are passed on; other tests are left alone."""
    pytester.makepyfile(
        """
        import asyncio

        import pytest

        @pytest.mark.levante
        async def test_marked(tmp_path):
            before = asyncio.get_running_loop().time()
            await asyncio.sleep(86400)
            assert asyncio.get_running_loop().time() - before >= 86400
            assert tmp_path.exists()

        @pytest.mark.levante
        async def test_failing():
            await asyncio.sleep(1)
            raise ValueError

        def test_plain():
            pass
        """
    )
    result = pytester.runpytest_subprocess("-p", "levante_pytest", "-p", "no:randomly", "--strict-markers")
    result.assert_outcomes(passed=2, failed=1)


def get_bank() -> str:
    raise ConnectionRefusedError("no bank in tests")


@workflows.activity(name="kit-pay")
async def pay(bank: str = workflows.Depends(get_bank)) -> str:
    """Pay what there is to pay."""
    return bank


@workflow.define(name="kit-payment")
class Payment:
    """Pays."""

    @workflow.entrypoint
    async def run(self) -> str:
        """See the class."""
        return await pay()


@pytest.mark.levante
async def test_environment_when_an_activity_is_mocked_then_its_providers_are_not_asked() -> None:
    async with WorkflowEnvironment([Payment], mocks={pay: lambda: "paid"}) as environment:
        assert await environment.execute(Payment) == "paid"


@pytest.mark.levante
async def test_environment_when_a_worker_is_refused_then_it_says_why_instead_of_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def refuse(*_: object) -> bytes:
        raise ApiError(403, "this key may not register workers")

    monkeypatch.setattr(InProcessApi, "_call", refuse)
    with pytest.raises(ApiError, match="may not register"):
        async with WorkflowEnvironment([Payment]):
            pytest.fail("the environment is up without a worker")


SEEDS = (1, 2, 3)
"""One of them at least has another order of five names than this process has."""


@pytest.mark.levante
async def test_environment_when_code_depends_on_the_order_of_a_set_then_another_hash_seed_shows_that() -> None:
    """Within one process the order is the same, and no replay there would notice."""
    with pytest.raises(NonDeterminismError, match=r"with hash seed \d, in another process") as raised:
        async with WorkflowEnvironment([Tray], always_replay=True, hash_seeds=SEEDS) as environment:
            assert sorted(await environment.execute(Tray, {"is_sorted": False})) == sorted(FETCHED)
    assert raised.value.event_id > 0


@pytest.mark.slow
@pytest.mark.levante
async def test_environment_when_code_orders_what_it_does_then_all_hash_seeds_agree() -> None:
    """Here and for a history alone."""
    async with WorkflowEnvironment([Tray], hash_seeds=SEEDS[:1]) as environment:
        execution = await environment.start(Tray, {"is_sorted": True})
        assert await execution.result() == sorted(FETCHED)
        (await execution.history()).replay(Tray, hash_seeds=SEEDS[1:2])


@pytest.mark.parametrize(
    ("seed", "problem"),
    [(-1, "a number from 0 to 4294967295"), (1, "inside a function")],
    ids=["seed", "class"],
)
def test_replay_elsewhere_when_it_cannot_work_then_the_error_says_why(seed: int, problem: str) -> None:
    """Before a process is started."""

    @workflow.define(name="kit-inside")
    class Inside:
        @workflow.entrypoint
        async def run(self) -> None:
            """Do nothing."""

    with pytest.raises(ValueError, match=problem):
        replay_elsewhere([({}, Inside)], seed)


@pytest.mark.parametrize("crashes", [(), (1,), (2, 3), (1, 2, 3, 4, 5)], ids=str)
def test_environment_when_workers_die_in_it_then_no_task_is_left_behind(
    crashes: tuple[int, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither pending at its end, nor destroyed while pending, which asyncio would log."""

    async def main() -> set[str]:
        async with WorkflowEnvironment([Chain, OrderFlow], mocks={charge: paid}, crashes=crashes) as environment:
            await environment.execute(Chain)
            await environment.start(OrderFlow, Order(item="tea"))
        return {task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()}

    assert run_in_virtual_time(main()) == set()
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []
