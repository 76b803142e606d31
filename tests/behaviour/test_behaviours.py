"""Every behaviour in every mode, and with a worker that dies right after any of its commits."""

from collections.abc import Iterator
from functools import cache

import pytest

from tests.behaviour.behaviours import BEHAVIOURS
from tests.behaviour.driving import Behaviour, Ended
from tests.behaviour.modes import MODES, run_in_memory, run_on_a_host
from tests.support.forms import spread


@cache
def undisturbed(name: str) -> tuple[Ended, int]:
    """Run a behaviour in memory, once for all tests. Returns how it ended, and after how many commits."""
    return run_in_memory(BEHAVIOURS[name])


def check(ended: Ended, expected: Ended) -> None:
    """Check how an execution ended."""
    assert (ended.status, ended.result) == (expected.status, expected.result), ended.said
    assert expected.said in ended.said


def in_any_mode() -> Iterator[pytest.ParameterSet]:
    """Yield modes and names of behaviours."""
    for mode in MODES:
        for name, behaviour in BEHAVIOURS.items():
            reason = behaviour.only_virtual if mode == "a real host" else None
            marks = [pytest.mark.skip(reason=f"in virtual time only: {reason}")] if reason else []
            yield pytest.param(mode, name, marks=marks)


@pytest.mark.broad
@pytest.mark.parametrize(("mode", "name"), list(in_any_mode()))
def test_behaviour_when_run_in_any_mode_then_it_ends_as_the_contract_says(
    mode: str, name: str, request: pytest.FixtureRequest
) -> None:
    """The same code, by the same rules: live in memory, replayed at every task, and on a host with processes."""
    behaviour = BEHAVIOURS[name]
    if mode == "a real host":
        check(run_on_a_host(behaviour, request.getfixturevalue("site")), behaviour.ends)
    else:
        ended, _ = undisturbed(name) if mode == "in memory" else run_in_memory(behaviour, always_replay=True)
        check(ended, behaviour.ends)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, one in BEHAVIOURS.items() if not one.no_deaths])
def test_behaviour_when_its_worker_dies_after_any_commit_then_it_ends_the_same(name: str) -> None:
    """The commit is recorded, its answer never comes, and another worker takes over: at any position."""
    behaviour: Behaviour = BEHAVIOURS[name]
    ended, commits = undisturbed(name)
    check(ended, behaviour.ends)
    assert commits > 0
    for position in spread(range(1, commits + 1), 3):
        ended, _ = run_in_memory(behaviour, crashes=[position])
        check(ended, behaviour.ends)


@pytest.mark.parametrize("name", ["children", "messages", "continue-as-new with unread messages", "concurrency"])
def test_behaviour_when_its_workers_die_again_and_again_then_it_ends_the_same(name: str) -> None:
    """After every second commit, whoever makes it."""
    check(run_in_memory(BEHAVIOURS[name], crashes=range(1, 60, 2))[0], BEHAVIOURS[name].ends)
