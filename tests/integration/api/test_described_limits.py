"""Every limit that the OpenAPI document states holds: what is at the limit is taken, what is just beyond is refused by name.

The requests are made of the document alone, so that a field that is added is tried without anybody's doing. What the
document does not say is tried elsewhere: sizes of items and requests in `test_bad_input` and `test_limits`, counts of what
is kept in `test_bounds`, and what several fields share where the shared rule is.
"""

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from levante_api.app import create_app
from levante_api.openapi.document import TAGS, reached
from levante_events.app import EventsApp, StreamServices, StreamSettings
from levante_local.greenlets import call
from levante_local.queues.queues import InProcessQueues
from tests.fakes import FakeClock
from tests.integration.api.harness import SETTINGS, Answer, Api, compose, decoded
from tests.integration.api.test_auth import EVERYTHING, Stocked

Schema = Mapping[str, Any]
Loc = tuple[str | int, ...]

KINDS = {
    "maxLength": ("string_too_long",),
    "minLength": ("string_too_short",),
    "maxItems": ("too_long",),
    "minItems": ("too_short",),
    "maximum": ("less_than_equal",),
    "minimum": ("greater_than_equal",),
    "exclusiveMaximum": ("less_than",),
    "exclusiveMinimum": ("greater_than",),
    "pattern": ("string_pattern_mismatch", "value_error"),
}
"""What a problem may be called, by the keyword of the limit that is overstepped."""
NOT_TRIED = ("multipleOf", "maxProperties", "minProperties", "uniqueItems", "prefixItems", "patternProperties")
"""Keywords that no body uses, and for which nobody would make values here."""
CHOICES = ("anyOf", "oneOf", "allOf")
REPETITION = re.compile(r"(?P<before>[^\[\]()|^$]?)\[[^\]]+\]\{(?P<least>\d+)(?:,(?P<most>\d+))?\}")
"""Characters of a class in a pattern, with what stands before them."""
TEXTS = ("a", "0" * 32, "local", "")
"""One of these fits every pattern that there is."""
FORMATS = {"date-time": "2026-01-01T00:00:00Z", "duration": "PT1M"}
"""Texts that fit formats."""
SAMPLES: Mapping[str | int, Any] = {"cron_expressions": "0 9 * * *"}
"""Items of lists, where the document does not say enough to make them."""
BODIES: Mapping[tuple[str, str], Any] = {
    **EVERYTHING,
    # Nothing that schedules are given here ever stays, so that none has many times to look at.
    ("PATCH", "/v1/workflows/schedules/s1"): {"schedule": {"calendars": [], "intervals": [], "cron_expressions": []}},
}
"""What each limit is tried with."""


class HastyQueues(InProcessQueues):
    """Queues at which nobody waits."""

    def receive(self, queue: str, *, wait_seconds: float, **more: Any) -> Any:
        """Take what is there."""
        return super().receive(queue, wait_seconds=min(wait_seconds, 0), **more)


@dataclass(frozen=True)
class Limit:
    """A limit of one field of one request.

    route: what is called. loc: where the field is. unions: how many there are on the way, as each may add its choice to
    the place of a problem. at, beyond: values of the field. put: makes the query or the body of a value.
    """

    route: tuple[str, str]
    keyword: str
    loc: Loc
    unions: int
    at: Any
    beyond: Any
    put: Callable[[Any], Any]

    def is_named_in(self, answer: Answer) -> bool:
        """Tell whether an answer says that this limit of this field is overstepped."""
        problems = answer.body["detail"] if answer.status == 422 and isinstance(answer.body["detail"], list) else []
        kinds = KINDS[self.keyword]
        return any(one["type"] in kinds and self._is_at(one["loc"]) for one in problems)

    def _is_at(self, loc: list[str | int]) -> bool:
        rest = iter(loc)
        return len(loc) <= len(self.loc) + self.unions and all(part in rest for part in self.loc)

    def __str__(self) -> str:
        return f"{' '.join(self.route)} {'.'.join(map(str, self.loc))} {self.keyword}"


