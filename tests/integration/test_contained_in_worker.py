"""One execution, activity, query or message that nobody can deal with delays no other one of its worker."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

import levante as workflows
from levante import workflow
from levante.definition.definitions import get_activity_definition, get_workflow_definition
from levante.testing.installation import WORKSPACE, InProcessApi, Installation
from levante.testing.virtual_time import LoopClock, run_in_virtual_time
from levante.worker.transport.api import ApiError
from levante.worker.transport.retrying import SHARED, WORK, Retries, Trouble
from levante_core.errors import ResultNotReady
from levante_local.greenlets import call

pytestmark = pytest.mark.slow

POISON = "poison"
PATIENT_SECONDS = 2.0
"""The longest that one execution may be delayed by another one. Source: invariant 11."""
LIMIT = workflows.RateLimit(time_window_in_sec=1, max_execution=1000)
RUNS: list[str] = []


@workflows.activity(name="contained-short")
async def short(text: str) -> str:
    """Return what came."""
    RUNS.append(text)
    return text


@workflows.activity(name="contained-queued", rate_limit=LIMIT, retry_policy_max_attempts=2)
async def queued(text: str) -> str:
    """Return what came, over the queue."""
    RUNS.append(text)
    return text


@workflow.define(name="contained", execution_timeout=timedelta(hours=10))
class Contained:
    """Two steps, of which the first one's result may be one that nobody can keep."""

    @workflow.entrypoint
    async def run(self, text: str, way: str = "in place", seconds: float = 0.5) -> str:
        """See the class."""
        first = await (short(text) if way == "in place" else queued(text))
        await workflow.sleep(timedelta(seconds=seconds))
        return first

    @workflow.query(name="say")
    def say(self, text: str) -> str:
        """Return what is asked."""
        return text


ACTIVITIES: list[Any] = [short, queued]


class PoisonedApi(InProcessApi):
    """An API that cannot deal with calls to some paths that hold POISON; it answers as over HTTP, after its repeats."""

    def __init__(self, place: Installation, paths: set[str], status: int) -> None:
        super().__init__(place.engine)
        self.paths = paths
        self.status = status
        self.met = 0

    async def _post_some(self, path: str, body: bytes, count: int) -> bytes:
        if path in self.paths and POISON.encode() in body:
            self.met += 1
            if self.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                retries = Retries(WORK if count == 1 else SHARED, asyncio.get_running_loop().time)
                while (pause := retries.pause(Trouble.FAULT)) is not None:
                    await asyncio.sleep(pause)
            raise ApiError(self.status, "this cannot be kept")
        return await super()._post_some(path, body, count)


def run(path: Path, scenario: Callable[[Installation], Coroutine[Any, Any, None]]) -> None:
    async def within() -> None:
        place = Installation(path, LoopClock(), fast_path=True)
        RUNS.clear()
        async with place.running():
            await scenario(place)

    run_in_virtual_time(within())


def worker_of(place: Installation, **settings: Any) -> Any:
    served = {one.name: one for one in map(get_activity_definition, ACTIVITIES)}
    return place.serving([get_workflow_definition(Contained)], served, **settings)


async def failure_of(place: Installation, execution_id: str) -> Any:
    """Return why the run cannot be advanced, as its history says; None if it can."""
    return (await place.history(execution_id)).get("workflow_task_failure")


async def until(condition: Callable[[], Awaitable[Any]], reason: str) -> Any:
    """Let virtual time pass until a condition holds, and return what it gives."""
    for _ in range(600):
        if found := await condition():
            return found
        await asyncio.sleep(0.25)
    raise AssertionError(f"did not happen: {reason}")


