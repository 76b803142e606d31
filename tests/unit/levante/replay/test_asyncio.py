"""Everything that asyncio offers: what workflows may use, what they cannot and are told so, and what is nothing to do."""

import asyncio
import math
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from levante.errors import WorkflowError
from levante.replay.endings import WorkflowCodeFailed
from tests.unit.levante.replay.test_run import activity, completed, kinds, new_run

OF_OTHER_VERSIONS = {
    "EventLoop",
    "QueueShutDown",
    "TaskGroup",
    "create_eager_task_factory",
    "eager_task_factory",
}
"""What not every version of Python has, or has not under `__all__`."""

IN_PROGRAMS = {
    *("ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION", "as_completed", "wait", "wait_for", "gather", "shield"),
    *("Condition", "Event", "Lock", "Queue", "Semaphore", "TaskGroup", "Timeout", "TimeoutError", "CancelledError"),
    *("create_task", "ensure_future", "sleep", "timeout", "get_running_loop"),
}
"""What the random programs of `programs` do."""

NOTHING_TO_DO = {
    *(
        "AbstractEventLoop",
        "AbstractEventLoopPolicy",
        "AbstractServer",
        "BaseProtocol",
        "BaseTransport",
        "BrokenBarrierError",
    ),
    *("BufferedProtocol", "DatagramProtocol", "DatagramTransport", "Handle", "IncompleteReadError", "InvalidStateError"),
    *("LimitOverrunError", "Protocol", "QueueEmpty", "QueueFull", "QueueShutDown", "ReadTransport", "TimerHandle"),
    *("SendfileNotAvailableError", "Server", "StreamReaderProtocol", "StreamWriter", "SubprocessProtocol"),
    *("SubprocessTransport", "Transport", "WriteTransport", "AbstractChildWatcher"),
    *("iscoroutine", "iscoroutinefunction", "isfuture"),
}
"""Errors, types to derive from, and functions that only look at their argument."""

PRIVATE = {name for name in asyncio.__all__ if name.startswith("_")}

PROCESS_WIDE = {
    *("get_child_watcher", "set_child_watcher", "FastChildWatcher", "SafeChildWatcher", "MultiLoopChildWatcher"),
    *(
        "BaseEventLoop",
        "EventLoop",
        "SelectorEventLoop",
        "PidfdChildWatcher",
        "ThreadedChildWatcher",
        "DefaultEventLoopPolicy",
        "get_event_loop_policy",
    ),
}
"""Loops, policies and watchers of children: they do nothing by themselves, and no run's loop asks for them."""


async def _barrier() -> None:
    barrier = asyncio.Barrier(2)
    await asyncio.gather(barrier.wait(), barrier.wait())


async def _bounded_semaphore() -> None:
    semaphore = asyncio.BoundedSemaphore(1)
    async with semaphore:
        await activity()
    with pytest.raises(ValueError, match="too many"):
        semaphore.release()


async def _queues() -> None:
    for queue in (asyncio.LifoQueue[int](), asyncio.PriorityQueue[int]()):
        for number in (1, 3, 2):
            queue.put_nowait(number)
        assert [await queue.get() for _ in range(3)] in ([2, 3, 1], [1, 2, 3])


async def _future() -> None:
    future = asyncio.Future[int]()
    asyncio.get_running_loop().call_soon(future.set_result, 1)
    assert await future == 1


async def _task() -> None:
    task = asyncio.Task(asyncio.sleep(0, "done"))
    assert await task == "done"
    assert asyncio.current_task() is not None


async def _all_tasks() -> None:
    made = [asyncio.create_task(asyncio.sleep(math.inf)) for _ in range(30)]
    await asyncio.sleep(0)
    assert list(asyncio.all_tasks())[1:] == made
    await activity()


async def _timeout_at() -> None:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout_at(loop.time() + 10):
        await activity()


async def _event_loop() -> None:
    assert asyncio.get_event_loop() is asyncio.get_running_loop()


async def _wrapped() -> None:
    future = asyncio.get_running_loop().create_future()
    assert asyncio.wrap_future(future) is future


async def _reader() -> None:
    reader = asyncio.StreamReader(loop=asyncio.get_running_loop())
    reader.feed_data(b"line\n")
    assert await reader.readline() == b"line\n"