@dataclass(frozen=True)
class Document:
    """Schemas of an OpenAPI document: values that fit them, and limits within them. walked: those that were looked into."""

    schemas: Mapping[str, Schema]
    walked: set[str] = field(default_factory=set)

    def resolved(self, schema: Schema) -> Schema:
        """Return what a reference leads to."""
        return self.schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema

    def sample(self, schema: Schema) -> Any:
        """Make the smallest value that fits."""
        schema = self.resolved(schema)
        chosen = [one for name in CHOICES for one in schema.get(name, ())]
        given = [*schema.get("enum", ()), *([schema["const"]] if "const" in schema else [])]
        if chosen or given:
            return self.sample(chosen[0]) if chosen else given[0]
        make = {"object": self._object, "array": self._list, "integer": _number, "number": _number, "string": _text}
        return make.get(schema.get("type", ""), lambda _: False)(schema)

    def _object(self, schema: Schema) -> dict[str, Any]:
        members: Mapping[str, Schema] = schema.get("properties", {})
        needed = {*schema.get("required", ()), *(name for name, one in members.items() if "const" in one)}
        return {name: self.sample(one) for name, one in members.items() if name in needed}

    def _list(self, schema: Schema) -> list[Any]:
        return [self.sample(schema["items"])] * schema.get("minItems", 0)

    def within(self, limit: Limit, schema: Schema, base: Any, above: frozenset[str] = frozenset()) -> Iterator[Limit]:
        """Yield the limits within a schema.

        limit: the place of the schema. base: a value that fits, or None for one to be made. above: references that led
        here; models that hold themselves are looked at once.
        """
        if "$ref" in schema:
            if schema["$ref"] in above:
                return
            above |= {schema["$ref"]}
            self.walked.add(schema["$ref"].rpartition("/")[2])
            schema = self.resolved(schema)
        for option in (one for name in CHOICES for one in schema.get(name, ())):
            tag = schema.get("discriminator", {}).get("propertyName")
            fits = base if tag is None or self._is_of(base, tag, option) else None
            yield from self.within(replace(limit, unions=limit.unions + 1), option, fits, above)
        yield from self._own(limit, schema)
        if schema.get("type") == "array" and isinstance(schema.get("items"), dict):
            first = base[0] if isinstance(base, list) and base else None
            yield from self.within(_inside(limit, 0, lambda value: [value]), schema["items"], first, above)
        whole = base if isinstance(base, dict) else self.sample(schema) if "properties" in schema else {}
        for name, described in schema.get("properties", {}).items():
            inside = _inside(limit, name, _member(whole, name))
            yield from self.within(inside, described, whole.get(name), above)

    def _is_of(self, base: Any, tag: str, option: Schema) -> bool:
        return isinstance(base, dict) and base.get(tag) == self.resolved(option)["properties"][tag].get("const")

    def _own(self, limit: Limit, schema: Schema) -> Iterator[Limit]:
        for keyword in KINDS.keys() & schema.keys():
            for at, beyond in self._pairs(keyword, schema, limit.loc[-1]):
                yield replace(limit, keyword=keyword, at=at, beyond=beyond)

    def _pairs(self, keyword: str, schema: Schema, name: str | int) -> Iterator[tuple[Any, Any]]:
        """Yield values at a limit, each with one just beyond."""
        bound = schema[keyword]
        is_whole = schema.get("type") == "integer"
        match keyword:
            case "pattern":
                yield from _repeated(bound)
            case "maxLength":
                yield "a" * bound, "a" * (bound + 1)
            case "minLength":
                yield "a" * bound, "a" * (bound - 1)
            case "maxItems":
                item = SAMPLES.get(name) or self.sample(schema["items"])
                yield [item] * bound, [item] * (bound + 1)
            case "minItems":
                item = self.sample(schema["items"])
                yield [item] * bound, [item] * (bound - 1)
            case "maximum":
                yield (int(bound), int(bound) + 1) if is_whole else (bound, bound + 0.5)
            case "minimum":
                yield (int(bound), int(bound) - 1) if is_whole else (bound, bound - 0.5)
            case "exclusiveMaximum":
                yield int(bound) - 1, int(bound)
            case "exclusiveMinimum":
                yield bound + (1 if is_whole else 0.001), bound


def _number(schema: Schema) -> int:
    return int(schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1))


def _text(schema: Schema) -> str:
    if schema.get("format") in FORMATS:
        return FORMATS[schema["format"]]
    return next(text for text in TEXTS if re.search(schema.get("pattern", ""), text))


def _inside(limit: Limit, part: str | int, wrap: Callable[[Any], Any]) -> Limit:
    put = limit.put
    return replace(limit, loc=(*limit.loc, part), put=lambda value: put(wrap(value)))


def _member(whole: Mapping[str, Any], name: str) -> Callable[[Any], Any]:
    return lambda value: {**whole, name: value}


def _repeated(pattern: str) -> Iterator[tuple[str, str]]:
    """Yield texts that have as many characters of one class as a pattern allows, and one more."""
    before = ""
    for found in REPETITION.finditer(pattern):
        before += found["before"]
        most = int(found["most"] or found["least"])
        at, beyond = (before + "a" * count for count in (most, most + 1))
        assert re.search(pattern, at), (pattern, at)
        assert not re.search(pattern, beyond), (pattern, beyond)
        yield at, beyond
        before += "a" * int(found["least"])


