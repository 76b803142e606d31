"""Histories page by page: together the pages are the history, from whichever end, however it grows meanwhile."""

import threading
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from levante_core.domain.executions.execution import RunKey
from levante_core.domain.history.events import ActivityScheduled, FactTaken, MessagesTaken, TimerCanceled, TimerStarted
from levante_core.errors import InvalidInput
from levante_core.services.activities.reports import GrantedReport
from levante_core.services.history import pages
from levante_core.services.history.pages import Page, PageRequest
from levante_core.storage import keys
from tests.support.place import HOUR, SPACE, Place
from tests.unit.core.services.history.resetting import EXECUTION, begun, signal


def read(place: Place, wait_seconds: float = 0.0, **request: Any) -> Page:
    """Read a page of the execution."""
    find = partial(place.engine.histories.find, SPACE, EXECUTION)
    return place.engine.history_pages.read(find, PageRequest(**request), wait_seconds=wait_seconds)[1]


def everything(place: Place) -> list[dict[str, Any]]:
    """Return the whole history."""
    return list(place.engine.histories.show(SPACE, EXECUTION).events())


def all_pages(place: Place, **request: Any) -> list[dict[str, Any]]:
    """Read page after page until nothing is left."""
    found: list[dict[str, Any]] = []
    after = None
    for _ in range(1_000):
        page = read(place, after=after, **request)
        found += page.events
        after = page.next_after
        if after is None:
            return found
    raise AssertionError("there is no last page")


def filled(place: Place, batches: int = 30) -> RunKey:
    """Record a history with events of many kinds: facts, messages that were taken together, timers."""
    run = begun(place)
    index, seq, messages = 0, 0, 0
    for number in range(batches):
        index += 1
        seq += 1
        if number % 3 == 0:
            place.commit(run, index, ActivityScheduled(seq=seq, name=f"a{number}", input={"n": number}))
            grant = place.attempt(run, seq=seq, scheduled_in=index)
            place.engine.activities.report([GrantedReport(grant, number)])
            index += 1
            place.commit(run, index, FactTaken(fact=keys.outcome_fact(seq)))
        elif number % 3 == 1:
            signal(place, number)
            signal(place, number)
            messages += 2
            seq -= 1
            place.commit(run, index, MessagesTaken(until=messages))
        else:
            timer = TimerStarted(seq=seq, fire_at=place.clock.now() + HOUR)
            seq += 1
            place.commit(run, index, timer, TimerCanceled(seq=seq, timer=seq - 1))
    return run


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let checkpoints lie close together, so that many are used."""
    monkeypatch.setattr(pages, "EVENTS_BETWEEN", 7)


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("limit", [1, 3, 10, 1000])
def test_pages_when_put_together_then_they_are_the_history(place: Place, limit: int, *, descending: bool) -> None:
    """Each event once, in order; a second reading, from places that are known by then, finds the same."""
    filled(place)
    expected = everything(place)[:: -1 if descending else 1]
    assert len(expected) > 60
    for _ in range(2):
        assert all_pages(place, limit=limit, descending=descending) == expected


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("descending", [False, True])
def test_pages_when_some_kinds_are_wanted_then_the_others_are_left_out(
    place: Place, monkeypatch: pytest.MonkeyPatch, *, descending: bool
) -> None:
    """Even if so few are among those that are looked at for a page that it has none."""
    monkeypatch.setattr(pages, "MOST_SCANNED", 5)
    filled(place)
    wanted = {"activity_completed", "signal_received"}
    expected = [event for event in everything(place) if event["kind"] in wanted][:: -1 if descending else 1]
    assert all_pages(place, limit=2, kinds=wanted, descending=descending) == expected


def test_page_when_its_events_are_large_then_it_has_fewer(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer has its limits; a single event is always there."""
    monkeypatch.setattr(pages, "PAGE_BYTES", 300)
    filled(place)
    for descending in (False, True):
        assert len(read(place, descending=descending).events) < 6
        assert all_pages(place, descending=descending) == everything(place)[:: -1 if descending else 1]


def test_page_when_payloads_are_not_wanted_then_input_and_result_are_left_out(place: Place) -> None:
    """All else is there."""
    filled(place, 3)
    bare = read(place, with_payloads=False).events
    assert [{**event, "input": 1, "result": 1} for event in bare] == [
        {**event, "input": 1, "result": 1} for event in everything(place)
    ]
    assert not any(name in event for event in bare for name in ("input", "result"))


def test_page_when_a_kind_is_none_then_it_is_refused(place: Place) -> None:
    """A filter that is silently not applied would lie."""
    begun(place)
    with pytest.raises(InvalidInput, match=r"no events of kind activity_complete, fact_taken; there are: .*timer_fired"):
        read(place, kinds=("activity_complete", "timer_fired", "fact_taken"))


def test_page_when_the_history_grows_then_the_last_event_leads_to_the_new_ones(place: Place) -> None:
    """Whoever follows asks for what is behind the last event seen."""
    run = begun(place)
    first = read(place)
    assert ([event["kind"] for event in first.events], first.next_after) == (["execution_started"], None)
    assert read(place, after=1).events == ()
    place.commit(run, 1, ActivityScheduled(seq=1, name="a", input={}))
    assert [event["event_id"] for event in read(place, after=1).events] == [2]
    assert [event["event_id"] for event in read(place, descending=True).events] == [2, 1]


def test_page_when_waited_for_then_it_comes_with_the_next_event_or_the_end(place: Place) -> None:
    """At once; nothing is waited for once the run has ended."""
    run = begun(place)
    writer = threading.Timer(0.05, lambda: place.commit(run, 1, ActivityScheduled(seq=1, name="a", input={})))
    writer.start()
    assert [event["kind"] for event in read(place, wait_seconds=20, after=1).events] == ["activity_scheduled"]
    writer.join()
    place.engine.closing.terminate(SPACE, EXECUTION)
    assert [event["kind"] for event in read(place, wait_seconds=20, after=2).events] == ["execution_terminated"]
    assert read(place, wait_seconds=20, after=3).events == ()


def test_page_when_it_is_far_into_a_history_then_what_was_read_before_is_not_read_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The price of a page does not grow with its place."""
    monkeypatch.setattr(pages, "EVENTS_BETWEEN", 10)
    filled(place, 90)
    last = everything(place)[-1]["event_id"]
    read(place, descending=True, limit=1)
    counted: list[str] = []
    query = place.racing.query

    def counting(wanted: Any) -> Any:
        counted.append(wanted.partition)
        return query(wanted)

    monkeypatch.setattr(place.racing, "query", counting)
    assert len(read(place, after=last - 5).events) == 5
    assert len(read(place, descending=True, limit=3).events) == 3
    assert len(counted) < 40


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(after=st.integers(0, 90), limit=st.integers(1, 40), descending=st.booleans())
def test_page_when_asked_for_anywhere_then_it_is_what_lies_there(
    place: Place, *, after: int, limit: int, descending: bool
) -> None:
    """Whatever was read before."""
    if not place.store.get(keys.execution(SPACE, EXECUTION)):
        filled(place)
    whole = everything(place)
    if descending:
        expected = [event for event in reversed(whole) if event["event_id"] < (after or len(whole) + 1)][:limit]
    else:
        expected = [event for event in whole if event["event_id"] > after][:limit]
    assert list(read(place, after=after, limit=limit, descending=descending).events) == expected