async def _eager() -> None:
    task = asyncio.eager_task_factory(asyncio.get_running_loop(), activity_of("eager"))  # type: ignore[attr-defined]
    assert not task.done()
    await task


async def activity_of(name: str) -> None:
    """Run an activity."""
    await activity(name)


def _given(call: Callable[[Any], object]) -> None:
    coroutine = asyncio.sleep(0)
    try:
        call(coroutine)
    finally:
        coroutine.close()


WORKS: Mapping[str, Callable[[], Awaitable[None]]] = {
    "Barrier": _barrier,
    "BoundedSemaphore": _bounded_semaphore,
    "LifoQueue": _queues,
    "PriorityQueue": _queues,
    "Future": _future,
    "Task": _task,
    "current_task": _task,
    "all_tasks": _all_tasks,
    "timeout_at": _timeout_at,
    "get_event_loop": _event_loop,
    "wrap_future": _wrapped,
    "StreamReader": _reader,
    "eager_task_factory": _eager,
    "create_eager_task_factory": _eager,
}
REFUSED: Mapping[str, Callable[[], Any]] = {
    "create_subprocess_exec": lambda: asyncio.create_subprocess_exec("true"),
    "create_subprocess_shell": lambda: asyncio.create_subprocess_shell("true"),
    "open_connection": lambda: asyncio.open_connection("localhost", 9),
    "open_unix_connection": lambda: asyncio.open_unix_connection("/tmp/none"),  # noqa: S108 - never opened
    "start_server": lambda: asyncio.start_server(print, "localhost", 0),
    "start_unix_server": lambda: asyncio.start_unix_server(print, "/tmp/none"),  # noqa: S108 - never opened
    "to_thread": lambda: asyncio.to_thread(print),
    "run": lambda: _given(asyncio.run),
    "Runner": lambda: _given(asyncio.Runner().run),
    "run_coroutine_threadsafe": lambda: _given(
        lambda coroutine: asyncio.run_coroutine_threadsafe(coroutine, asyncio.get_running_loop())
    ),
    "new_event_loop": asyncio.new_event_loop,
    "set_event_loop": lambda: asyncio.set_event_loop(None),
    "set_event_loop_policy": lambda: asyncio.set_event_loop_policy(None),
}


def test_asyncio_when_compared_with_this_page_then_everything_in_it_has_an_entry() -> None:
    """A new version of Python has something new: it has to be thought about."""
    known = {*IN_PROGRAMS, *NOTHING_TO_DO, *PRIVATE, *PROCESS_WIDE, *WORKS, *REFUSED}
    assert set(asyncio.__all__) - known == set()
    assert known - set(asyncio.__all__) <= OF_OTHER_VERSIONS


@pytest.mark.parametrize("name", [name for name in WORKS if hasattr(asyncio, name)])
def test_part_of_asyncio_when_it_works_in_workflows_then_a_replay_asks_for_the_same(name: str) -> None:
    """Twice the same code, twice the same commands."""

    def commands() -> list[Any]:
        run = new_run(WORKS[name])  # type: ignore[arg-type]
        asked = run.begin()
        while kinds(asked)[-1:] == ["activity_scheduled"]:
            asked += run.apply(completed(len(asked)))
        run.dispose()
        return [one.model_dump() for one in asked]

    assert commands() == commands()
    assert commands()[-1]["kind"] == "execution_completed"


@pytest.mark.parametrize("name", [name for name in REFUSED if hasattr(asyncio, name)])
def test_part_of_asyncio_when_no_workflow_can_have_it_then_it_is_refused_where_it_is_used(name: str) -> None:
    """The message says where, and what to write instead."""

    async def body() -> None:
        made = REFUSED[name]()
        if asyncio.iscoroutine(made):
            await made
        raise WorkflowError("it was let through")

    before = sys.getprofile()
    run = new_run(body)
    with pytest.raises(WorkflowCodeFailed) as refused:
        run.begin()
    run.dispose()
    assert sys.getprofile() is before
    assert "activity" in str(refused.value) or "Use " in str(refused.value)
    assert "test_asyncio.py" in str(refused.value)
