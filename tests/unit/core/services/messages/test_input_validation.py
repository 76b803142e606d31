"""Schemas that workers register, and how long a check against one may hold up others."""

import logging
import socket
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from levante_core.domain.catalogue.schema_rules import MOST_SCHEMA_BYTES, MOST_SCHEMAS, SchemaWork
from levante_core.services.messages import input_validation
from levante_core.services.messages.input_validation import (
    MOST_BYTES_TOGETHER,
    InputChecks,
)
from levante_core.services.messages.schema_process import compiled
from tests.support.input_checks import AT, UNION, Runs, nested, problems, refusals


def doubled(times: int) -> dict[str, Any]:
    """Make a schema that applies another one twice, which applies another one twice, and so on."""
    definitions: dict[str, Any] = {"t0": {"type": "string"}}
    for number in range(1, times + 1):
        below = {"$ref": f"#/$defs/t{number - 1}"}
        definitions[f"t{number}"] = {"allOf": [below, below]}
    return {"$defs": definitions, "properties": {"a": {"$ref": f"#/$defs/t{times}"}}}


@pytest.mark.parametrize(
    ("schema", "where", "said"),
    [
        ({"$ref": "http://127.0.0.1:1/x"}, ["$ref"], "put it into $defs"),
        ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, ["properties", "a", "$ref"], "put it into $defs"),
        ({"$ref": "https://json-schema.org/draft/2020-12/schema"}, ["$ref"], "put it into $defs"),
        ({"$ref": "#anchor"}, ["$ref"], "put it into $defs"),
        ({"$ref": 5}, ["$ref"], "put it into $defs"),
        ({"$ref": "#/$defs/gone"}, ["$ref"], "nothing is at '#/$defs/gone'"),
        ({"$defs": {"a": {"$ref": "#/$defs/gone"}}}, ["$defs", "a", "$ref"], "nothing is at"),
        ({"items": {"$id": "http://x/y"}}, ["items", "$id"], "leave it out"),
        ({"$dynamicRef": "#x"}, ["$dynamicRef"], "use $ref"),
        ({"$ref": "#"}, [], "refers to itself"),
        ({"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}]}}, "properties": {"b": {"$ref": "#/$defs/a"}}}, None, "itself"),
        ({"properties": {"a": {"type": "foo"}}}, ["properties", "a", "type"], "not valid"),
        ({"properties": 5}, ["properties"], "an object of schemas"),
        ({"properties": {"a": 5}}, ["properties", "a"], "an object, true or false"),
        ({"allOf": {}}, ["allOf"], "an array of schemas"),
        ({"required": [1]}, ["required", 0], "string"),
        ({"properties": {"a": {"pattern": "("}}}, ["properties", "a", "pattern"], "regex"),
        (doubled(25), None, "refer to the same schema less often"),
        ({"items": {"pattern": r"(\p{L}{1000}){1000}"}}, [], "patterns"),
        ({"default": "a" * MOST_SCHEMA_BYTES}, [], "describe less"),
        (
            {"anyOf": [{} for _ in range(MOST_SCHEMAS)], "items": {"allOf": [{"minLength": n} for n in range(9)]}},
            None,
            "split it",
        ),
    ],
)
def test_schema_when_it_cannot_be_checked_against_then_the_place_in_the_body_is_named(
    schema: dict[str, Any], where: list[str] | None, said: str
) -> None:
    """What a worker registers is refused at once, and it learns where to look and what to do."""
    (problem,) = refusals({}, schema)
    assert problem["loc"][:4] == ["body", "definitions", 1, "input_schema"]
    assert where is None or problem["loc"][4:] == where
    assert said in problem["msg"]
    assert problem["type"] == "schema"


def test_schema_when_it_is_nested_too_deep_then_it_is_refused() -> None:
    """Compiling recurses; a schema that would end the process is not compiled."""
    schema: dict[str, Any] = {}
    for _ in range(100):
        schema = {"not": schema}
    assert refusals(schema) == []
    (problem,) = refusals({"not": schema})
    assert "levels deep" in problem["msg"]


def test_schema_when_it_is_just_within_the_limits_then_it_is_taken() -> None:
    """A limit refuses what is above it, and nothing else."""
    text = "a" * (MOST_SCHEMA_BYTES - len('{"default":""}'))
    many = {"allOf": [{"minLength": number} for number in range(MOST_SCHEMAS - 1)]}
    assert refusals({"default": text}, many, doubled(17)) == []
    assert refusals({"default": text + "a"})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("schema", "fitting"),
    [
        ({"allOf": [{"minLength": number} for number in range(1999)]}, 10),
        ({"anyOf": [{"pattern": rf"\p{{L}}{{1,64}}{n}"} for n in range(10)]}, 2),
    ],
)
def test_schemas_when_looking_at_them_takes_long_together_then_they_are_refused(
    schema: dict[str, Any], fitting: int
) -> None:
    """Whatever one request brings, others wait for half a second at most."""
    assert refusals(*[schema] * fitting) == []
    (problem,) = refusals(*[schema] * (fitting + 1))
    assert "fewer workflows" in problem["msg"]


