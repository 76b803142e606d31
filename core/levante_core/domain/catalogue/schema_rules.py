"""What a JSON schema may be, and how much work it is to check a value against it: decided by reading the schema.

jsonschema-rs bounds a pattern; it does not bound what repeated keywords and references add up to. That is counted here, so
that a check of which the bound is small may run where everything else waits for it.
"""

import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from math import inf
from typing import Any
from urllib.parse import unquote

from levante_core.domain.frozen import Json
from levante_core.domain.payloads import MAX_PAYLOAD_DEPTH

MOST_SCHEMA_BYTES = 256 * 1024
"""Of one schema."""
MOST_SCHEMAS = 2_000
"""Schemas within one schema, itself included."""
MOST_SCHEMA_DEPTH = 100
MOST_WORK = 1_000_000
"""Checks of one value, all keywords and references counted as often as they are applied."""
MOST_PATTERN_WORK = 300_000
"""Of the patterns of one schema together, in characters as `_pattern_work` counts them; compiling them takes 0.3 s."""

_IN_PLACE = ("not", "if", "then", "else")
_IN_PLACE_LISTS = ("allOf", "anyOf", "oneOf")
_IN_PLACE_MAPS = ("dependentSchemas", "dependencies")
_ONE_OF_THESE = ("items", "additionalItems", "additionalProperties")
_ALL_OF_THESE = ("contains", "propertyNames", "unevaluatedItems", "unevaluatedProperties")
_DEFINITIONS = ("$defs", "definitions")
_REFUSED = {
    "$dynamicRef": "use $ref",
    "$recursiveRef": "use $ref",
    "$dynamicAnchor": "refer to schemas by their place, such as '#/$defs/Name'",
    "$recursiveAnchor": "refer to schemas by their place, such as '#/$defs/Name'",
    "$anchor": "refer to schemas by their place, such as '#/$defs/Name'",
    "$vocabulary": "leave it out",
}
_REPEATED = re.compile(r"(\)?)\{(\d*),?(\d*)\}")
_COSTLY_CLASSES = ((re.compile(r"\\[pP]"), 300), (re.compile(r"\[\^|\\[DSW]|\.|\(\?[a-z]*i|[^\x00-\x7f]"), 10))
"""Classes of characters that many states stand for, with how many times the work of a letter it is to compile them."""
_LOOKS_AROUND = re.compile(r"\(\?(?:<?[=!]|>|\()|\\[1-9kKG]|(?:[*+?]|\d\})\+")
_WORK_OF_LOOKING_AROUND = 5_000
"""Such a pattern may read the text anew at each of its characters: this holds for texts of up to so many of them."""
_LOOKS_AHEAD_FIRST = re.compile(r"^\^?(?:\(\?[=!][^()]*\))+")

Path = tuple[str | int, ...]


class SchemaRefused(ValueError):
    """A schema that this installation does not take. path: where in the schema."""

    def __init__(self, path: Path, problem: str) -> None:
        self.path = path
        super().__init__(problem)


@dataclass(slots=True)
class _Node:
    """One schema within the schema. The numbers are places in the list of all; the same one may be there twice.

    own: work of its own keywords. one_of: for members and items, of which one applies to each. all_of: that all apply.
    """

    path: Path
    own: float = 1
    in_place: list[int] = field(default_factory=list)
    one_of: list[int] = field(default_factory=list)
    all_of: list[int] = field(default_factory=list)


