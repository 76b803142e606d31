import asyncio
import gc
import threading
import weakref
from concurrent.futures import CancelledError, Future
from contextvars import ContextVar
from typing import Any

import pytest

from levante.testing import run_in_virtual_time
from levante_local.greenlets import Signal, call, loop_of_call, sleep, wait_for

request_id: ContextVar[str] = ContextVar("request_id")


def test_call_when_the_function_does_not_wait_returns_or_raises_as_it_does() -> None:
    """A function that never waits is just called, with its arguments."""

    def divide(one: int, other: int) -> float:
        return one / other

    async def main() -> None:
        assert await call(divide, 6, 3) == 2
        with pytest.raises(ZeroDivisionError):
            await call(divide, 6, 0)

    asyncio.run(main())


def test_call_when_functions_wait_for_each_other_lets_both_go_on_in_one_thread() -> None:
    """A wait suspends the call and nothing else: the other side runs on the same thread, and answers."""
    question: Future[str] = Future()
    answer: Future[str] = Future()
    threads = set()

    def ask() -> str:
        threads.add(threading.get_ident())
        question.set_result("who?")
        return wait_for(answer)

    def reply() -> None:
        threads.add(threading.get_ident())
        answer.set_result(wait_for(question) + " me")

    async def main() -> str:
        return (await asyncio.gather(call(reply), call(ask)))[1]

    assert asyncio.run(main()) == "who? me"
    assert threads == {threading.get_ident()}


def test_call_when_the_future_fails_raises_its_error_inside_the_function() -> None:
    """The function handles errors where it waits, as it would without an event loop."""
    failing: Future[None] = Future()

    def wait() -> str:
        try:
            wait_for(failing)
        except KeyError as error:
            return f"handled {error}"
        return "not raised"

    async def main() -> str:
        task = asyncio.create_task(call(wait))
        await asyncio.sleep(0)
        failing.set_exception(KeyError("k"))
        return await task

    assert asyncio.run(main()) == "handled 'k'"


def test_call_when_somebody_else_cancels_the_future_does_not_look_cancelled_itself() -> None:
    """A cancelled future is an error of the wait, not a cancellation of the task."""
    given_up: Future[None] = Future()

    async def main() -> None:
        task = asyncio.create_task(call(wait_for, given_up, None))
        await asyncio.sleep(0)
        given_up.cancel()
        with pytest.raises(CancelledError):
            await task

    asyncio.run(main())


def test_call_when_a_thread_resolves_the_future_goes_on() -> None:
    """Producers may live in threads of their own, as the store's writer does."""
    result: Future[int] = Future()

    async def main() -> int:
        task = asyncio.create_task(call(wait_for, result, 10))
        await asyncio.sleep(0)
        threading.Thread(target=result.set_result, args=(7,)).start()
        return await task

    assert asyncio.run(main()) == 7


def test_call_when_the_task_has_context_variables_shares_them() -> None:
    """A handler sees its caller's context before and after each wait, and calls do not mix them up."""
    gates: dict[str, Future[None]] = {"a": Future(), "b": Future()}

    def handle(name: str) -> tuple[str, str]:
        before = request_id.get()
        wait_for(gates[name])
        after = request_id.get()
        request_id.set(f"{name} done")
        return before, after

    async def serve(name: str) -> tuple[str, str, str]:
        request_id.set(name)
        return *await call(handle, name), request_id.get()

    async def main() -> list[tuple[str, str, str]]:
        tasks = [asyncio.create_task(serve(name)) for name in gates]
        await asyncio.sleep(0)
        gates["b"].set_result(None)
        gates["a"].set_result(None)
        return await asyncio.gather(*tasks)

    assert asyncio.run(main()) == [("a", "a", "a done"), ("b", "b", "b done")]


def test_call_when_the_task_is_cancelled_runs_the_finally_blocks_which_may_wait() -> None:
    """Cancellation reaches the function where it waits, and cleaning up may take its time."""
    never: Future[None] = Future()
    cleaned: Future[str] = Future()
    steps = []

    def work(cleaning: asyncio.Event) -> None:
        try:
            wait_for(never)
        finally:
            steps.append("cleaning")
            cleaning.set()
            steps.append(wait_for(cleaned))

    async def main() -> None:
        cleaning = asyncio.Event()
        task = asyncio.create_task(call(work, cleaning))
        await asyncio.sleep(0)
        task.cancel()
        await cleaning.wait()
        cleaned.set_result("cleaned")
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert steps == ["cleaning", "cleaned"]
    assert never.cancelled()


@pytest.mark.parametrize("on_a_loop", [True, False])
def test_wait_for_when_the_time_is_over_gives_the_future_up(*, on_a_loop: bool) -> None:
    """A wait that timed out raises TimeoutError and leaves nothing for the producer to resolve."""
    late: Future[None] = Future()
    with pytest.raises(TimeoutError):
        asyncio.run(call(wait_for, late, 0.001)) if on_a_loop else wait_for(late, 0.001)
    assert not late.set_running_or_notify_cancel()


@pytest.mark.slow
def test_wait_for_when_given_up_again_and_again_keeps_nothing_alive() -> None:
    """A future that is claimed but never resolved must not hold what waited for it, nor report to its loop."""

    class Held:
        pass

    held: list[weakref.ref[Held]] = []
    complaints: list[dict[str, Any]] = []
    late: Future[None] = Future()
    late.set_running_or_notify_cancel()

    def work() -> None:
        mine = Held()
        held.append(weakref.ref(mine))
        wait_for(late, 0.001)

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        with pytest.raises(TimeoutError):
            await call(work)
        gc.collect()
        late.set_exception(KeyError("too late"))
        await asyncio.sleep(0)
        gc.collect()

    asyncio.run(main())
    assert [reference() for reference in held] == [None]
    assert complaints == []


def test_wait_for_when_the_future_itself_failed_with_a_timeout_raises_that() -> None:
    """The producer's TimeoutError is an outcome like any other."""
    failed: Future[None] = Future()
    failed.set_exception(TimeoutError("of the producer"))
    with pytest.raises(TimeoutError, match="of the producer"):
        wait_for(failed)


def test_wait_for_when_outside_of_a_call_blocks_its_thread() -> None:
    """The same function works without an event loop, too."""
    result: Future[int] = Future()
    threading.Thread(target=result.set_result, args=(7,)).start()
    assert wait_for(result, 10) == 7


def test_signal_when_given_before_the_wait_ends_it_at_once_and_only_once() -> None:
    """No wake-up is lost between looking and waiting; a repeat counts as one."""
    signal = Signal()
    signal.give()
    signal.give()
    signal.wait(None)

    async def main() -> bool:
        task = asyncio.create_task(call(signal.wait, None))
        await asyncio.sleep(0)
        waited = not task.done()
        signal.give()
        await task
        return waited

    assert asyncio.run(main())
    signal.wait(0)
    signal.give()
    signal.wait(None)


def test_loop_of_call_when_outside_of_a_call_then_there_is_none_though_a_loop_runs() -> None:
    """What waits for the loop there would wait for itself."""

    async def main() -> None:
        assert loop_of_call() is None
        assert await call(loop_of_call) is asyncio.get_running_loop()
        assert await asyncio.to_thread(loop_of_call) is None

    assert loop_of_call() is None
    asyncio.run(main())


@pytest.mark.parametrize("on_a_loop", [True, False])
def test_sleep_when_the_time_is_over_then_it_returns(*, on_a_loop: bool) -> None:
    """The end of a pause is no error."""
    if on_a_loop:
        run_in_virtual_time(call(sleep, 3600.0))
    else:
        sleep(0.001)
