"""What crosses a boundary arrives equal and with its type, or is refused where it is made."""

import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from levante.definition.mapping import activity_input, handler_input
from levante.definition.outputs import ActivityOutput, HandlerOutput
from levante.definition.schemas import Owner
from levante.errors import ErrorCode, WorkflowsException
from tests.property.kinds import Kind, kinds, parts_of
from tests.support.forms import either

EXAMPLES = int(os.environ.get("LEVANTE_RANDOM_VALUES") or either(short=40, full=300))
REFUSALS = {
    ErrorCode.INVALID_ARGUMENTS_ERROR,
    ErrorCode.UNSERIALIZABLE_PAYLOAD_ERROR,
    ErrorCode.WORKFLOW_DEFINITION_ERROR,
}
OWNER = Owner("it 'x'", ErrorCode.WORKFLOW_DEFINITION_ERROR)


def _recorded(plain: Any) -> Any:
    """Return what is left of JSON once it is stored; there is no NaN in it."""
    return json.loads(json.dumps(plain, allow_nan=False))


def as_argument(hint: Any, value: Any) -> Any:
    """Give a value to an activity."""

    def act(value: Any) -> None: ...

    act.__annotations__["value"] = hint
    mapper = activity_input(OWNER, act)
    args, _ = mapper.bind(_recorded(mapper.dump((value,), {})))
    return args[0]


def as_activity_result(hint: Any, value: Any) -> Any:
    """Return a value from an activity."""
    output = ActivityOutput(OWNER, hint)
    return output.load(_recorded(output.dump(value)))


def as_input(hint: Any, value: Any) -> Any:
    """Give a value to an entrypoint that takes nothing else: as a child is given it, and whoever continues as new."""

    def run(self: object, value: Any) -> None: ...

    run.__annotations__["value"] = hint
    mapper = handler_input(OWNER, run, {}, takes_extra=True)
    keyed = {"value": value} if "value" in mapper.schema.get("properties", {}) else value
    args, _ = mapper.bind(_recorded(mapper.sent(keyed)))
    return args[0]


def as_one_of_several(hint: Any, value: Any) -> Any:
    """Give a value to an entrypoint that takes something else too."""

    def run(self: object, value: Any, other: int) -> None: ...

    run.__annotations__["value"] = hint
    mapper = handler_input(OWNER, run, {}, takes_extra=True)
    args, _ = mapper.bind(_recorded(mapper.sent({"value": value, "other": 1})))
    return args[0]


def as_child_result(hint: Any, value: Any) -> Any:
    """Return a value from an entrypoint to a parent."""
    output = HandlerOutput(OWNER, hint, wraps=True)
    return output.load(_recorded(output.dump(value)))


BOUNDARIES = [as_argument, as_activity_result, as_input, as_one_of_several, as_child_result]


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize("cross", BOUNDARIES, ids=lambda cross: cross.__name__)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data(), kind=kinds)
def test_value_when_it_crosses_a_boundary_then_it_arrives_as_it_was_or_is_refused(
    cross: Callable[[Any, Any], Any], kind: Kind, data: st.DataObject
) -> None:
    """Whatever the type, nothing is lost without a word, and a refusal never quotes what it refuses."""
    try:
        value = data.draw(kind.values)
    except (TypeError, ValueError):  # a model, or a set, refuses what was made up for it
        return
    note(f"{kind.hint!r}: {value!r:.2000}")
    arrived, refused = _crossed(cross, kind.hint, value)
    if cross is as_child_result and kind.hint is Any and isinstance(value, BaseModel):
        return  # a parent sees what outsiders do: the annotation names no class (docs/values.md)
    if refused is None:
        is_loose = cross is as_child_result  # the contract's JSON, where nothing is annotated
        assert parts_of(arrived, is_loose=is_loose) == parts_of(value, is_loose=is_loose)
    else:
        assert "hunter2" not in refused.message
        assert refused.code in REFUSALS


def _crossed(cross: Callable[[Any, Any], Any], hint: Any, value: Any) -> tuple[Any, WorkflowsException | None]:
    try:
        return cross(hint, value), None
    except WorkflowsException as refused:
        return None, refused