class SchemaWork:
    """How often, at most, something is compared with each byte of a value that is checked."""

    def __init__(self, schema: Json) -> None:
        """Read the schema. Raises: SchemaRefused, with the place and what to do."""
        self.pattern_work = 0
        self._root = schema
        self._nodes: list[_Node] = []
        self._numbers: dict[int, int] = {}
        self._waiting: deque[tuple[int, Any]] = deque()
        self._visit(schema, ())
        while self._waiting:
            number, schema_part = self._waiting.popleft()
            self._read(self._nodes[number], schema_part)
        if self.pattern_work > MOST_PATTERN_WORK:
            raise SchemaRefused((), "its patterns are too large together: use fewer, or repeat less often in them")
        self._order = self._ordered()
        self._levels = [self._level(None)]
        heaviest = max(range(len(self._nodes)), key=self._levels[0].__getitem__)
        if MOST_WORK < self._levels[0][heaviest] < inf:
            raise SchemaRefused(
                self._nodes[heaviest].path,
                f"checking one value against it takes more than {MOST_WORK:,} steps: refer to the same schema less often",
            )

    @property
    def schemas(self) -> int:
        """How many schemas there are within the schema, itself included."""
        return len(self._nodes)

    def per_byte(self, depth: int) -> float:
        """Return the work for each byte of a value that is nested at most this deep; infinity where there is no bound."""
        while len(self._levels) <= min(depth, MAX_PAYLOAD_DEPTH):
            last = self._levels[-1]
            following = self._level(last)
            if following == last:
                break
            self._levels.append(following)
        return max(level[0] for level in self._levels[: depth + 1])

    def _visit(self, schema: Any, path: Path) -> int:
        """Return the number of a schema, which is read if it is new."""
        known = self._numbers.get(id(schema)) if isinstance(schema, dict) else None
        if known is not None:
            return known
        if not isinstance(schema, dict | bool):
            raise SchemaRefused(path, "a schema is an object, true or false")
        if len(path) > MOST_SCHEMA_DEPTH:
            raise SchemaRefused(path, f"is nested more than {MOST_SCHEMA_DEPTH} levels deep: name its parts in $defs")
        number = len(self._nodes)
        if number == MOST_SCHEMAS:
            raise SchemaRefused(path, f"holds more than {MOST_SCHEMAS:,} schemas: split it, or take parts of it as text")
        self._nodes.append(_Node(path))
        if isinstance(schema, dict):
            self._numbers[id(schema)] = number
            self._waiting.append((number, schema))
        return number

    def _read(self, node: _Node, schema: Mapping[str, Any]) -> None:
        for keyword, value in schema.items():
            if keyword in _REFUSED:
                raise SchemaRefused((*node.path, keyword), f"{keyword} is not supported: {_REFUSED[keyword]}")
            if keyword == "$id" and node.path:
                raise SchemaRefused((*node.path, keyword), "only the whole schema may have an $id: leave it out")
            if keyword == "$ref":
                node.in_place.append(self._referred(value, (*node.path, keyword)))
            else:
                self._read_keyword(node, keyword, value)

    def _read_keyword(self, node: _Node, keyword: str, value: Any) -> None:
        path = (*node.path, keyword)
        if keyword in _IN_PLACE:
            node.in_place.append(self._visit(value, path))
        elif keyword in _IN_PLACE_LISTS:
            node.in_place += self._visit_all(enumerate(_list(value, path)), path)
        elif keyword in _IN_PLACE_MAPS:
            members = ((name, member) for name, member in _object(value, path).items() if not isinstance(member, list))
            node.in_place += self._visit_all(members, path)
        elif keyword in _ONE_OF_THESE:
            node.one_of.append(self._visit(value, path))
        elif keyword == "prefixItems":
            node.one_of += self._visit_all(enumerate(_list(value, path)), path)
        elif keyword == "properties":
            node.one_of += self._visit_all(_object(value, path).items(), path)
        elif keyword == "patternProperties":
            node.all_of += self._visit_all(_object(value, path).items(), path)
            node.own += sum(map(self._pattern, value))
        elif keyword in _ALL_OF_THESE:
            node.all_of.append(self._visit(value, path))
            node.own += inf if keyword.startswith("unevaluated") else 1  # what they do again has no small bound
        elif keyword in _DEFINITIONS:
            self._visit_all(_object(value, path).items(), path)
        else:
            node.own += self._pattern(value) if keyword == "pattern" else _size(value)

    def _visit_all(self, members: Iterator[tuple[Any, Any]] | Any, path: Path) -> list[int]:
        return [self._visit(member, (*path, name)) for name, member in members]

    def _pattern(self, pattern: Any) -> float:
        """Return how much work a pattern is for each character of a text."""
        if not isinstance(pattern, str):
            return 1
        times, work = _pattern_work(pattern)
        self.pattern_work += work
        rest = _LOOKS_AHEAD_FIRST.sub("", pattern)
        return max(times, _WORK_OF_LOOKING_AROUND) if _LOOKS_AROUND.search(rest) else times

    def _referred(self, reference: Any, path: Path) -> int:
        if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
            raise SchemaRefused(
                path, f"{str(reference)[:80]!r} is elsewhere: put it into $defs, and refer to it as '#/$defs/Name'"
            )
        target: Any = self._root
        step: str | int
        steps: list[str | int] = []
        for part in reference.split("/")[1:]:
            name = _unescaped(part)
            if isinstance(target, dict) and name in target:
                target, step = target[name], name
            elif isinstance(target, list) and name.isdecimal() and int(name[:9]) < len(target):
                target, step = target[int(name[:9])], int(name[:9])
            else:
                raise SchemaRefused(path, f"nothing is at {reference[:80]!r}: define it there, or correct the reference")
            steps.append(step)
        return self._visit(target, tuple(steps))

    def _ordered(self) -> list[int]:
        """Order the schemas so that each follows those that it applies to the same value."""
        sorter = TopologicalSorter({number: set(node.in_place) for number, node in enumerate(self._nodes)})
        try:
            return list(sorter.static_order())
        except CycleError as error:
            node = self._nodes[error.args[1][0]]
            raise SchemaRefused(
                node.path, "refers to itself without an end: let it refer to itself for a member or an item only"
            ) from None

    def _level(self, above: list[float] | None) -> list[float]:
        """Return, for each schema, the work at the value itself, or one level further down than another list says."""
        work = [0.0] * len(self._nodes)
        for number in self._order:
            node = self._nodes[number]
            if above is None:
                own = node.own
            else:
                own = max((above[child] for child in node.one_of), default=0) + sum(above[child] for child in node.all_of)
            work[number] = own + sum(work[child] for child in node.in_place)
        return work


def _list(value: Any, path: Path) -> list[Any]:
    if not isinstance(value, list):
        raise SchemaRefused(path, "must be an array of schemas")
    return value


def _object(value: Any, path: Path) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise SchemaRefused(path, "must be an object of schemas")
    return value


def _size(value: Any) -> int:
    """Count the values in a value that is compared with others."""
    waiting, count = [value], 0
    while waiting:
        count += 1
        value_part = waiting.pop()
        waiting += (
            value_part.values() if isinstance(value_part, dict) else value_part if isinstance(value_part, list) else ()
        )
    return count


def _pattern_work(pattern: str) -> tuple[int, int]:
    """Return the states that a pattern has at most, about, and the work to compile it.

    A repetition counts as often as it may be repeated, that of a group multiplies all.
    """
    repeated, groups = len(pattern), 1
    for closing, low, high in _REPEATED.findall(pattern):
        times = max(int((low or "0")[:6]), int((high or "0")[:6]), 1)
        if closing:
            groups *= times
        else:
            repeated += times
    states = repeated * groups
    return states, states * next((factor for costly, factor in _COSTLY_CLASSES if costly.search(pattern)), 1)


def _unescaped(part: str) -> str:
    return unquote(part).replace("~1", "/").replace("~0", "~")