def test_schemas_when_they_are_too_large_together_then_they_are_refused() -> None:
    """Each being small is not enough: one request brings many."""
    schema = {"default": "a" * (MOST_SCHEMA_BYTES - 100)}
    fitting = MOST_BYTES_TOGETHER // (MOST_SCHEMA_BYTES - 100)
    assert refusals(*[schema] * fitting) == []
    (problem,) = refusals(*[schema] * (fitting + 1))
    assert "fewer workflows" in problem["msg"]


class Honest(BaseModel):
    name: Annotated[str, Field(pattern=r"^\p{L}+$")]
    code: Annotated[str, Field(json_schema_extra={"pattern": r"^(?!0)\d{1,9}$"})] = "1"
    price: Annotated[str, Field(json_schema_extra={"pattern": r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$"})] = "1.0"
    tags: set[str] = set()
    inner: "Honest | None" = None


def test_schema_when_pydantic_made_it_then_it_is_taken_and_its_patterns_mean_what_pydantic_means() -> None:
    """The dialect of patterns is that of pydantic, and lookarounds work too."""
    schema = Honest.model_json_schema()
    assert refusals(schema, UNION) == []
    assert problems(schema, {"name": "Zoé", "price": "-1.5", "inner": {"name": "Ä"}}) == []
    found = problems(schema, {"name": "4", "code": "01", "price": "x"})
    assert [(one["loc"][2:], one["type"]) for one in found] == [
        (["name"], "schema.pattern"),
        (["code"], "schema.pattern"),
        (["price"], "schema.pattern"),
    ]


def test_input_when_it_does_not_fit_then_each_problem_says_where_and_which_keyword_and_quotes_no_value() -> None:
    """Forms are filled in again by these problems; what was sent may be secret."""
    schema = {
        "type": "object",
        "required": ["b"],
        "properties": {"a": {"type": "integer"}, "c": {"enum": ["x"]}, "d": {"items": {"minLength": 99}}},
    }
    found = problems(schema, {"a": "SECRET", "c": "SECRET", "d": ["SECRET"]})
    assert {(*one["loc"], one["type"]) for one in found} == {
        ("body", "input", "a", "schema.type"),
        ("body", "input", "c", "schema.enum"),
        ("body", "input", "d", 0, "schema.minLength"),
        ("body", "input", "schema.required"),
    }
    assert "SECRET" not in str(found)


def test_input_when_it_is_none_then_no_fields_are_meant_too() -> None:
    """An execution without an input is one with an empty object."""
    assert problems({"type": "object"}, None) == []
    assert problems({"type": "null"}, None) == []
    assert [one["type"] for one in problems({"type": "object", "required": ["a"]}, None)] == ["schema.required"]


def test_check_when_its_bound_is_small_then_no_process_is_started() -> None:
    """A process for every start of an execution would be the cost of few odd ones."""
    runs = Runs()
    assert problems(Honest.model_json_schema(), {"name": "Ada", "tags": ["a"] * 100}, runs)
    assert problems(UNION, nested(3, {"kind": "leaf"}, kind="left"), runs) == []
    assert runs.count == 0


def test_check_when_an_older_version_registered_a_schema_then_it_is_left_to_the_worker_and_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What stands in the table already must not stop anything."""
    checks = InputChecks()
    with caplog.at_level(logging.WARNING, input_validation.__name__):
        for schema in ({"$ref": "http://x/"}, {"properties": 5}, {"pattern": "("}, {"$ref": "#"}):
            for _ in range(2):
                checks.check(schema, {"a": 1}, name=str(schema), at=AT)
    assert len(caplog.records) == 4


def test_work_when_a_schema_refers_to_itself_for_members_then_it_is_bounded_unless_in_alternatives() -> None:
    """A list or a tree costs as much at every level; alternatives of alternatives double with each."""
    tree = {"type": "object", "additionalProperties": {"$ref": "#"}}
    assert SchemaWork(tree).per_byte(100) < 10
    assert SchemaWork(UNION).per_byte(90) > 2**80


def test_compiling_when_a_url_is_referred_to_then_nobody_is_asked() -> None:
    """The API must not be made to fetch what only it can reach."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.settimeout(0)
        schema = {"properties": {"a": {"$ref": f"http://127.0.0.1:{listening.getsockname()[1]}/x"}}}
        assert refusals(schema)
        assert problems(schema, {"a": 1}) == []
        with pytest.raises(ValueError, match="disabled"):
            compiled(schema)
        with pytest.raises(BlockingIOError):
            listening.accept()


def test_schemas_when_more_are_in_use_than_are_kept_then_only_the_one_used_least_recently_is_compiled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Compiling one schema too many is no reason to compile all others again."""
    compilations: list[Any] = []

    def compile_(schema: Any) -> Any:
        compilations.append(schema["title"])
        return compiled(schema)

    monkeypatch.setattr(input_validation, "MOST_COMPILED", 2)
    monkeypatch.setattr(input_validation, "_compiled", compile_)
    checks = InputChecks()
    for name in "abacba":
        checks.check({"title": name}, {}, name=name, at=AT)
    assert compilations == ["a", "b", "c", "b", "a"]
