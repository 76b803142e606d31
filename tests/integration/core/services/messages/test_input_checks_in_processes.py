"""Checks of inputs that take long run in a process of their own, which ends."""

from typing import Any

import pytest

from levante_core.domain.catalogue.schema_rules import SchemaWork
from levante_core.services.messages.input_validation import (
    MOST_WORK_OF_CHECK,
    MOST_WORK_OF_LIST,
)
from tests.support.input_checks import AT, UNION, Runs, nested, problems, refusals


@pytest.mark.slow
@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"pattern": "^(a+)+$"}, "a" * 50_000 + "!"),
        ({"pattern": "^(a+)+(?!b)$"}, "a" * 50_000 + "!"),
        ({"uniqueItems": True}, [*range(40_000), 0]),
        ({"uniqueItems": True}, [*({"k": number} for number in range(40_000)), {"k": 0}]),
        ({"items": {"enum": [*map(str, range(2_000)), {}]}}, ["1999"] * 100_000 + ["x"]),
        (UNION, nested(90, 1, kind="both")),
        ({"allOf": [{"type": "string"}] * 200}, [*range(100_000)]),
        ({"properties": {"a": {"pattern": "(?=.*x)y"}}}, {"a": "b" * 100_000}),
        ({"unevaluatedProperties": False, "anyOf": [{"properties": {"a": {}}}]}, {"b": 1}),
    ],
)
def test_check_when_it_is_hard_then_it_ends_and_refuses(schema: dict[str, Any], value: Any) -> None:
    """Nothing that a schema and an input can do takes for ever. The time limit of the test is what fails otherwise."""
    assert refusals(schema) == []
    (found, *_) = problems(schema, value)
    assert found["loc"][:2] == ["body", "input"]


@pytest.mark.slow
def test_check_when_it_never_ends_then_the_caller_is_told_that_it_takes_too_long() -> None:
    """A refusal that names no keyword would send its reader in search of one."""
    above = nested(90, {"kind": "leaf"}, kind="both")
    wrong = {"$defs": {**UNION["$defs"], "Leaf": False}, "$ref": UNION["$ref"]}
    (found,) = problems(wrong, above)
    assert (found["type"], found["loc"]) == ("schema", list(AT))
    assert "too long" in found["msg"]


@pytest.mark.parametrize("is_valid", [True, False])
def test_check_when_its_bound_is_large_then_it_runs_in_a_process_with_the_same_outcome(*, is_valid: bool) -> None:
    """Where a check runs changes nothing of what is said."""
    runs = Runs()
    schema = {"items": {"allOf": [{"type": "integer"}] * 50}}
    value = [1] * 200_000 if is_valid else [1] * 200_000 + ["x"]
    found = problems(schema, value, runs)
    assert runs.count == 1
    assert [(one["loc"], one["type"]) for one in found[:1]] == ([] if is_valid else [([*AT, 200_000], "schema.type")])


def test_check_when_the_bound_is_between_then_a_process_explains_only_what_does_not_fit() -> None:
    """Finding out is cheap, listing is not."""
    runs = Runs()
    schema = {"items": {"type": "integer"}}
    value: list[Any] = [1] * 200_000
    size = 2 * len(value)
    assert MOST_WORK_OF_LIST < size * SchemaWork(schema).per_byte(1) < MOST_WORK_OF_CHECK
    assert problems(schema, value, runs) == []
    assert runs.count == 0
    assert problems(schema, ["x", *value], runs)
    assert runs.count == 1
