"""Histories recorded once are replayed against today's code."""

import json
from pathlib import Path
from typing import Any

import pytest

from levante.definition.definitions import get_workflow_definition
from levante.errors import NonDeterminismError
from levante.replay.replayer import FIRST_EVENT_ID, replay
from levante.replay.run import WorkflowRun
from levante_core.protocol import COMMANDS, ActivityScheduled, HistoryBatch, InconsistentHistory, fold
from levante_core.protocol.workers import LoadResponse
from tests.integration.scenarios import ALL

HISTORIES = sorted((Path(__file__).parent / "histories").glob("*.json"))


def loaded(path: Path) -> tuple[WorkflowRun, LoadResponse]:
    """Return a new run of the workflow, and what was recorded of the old one."""
    recorded = json.loads(path.read_text())
    response = LoadResponse.model_validate_json(json.dumps(recorded["loaded"]))
    definitions = {get_workflow_definition(cls).name: get_workflow_definition(cls) for cls in ALL}
    run = WorkflowRun(definitions[response.start.workflow_name], "e", recorded["run_id"], response.start)
    return run, response


def outcomes(response: LoadResponse) -> dict[str, Any]:
    return {fact.key: fact.input for fact in response.facts}


def changed(response: LoadResponse, number: int, **fields: Any) -> list[HistoryBatch]:
    """Return the batches with another command at the place of command `number` (from 0)."""
    batches, seen = [], -1
    for batch in response.batches:
        events = list(batch.events)
        for position, event in enumerate(events):
            if isinstance(event, COMMANDS):
                seen += 1
                if seen == number:
                    events[position] = event.model_copy(update=fields)
        batches.append(batch.model_copy(update={"events": tuple(events)}))
    return batches


def commands(response: LoadResponse) -> list[Any]:
    return [event for batch in response.batches for event in batch.events if isinstance(event, COMMANDS)]


def test_histories_when_counted_then_there_are_some() -> None:
    """A test over no histories could not fail."""
    assert len(HISTORIES) >= 6


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
def test_history_when_replayed_then_the_code_asks_for_what_is_recorded(path: Path) -> None:
    """Invariant 2: executions that are running survive a new version of Levante."""
    run, response = loaded(path)
    assert replay(run, response.batches, outcomes(response)) == []
    assert run.is_over
    assert fold(response.batches, outcomes(response)).status is response.status


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
def test_history_when_any_activity_has_another_name_then_the_first_difference_is_named(path: Path) -> None:
    """Replay notices a different operation at every position, not only at the end."""
    _, response = loaded(path)
    for number, command in enumerate(commands(response)[:20]):
        run, _ = loaded(path)
        is_activity = isinstance(command, ActivityScheduled)
        batches = changed(response, number, **({"name": "another"} if is_activity else {"seq": 999}))
        with pytest.raises(NonDeterminismError) as difference:
            replay(run, batches, outcomes(response))
        events = [event for batch in batches for event in batch.events]
        expected = next(
            i
            for i, event in enumerate(events, FIRST_EVENT_ID)
            if getattr(event, "name", "") == "another" or event.model_dump().get("seq") == 999
        )
        assert f"event {expected}:" in str(difference.value)
        run.dispose()


def test_history_when_the_code_asks_for_more_than_is_recorded_then_it_is_refused() -> None:
    """Commands of one input are recorded together or not at all."""
    run, response = loaded(next(path for path in HISTORIES if path.stem == "scenario-fan"))
    (first, *_) = response.batches
    scheduled = [event for event in first.events if isinstance(event, ActivityScheduled)]
    cut = first.model_copy(update={"events": tuple(scheduled[:5])})
    with pytest.raises(NonDeterminismError, match="recorded is nothing"):
        replay(run, [cut], {})
    run.dispose()


def test_history_when_it_has_more_than_the_code_asks_for_then_it_is_refused() -> None:
    """A command that nobody asked for has no place."""
    run, response = loaded(next(path for path in HISTORIES if path.stem == "scenario-chain"))
    (first, *_) = response.batches
    extra = ActivityScheduled(seq=2, name="extra", input={})
    with pytest.raises(NonDeterminismError, match="the code asked for nothing"):
        replay(run, [first.model_copy(update={"events": (first.events[0], extra)})], {})
    run.dispose()


def test_history_when_a_fact_is_missing_then_it_is_damaged() -> None:
    """What history takes must be there to be read."""
    run, response = loaded(next(path for path in HISTORIES if path.stem == "scenario-retries"))
    assert response.facts
    with pytest.raises(InconsistentHistory):
        replay(run, response.batches, {})
    run.dispose()
