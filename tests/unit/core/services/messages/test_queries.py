"""Queries: whom they are asked of, and what becomes of them when a run ends before it has answered."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from levante_core.adapters.offloading import OffloadingStore
from levante_core.adapters.system import RandomIds
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.executions.failure import Failure
from levante_core.domain.history.events import ExecutionCompleted, ExecutionContinuedAsNew
from levante_core.domain.names import RunId
from levante_core.errors import HandlerFailed, ResultNotReady
from levante_core.ports.item_store import Query
from levante_core.protocol import WorkflowSpec
from levante_core.protocol.specs import HandlerSpec
from levante_core.protocol.workers import QueryAnswer, RegisterRequest, TaskQueue
from levante_core.services.engine import build_engine
from levante_core.services.executions.reset import ResetRequest
from levante_core.services.executions.start import StartRequest
from levante_core.storage import keys
from tests.support.place import DEPLOYMENT, SPACE, Place, new_place


@dataclass
class Meanwhile:
    """A watch in whose waits something is done, once in each; after that, waits take their time."""

    sleep: Callable[[float], None]
    acts: list[Callable[[], object]] = field(default_factory=list)

    @contextmanager
    def watch(self, *_: str) -> Iterator["Meanwhile"]:
        """See ChangeWatch."""
        yield self

    def wait(self, seconds: float) -> None:
        """See Watched."""
        if self.acts:
            self.acts.pop(0)()
        else:
            self.sleep(seconds)

    def has_changed(self) -> bool:
        """See Watched."""
        return True


@pytest.fixture
def meanwhile(place: Place) -> Meanwhile:
    return place.engine.queries._watch  # type: ignore[return-value]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with new_place(tmp_path) as made:
        watch = Meanwhile(made.clock.sleep)
        items = OffloadingStore(made.store, made.payloads)
        engine = build_engine(items, made.queues, made.clock, RandomIds(), watch, fast_path=True)
        yield replace(made, engine=engine)


@pytest.fixture
def run(place: Place) -> RunKey:
    query = HandlerSpec(name="count", input_schema={})
    spec = WorkflowSpec(name="counter", task_queue="d", input_schema={}, queries=(query,))
    place.engine.catalogue.register(SPACE, RegisterRequest(definitions=(spec,), deployment_name=DEPLOYMENT, worker_name="w"))
    return place.engine.executions.start(SPACE, "counter", StartRequest()).key


def ask(place: Place, run: RunKey, seconds: float = 1.0) -> Any:
    return place.engine.queries.ask(SPACE, run.execution_id, "count", {}, seconds)


def asked(place: Place, run: RunKey) -> list[str]:
    """Return the ids of the queries that wait for an answer of a run."""
    first, last = keys.prefixed(keys.QUERY)
    page = place.store.query(Query(keys.history(SPACE, run.run_id), first=first, last=last))
    return [item.key.sort.removeprefix(keys.QUERY) for item in page.items]


def answer(place: Place, run: RunKey, result: object = None, failure: Failure | None = None) -> Callable[[], None]:
    """Answer all that a run is asked."""

    def act() -> None:
        answers = [QueryAnswer(query_id=name, result=result, failure=failure) for name in asked(place, run)]
        assert answers, "nobody has asked"
        place.engine.queries.take(run, answers)

    return act


def continues(place: Place, run: RunKey, index: int = 1) -> tuple[RunKey, Callable[[], object]]:
    """Return the run that follows, and how it comes to be."""
    following = RunId(RandomIds().uuid())
    event = ExecutionContinuedAsNew(seq=1, run_id=following, input=None, mail_taken=0)
    return RunKey(SPACE, run.execution_id, following), lambda: place.commit(run, index, event, commit_id=following)


def is_clear(place: Place, *runs: RunKey) -> bool:
    """Whether neither a query nor an answer is left of any of the runs."""
    return all(
        item.key.sort[:2] not in {keys.QUERY[:2], keys.QUERY_ANSWER[:2]}
        for run in runs
        for item in place.store.query(Query(keys.history(SPACE, run.run_id))).items
    )


def test_query_when_the_run_continues_as_new_before_it_answers_then_the_new_run_is_asked(
    place: Place, meanwhile: Meanwhile, run: RunKey
) -> None:
    """The execution goes on all the time: who asks how it is need not know of its runs."""
    second, replaces_first = continues(place, run)
    third, replaces_second = continues(place, second)
    meanwhile.acts = [replaces_first, replaces_second, answer(place, third, 7)]
    place.lose_messages()
    assert ask(place, run) == 7
    assert {task.run_id for task in place.tasks(TaskQueue.WORKFLOW)} >= {third.run_id}
    assert is_clear(place, run, second, third)


def test_query_when_the_run_is_reset_before_it_answers_then_the_new_run_is_asked(
    place: Place, meanwhile: Meanwhile, run: RunKey
) -> None:
    """The same for whoever lets it go on from an earlier event."""

    def reset() -> None:
        place.engine.resets.reset(SPACE, run.execution_id, ResetRequest(1))
        latest = place.engine.executions.get(SPACE, run.execution_id).key
        meanwhile.acts = [answer(place, latest, "from the start")]

    meanwhile.acts = [reset]
    assert ask(place, run) == "from the start"


def test_query_when_the_execution_ends_before_it_answers_then_a_worker_is_asked_once_more(
    place: Place, meanwhile: Meanwhile, run: RunKey
) -> None:
    """The message may have ended with the run; whoever gets the other one replays the run, and answers."""
    seen: list[str] = []

    def ends() -> None:
        seen.extend(task.run_id for task in place.tasks(TaskQueue.WORKFLOW))
        place.commit(run, 1, ExecutionCompleted(seq=1, result=1))

    def answers() -> None:
        seen.extend(task.run_id for task in place.tasks(TaskQueue.WORKFLOW))
        answer(place, run, "at its end")()

    meanwhile.acts = [ends, answers]
    assert ask(place, run) == "at its end"
    assert seen[-2:] == [run.run_id, run.run_id]
    assert is_clear(place, run)


def test_query_when_the_execution_is_closed_then_it_is_asked_as_it_stands_at_its_end(
    place: Place, meanwhile: Meanwhile, run: RunKey
) -> None:
    """With one message, and the queries that wait among what its worker loads."""
    place.engine.closing.terminate(SPACE, run.execution_id)
    place.emptied(TaskQueue.WORKFLOW)

    def answers() -> None:
        (task,) = place.tasks(TaskQueue.WORKFLOW)
        loaded = place.load(run)
        assert (task.run_id, loaded.token, len(loaded.queries)) == (run.run_id, None, 1)
        answer(place, run, "ended")()

    meanwhile.acts = [answers]
    assert ask(place, run) == "ended"


def test_query_when_run_follows_run_until_the_time_is_over_then_it_ends_in_time(
    place: Place, meanwhile: Meanwhile, run: RunKey
) -> None:
    """The time is that of the caller, and begins anew with no run."""
    runs = [run]

    def again() -> None:
        place.clock.advance(0.4)
        following, replaced = continues(place, runs[-1])
        runs.append(following)
        replaced()

    meanwhile.acts = [again] * 10
    with pytest.raises(ResultNotReady, match="within 1 s"):
        ask(place, run, seconds=1)
    assert len(runs) == 4
    assert is_clear(place, *runs)


def test_query_when_its_handler_fails_then_the_caller_is_told(place: Place, meanwhile: Meanwhile, run: RunKey) -> None:
    """A failure is an answer, too."""
    meanwhile.acts = [answer(place, run, failure=Failure(message="no"))]
    with pytest.raises(HandlerFailed, match="query 'count' failed: no"):
        ask(place, run)
    assert is_clear(place, run)