@pytest.mark.parametrize("status", [422, 500])
@pytest.mark.parametrize("way", ["in place", "queue"])
def test_executions_when_what_one_has_to_record_cannot_be_kept_then_the_others_are_not_delayed(
    tmp_path: Path, way: str, status: int
) -> None:
    """Commits and reports share calls. The one that cannot go is found, and its run or attempt says why."""

    async def scenario(place: Installation) -> None:
        api = PoisonedApi(place, {"/workers/commits", "/workers/activity-reports"}, status)
        if way == "queue":
            api.paths.remove("/workers/commits")
        place.api = api
        async with worker_of(place):
            bad = await place.start("contained", {"text": POISON, "way": way})
            good = [await place.start("contained", {"text": f"good {number}", "way": way}) for number in range(20)]
            began = asyncio.get_running_loop().time()
            ends = await asyncio.gather(*(place.result(one, 60) for one in good))
            assert [end.status for end in ends] == ["COMPLETED"] * 20
            assert asyncio.get_running_loop().time() - began <= 1 + PATIENT_SECONDS
            assert api.met > 0
            if way == "in place":
                failure = await until(lambda: failure_of(place, bad), "its status says why")
                assert "this cannot be kept" in failure["failure"]["message"]
                api.paths.clear()
                assert (await place.result(bad, 600)).status == "COMPLETED", "mended, it goes on"
            else:
                end = await place.result(bad, 600)
                assert end.status == "FAILED"
                assert "could not be recorded: the API answered" in str(end.ending)
                assert RUNS.count(POISON) == (1 if status == 422 else 2), "as its retry policy says, unless it is in vain"

    run(tmp_path, scenario)


def test_run_when_the_report_of_its_failure_cannot_go_either_then_its_task_comes_again(tmp_path: Path) -> None:
    """Its lease ends by itself; nothing hangs, and nothing is lost."""

    async def scenario(place: Installation) -> None:
        api: Any = PoisonedApi(place, {"/workers/commits"}, 500)
        refuse = asyncio.Event()

        async def refused(*_: Any) -> Any:
            refuse.set()
            raise ApiError(500, "nor this")

        place.api, taken = api, api.workflow_task_failed
        api.workflow_task_failed = refused
        async with worker_of(place):
            bad = await place.start("contained", {"text": POISON})
            await refuse.wait()
            assert (await place.result(await place.start("contained", {"text": "good"}), 60)).status == "COMPLETED"
            api.paths.clear()
            api.workflow_task_failed = taken
            assert (await place.result(bad, 600)).status == "COMPLETED"

    run(tmp_path, scenario)


@pytest.mark.parametrize("status", [413, 500])
def test_queries_when_one_cannot_be_answered_then_the_others_are_and_the_run_goes_on(tmp_path: Path, status: int) -> None:
    """More queries than one call takes, too."""

    async def scenario(place: Installation) -> None:
        place.api = PoisonedApi(place, {"/workers/query-answers"}, status)
        async with worker_of(place):
            execution_id = await place.start("contained", {"text": "good", "seconds": 60})

            async def ask(text: str) -> Any:
                try:
                    return await call(place.engine.queries.ask, WORKSPACE, execution_id, "say", {"text": text}, 20.0)
                except ResultNotReady as error:
                    return error

            answers = await asyncio.gather(*(ask(POISON if n == 7 else f"{n}") for n in range(120)))
            assert [one for n, one in enumerate(answers) if n != 7] == [f"{n}" for n in range(120) if n != 7]
            assert isinstance(answers[7], ResultNotReady)
            assert (await place.result(execution_id, 600)).status == "COMPLETED"
            assert await failure_of(place, execution_id) is None

    run(tmp_path, scenario)


LOOPS = ["/workers/poll", "/workers/leases", "/workers/heartbeat", "/workers/whoami", "/workers/query-answers"]


@pytest.mark.broad
@pytest.mark.parametrize("error", [ApiError(422, "no"), ApiError(500, "no"), RuntimeError("a bug"), ValueError("<html>")])
@pytest.mark.parametrize("path", LOOPS)
def test_worker_when_a_call_of_one_of_its_loops_fails_for_minutes_then_it_goes_on_afterwards(
    tmp_path: Path, path: str, error: Exception
) -> None:
    """Nothing but a refused key or a stop ends a worker."""

    class Failing(InProcessApi):
        fails = False

        async def _call(self, method: str, path_: str, body: bytes | None) -> bytes:
            if self.fails and path_ == path:
                raise error
            return await super()._call(method, path_, body)

    async def scenario(place: Installation) -> None:
        place.api = api = Failing(place.engine)
        async with worker_of(place) as worker:
            assert (await place.result(await place.start("contained", {"text": "before"}), 60)).status == "COMPLETED"
            api.fails = True
            await asyncio.sleep(300)
            assert not worker.done()
            api.fails = False
            assert (await place.result(await place.start("contained", {"text": "after"}), 60)).status == "COMPLETED"

    run(tmp_path, scenario)
