"""Differences between states, as patches."""

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from levante.patches import difference
from levante_core.protocol import Json, PatchOperation

TEXTS = st.text("ab/~", max_size=4)
STATES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats(-1, 1) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def applied(state: Any, operation: PatchOperation) -> Any:
    """Apply one operation, as RFC 6902 says, and `append` as the contract does."""
    tokens = [token.replace("~1", "/").replace("~0", "~") for token in operation.path.split("/")[1:]]
    if not tokens:
        return state + operation.value if operation.op == "append" else operation.value
    place = dict(state)
    first, rest = tokens[0], "/".join(token.replace("~", "~0").replace("/", "~1") for token in ["", *tokens[1:]])
    match operation.op:
        case _ if rest:
            place[first] = applied(place[first], operation.model_copy(update={"path": rest}))
        case "remove":
            del place[first]
        case "append":
            place[first] += operation.value
        case "add":
            assert first not in place
            place[first] = operation.value
        case "replace":
            assert first in place
            place[first] = operation.value
    return place


def is_same(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same: 1, 1.0 and true are not."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    return type(one) is type(other) and one == other


@given(STATES, STATES)
@example([True, False], [1, False])
@example({"a": [{"b": 1}]}, {"a": [{"b": 1.0}]})
def test_difference_when_applied_then_the_new_state_is_there(old: Json, new: Json) -> None:
    """Whatever the two states are."""
    state = old
    for operation in difference(old, new):
        state = applied(state, operation)
    assert is_same(state, new)


@given(STATES)
def test_difference_when_nothing_changed_then_there_is_none(state: Json) -> None:
    """An update that changes nothing is not told."""
    assert list(difference(state, state)) == []


def test_difference_when_a_text_grows_then_only_what_came_is_told() -> None:
    """What makes streamed tokens cheap, at any depth."""
    old: Json = {"answer": {"text": "Hello", "model": "m"}}
    (operation,) = difference(old, {"answer": {"text": "Hello world", "model": "m"}})
    assert operation == PatchOperation(op="append", path="/answer/text", value=" world")
