"""Every limit that the OpenAPI document states holds: what is at the limit is taken, what is just beyond is refused by name.

The requests are made of the document alone, so that a field that is added is tried without anybody's doing. What the
document does not say is tried elsewhere: sizes of items and requests in `test_bad_input` and `test_limits`, counts of what
is kept in `test_bounds`, and what several fields share where the shared rule is.
"""

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

import pytest

from levante_events.app import EventsApp, StreamServices, StreamSettings
from levante_local.waiting import call
from tests.integration.api.described import ImpatientQueues
from tests.integration.api.harness import Answer, build, decoded
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
"""What a problem is called, by the keyword of the limit that is overstepped."""
REPETITION = re.compile(r"(?P<before>[^\[\]()|^$]?)\[[^\]]+\]\{(?P<least>\d+)(?:,(?P<most>\d+))?\}")
"""Characters of a class in a pattern, with what stands before them."""
TEXTS = ("a", "0" * 32, "local", "")
"""One of these fits every pattern that there is."""
FORMATS = {"date-time": "2026-01-01T00:00:00Z", "duration": "PT1M"}
SAMPLES: Mapping[str | int, Any] = {"cron_expressions": "0 9 * * *"}
"""Items of lists, where the document does not say enough to make them."""


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
    """Schemas of an OpenAPI document: values that fit them, and limits within them."""

    schemas: Mapping[str, Schema]

    def resolved(self, schema: Schema) -> Schema:
        """Return what a reference leads to."""
        return self.schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema

    def sample(self, schema: Schema) -> Any:
        """Make the smallest value that fits."""
        schema = self.resolved(schema)
        for options in ("anyOf", "oneOf", "allOf"):
            if options in schema:
                return self.sample(schema[options][0])
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return schema["enum"][0]
        match schema.get("type"):
            case "object":
                has = {*schema.get("required", ()), *(name for name, one in _properties(schema) if "const" in one)}
                return {name: self.sample(one) for name, one in _properties(schema) if name in has}
            case "array":
                return [self.sample(schema["items"])] * schema.get("minItems", 0)
            case "integer" | "number":
                return int(schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1))
            case "string":
                return self._text(schema)
            case "boolean":
                return False
        return {}

    def _text(self, schema: Schema) -> str:
        if schema.get("format") in FORMATS:
            return FORMATS[schema["format"]]
        return next(text for text in TEXTS if re.search(schema.get("pattern", ""), text))

    def within(self, limit: Limit, schema: Schema, base: Any, above: frozenset[str] = frozenset()) -> Iterator[Limit]:
        """Yield the limits within a schema.

        limit: the place of the schema. base: a value that fits, or None for one to be made. above: references that led
        here; models that hold themselves are looked at once.
        """
        if "$ref" in schema:
            if schema["$ref"] in above:
                return
            above |= {schema["$ref"]}
            schema = self.resolved(schema)
        options = [one for name in ("anyOf", "oneOf", "allOf") for one in schema.get(name, ())]
        for option in options:
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
                yield 1 if is_whole else 0.001, int(bound)


def _properties(schema: Schema) -> Iterable[tuple[str, Schema]]:
    properties: Mapping[str, Schema] = schema.get("properties", {})
    return properties.items()


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

    def limits(self) -> Iterator[Limit]:
        """Yield every limit of what is sent in queries and bodies, a route of the matrix after the other."""
        for route, operation in self.operations.items():
            for one in operation.get("parameters", ()):
                if one["in"] == "query":
                    where = Limit(route, "", ("query", one["name"]), 0, None, None, _member({}, one["name"]))
                    yield from self._document.within(where, one["schema"], None)
            if "requestBody" in operation:
                schema = operation["requestBody"]["content"]["application/json"]["schema"]
                where = Limit(route, "", ("body",), 0, None, None, lambda value: value)
                yield from self._document.within(where, schema, EVERYTHING[route])

    def send(self, limit: Limit, value: Any) -> Answer:
        """Send a request that is as the matrix has it, but for this value."""
        made = limit.put(value)
        is_query = limit.loc[0] == "query"
        query, body = (urlencode(made, doseq=True), EVERYTHING.get(limit.route)) if is_query else ("", made)
        sent = self._stocked.named(self._stocked.api.event(*limit.route, body, query=query))
        return asyncio.run(self._streamed(sent)) if limit.route[1].endswith("/stream") else self._stocked.api.send(sent)

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


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Described]:
    api = build(tmp_path_factory.mktemp("limits"))
    yield Described(Stocked(api))
    for close in api.closers:
        close()