class Described:
    """An installation and the operations that its document describes."""

    def __init__(self, stocked: Stocked) -> None:
        self._stocked = stocked
        self._engine = stocked.api.engine
        document = stocked.api.call("GET", "/openapi.json").body
        self._document = Document(document["components"]["schemas"])
        self.operations = stocked.operations()

    @property
    def schemas(self) -> Mapping[str, Schema]:
        """All schemas that have a name."""
        return self._document.schemas

    @property
    def walked(self) -> set[str]:
        """The names of the schemas whose limits were asked for."""
        return self._document.walked

    def limits(self, tag: str) -> Iterator[Limit]:
        """Yield every limit of what is sent in queries and bodies to the operations of a tag."""
        for route, operation in self.operations.items():
            if tag not in operation["tags"]:
                continue
            for one in operation.get("parameters", ()):
                if one["in"] == "query":
                    where = Limit(route, "", ("query", one["name"]), 0, None, None, _member({}, one["name"]))
                    yield from self._document.within(where, one["schema"], None)
            if "requestBody" in operation:
                schema = operation["requestBody"]["content"]["application/json"]["schema"]
                where = Limit(route, "", ("body",), 0, None, None, lambda value: value)
                yield from self._document.within(where, schema, BODIES[route])

    def send(self, limit: Limit, value: Any) -> Answer:
        """Send a request that is as the matrix has it, but for this value."""
        made = limit.put(value)
        is_query = limit.loc[0] == "query"
        query, body = (urlencode(made, doseq=True), BODIES.get(limit.route)) if is_query else ("", made)
        sent = self._stocked.named(self._stocked.api.event(*limit.route, body, query=query))
        return asyncio.run(self._streamed(sent)) if limit.route[1].endswith("/stream") else self._stocked.api.send(sent)

    def call(self, method: str, path: str) -> Answer:
        """Send what the matrix has for a route, or nothing to a path that it does not have."""
        return self._stocked.call((method, path), "admin")

    async def _streamed(self, sent: dict[str, Any]) -> Answer:
        """Ask the program that streams, for what it says at once."""
        engine, parts = self._engine, list[Any]()
        services = StreamServices(
            engine.api_keys, engine.tickets, engine.histories, engine.streams, engine.tails, engine.logs, engine.traces
        )
        app = EventsApp(services, call, StreamSettings(longest_seconds=0.01))
        headers = [(name.encode(), value.encode()) for name, value in sent["headers"].items()]
        asked = {"path": sent["rawPath"], "query_string": sent["rawQueryString"].encode(), "headers": headers}

        async def receive() -> Any:
            await asyncio.Event().wait()

        async def send(part: Any) -> None:
            parts.append(part)

        await app({"type": "http", "method": "GET", **asked}, receive, send)
        status = parts[0]["status"]
        return decoded({"statusCode": status, "body": parts[1]["body"] if status >= 400 else None, "headers": {}})


@contextmanager
def installation(directory: Path) -> Iterator[Described]:
    """Run an API with one of everything."""
    clock = FakeClock()
    queues = HastyQueues(clock)
    engine, close = compose(directory, clock, queues)
    yield Described(Stocked(Api(engine, clock, queues, create_app(engine, SETTINGS), directory)))
    close()


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Described]:
    with installation(tmp_path_factory.mktemp("limits")) as described:
        yield described


@pytest.mark.parametrize("tag", TAGS)
def test_limits_when_a_value_is_at_one_or_just_beyond_then_only_the_latter_is_refused_and_named(
    described: Described, tag: str
) -> None:
    """What the document promises to take is taken, and a refusal says which field has to change."""
    wrong: list[str] = []
    for limit in described.limits(tag):
        at, beyond = described.send(limit, limit.at), described.send(limit, limit.beyond)
        if at.status >= 500 or limit.is_named_in(at):
            wrong.append(f"{limit} is refused at the limit: {at.status} {str(at.body)[:500]}")
        if not limit.is_named_in(beyond):
            wrong.append(f"{limit} is not named beyond the limit: {beyond.status} {str(beyond.body)[:500]}")
    assert not wrong, "\n".join(wrong)


def test_limits_when_counted_then_no_model_of_a_body_is_left_out(described: Described) -> None:
    """A walk that stops too early would find nothing wrong."""
    bodies = [operation.get("requestBody") for operation in described.operations.values()]
    tried = {limit.keyword for tag in TAGS for limit in described.limits(tag)}
    asked = reached(bodies, described.schemas)
    assert described.walked >= asked
    assert tried == set(KINDS)
    assert not set(NOT_TRIED) & set(_keywords(*(described.schemas[name] for name in asked)))


def test_path_when_a_part_of_it_is_empty_then_nothing_is_there(tmp_path: Path) -> None:
    """The least length of what stands in paths is one, and one is no problem.

    Every route is called, those that delete included: nothing else is tried with what is left.
    """
    with installation(tmp_path) as described:
        for route, operation in described.operations.items():
            for one in (one for one in operation.get("parameters", ()) if one["in"] == "path"):
                assert one["schema"] in ({"type": "string", "minLength": 1}, {"type": "integer", "minimum": 1})
                path = re.sub(r"\{\w+\}", "x", operation["path"].replace(f"{{{one['name']}}}", ""))
                assert described.call(route[0], path).status in (404, 405), path
                assert described.call(*route).status not in (405, 422, 500), route


def _keywords(*values: Any) -> Iterator[str]:
    for value in values:
        if isinstance(value, dict):
            yield from value
            yield from _keywords(*value.values())
        elif isinstance(value, list):
            yield from _keywords(*value)
