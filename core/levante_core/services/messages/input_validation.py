"""Checking inputs against the JSON schemas that workers registered, and these schemas when they are registered.

A check holds up all else that this process does, so it runs here only where a bound that was read from schema and input
(`schema_rules`) is small. Any other runs in a process that is ended after a second.
"""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from cachetools import LRUCache
from pydantic_core import to_json

from levante_core.domain.catalogue.schema_rules import MOST_SCHEMA_BYTES, Path, SchemaRefused, SchemaWork
from levante_core.domain.frozen import Json
from levante_core.domain.payload_shapes import expected_shape, sent_shape
from levante_core.domain.payloads import MAX_PAYLOAD_DEPTH, is_encoded
from levante_core.errors import InvalidInput, Unavailable
from levante_core.protocol.specs import JsonSchema

_log = logging.getLogger(__name__)

MOST_COMPILED = 512
MOST_WORK_OF_LIST = 200_000
"""Bytes times work for each of them, up to which all problems are listed at once: at most 0.1 s."""
MOST_WORK_OF_CHECK = 20_000_000
"""Same, up to which it is found out at once whether there is any problem: at most 0.1 s."""
MOST_PATTERN_WORK_TOGETHER = 500_000
MOST_SCHEMAS_TOGETHER = 20_000
MOST_BYTES_TOGETHER = 2 * 1024 * 1024
"""Of all schemas of one registration, which is looked at in half a second then."""
_MOST_SECONDS_ON_THE_CLOCK = 10

Problems = list[dict[str, Any]]
RunBlocking = Callable[[Callable[[], Problems]], Problems]
"""Runs a function that waits for another process, letting others go on meanwhile."""


class _Known(NamedTuple):
    """A schema that was compiled; work: None if it never was, as it dates from before schemas were looked at."""

    validator: Any
    work: SchemaWork | None


class InputChecks:
    """Validates inputs; keeps the compiled schemas of the registrations seen."""

    def __init__(self, run_blocking: RunBlocking = lambda blocking: blocking()) -> None:
        self._run_blocking = run_blocking
        self._known: LRUCache[str, _Known] = LRUCache(MOST_COMPILED)

    def check(self, schema: JsonSchema, input_: Json, *, name: str, at: tuple[str, ...]) -> None:
        """Validate an input; None stands for no fields too. Raises: InvalidInput with one problem per finding.

        name: tells this schema from all others. What is encoded only the worker can look into; it also is the only one to
        check what an older version registered, and this one would refuse.
        """
        if is_encoded(input_):
            return
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = _known(schema, name)
        if known.work is None:
            return
        problems = self._problems(schema, known.validator, known.work, input_)
        if problems and input_ is None:
            problems = self._problems(schema, known.validator, known.work, {})
        if problems:
            problems = _with_shapes(problems, schema, input_)
            raise InvalidInput([{**problem, "loc": [*at, *problem["loc"]]} for problem in problems])

    def _problems(self, schema: JsonSchema, validator: Any, work: SchemaWork, value: Json) -> Problems:
        text = to_json(value)
        total = len(text) * work.per_byte(min(text.count(b"[") + text.count(b"{"), MAX_PAYLOAD_DEPTH))
        if total <= MOST_WORK_OF_CHECK and validator.is_valid(value):
            return []
        if total <= MOST_WORK_OF_LIST:
            from levante_core.services.messages.schema_process import problems_with  # noqa: PLC0415 - as `_compiled`

            return problems_with(value, validator)
        return self._run_blocking(lambda: _checked_apart(schema, value))


def _with_shapes(problems: Problems, schema: JsonSchema, input_: Json) -> Problems:
    """Show what is expected and what was sent, without its values, where the input does not fit as a whole."""
    at = next((index for index, problem in enumerate(problems) if not problem["loc"]), None)
    if at is None:
        return problems
    shapes = f"expected is {expected_shape(schema)}, sent was {sent_shape(input_)}"
    return [*problems[:at], {**problems[at], "msg": f"{problems[at]['msg']}: {shapes}"}, *problems[at + 1 :]]


def refuse_schemas(schemas: Iterable[tuple[Path, JsonSchema | None]]) -> None:
    """Refuse schemas that cannot be checked against, or not in time. Raises: InvalidInput, with the place in the body."""
    problems: Problems = []
    left = [MOST_BYTES_TOGETHER, MOST_SCHEMAS_TOGETHER, MOST_PATTERN_WORK_TOGETHER]
    for path, schema in schemas:
        if schema is None:
            continue
        size = len(to_json(schema))
        try:
            work = _examined(schema, size)
        except SchemaRefused as refused:
            problems.append({"loc": [*path, *refused.path], "msg": f"JSON schema: {refused}", "type": "schema"})
            continue
        left = [room - used for room, used in zip(left, (size, work.schemas, work.pattern_work), strict=True)]
        if min(left) < 0:
            raise InvalidInput.at(
                ("body", "definitions"),
                f"the schemas have together more than {MOST_BYTES_TOGETHER:,} bytes or {MOST_SCHEMAS_TOGETHER:,} parts, "
                "or too large patterns: register fewer workflows with one worker",
                "schema",
            )
    if problems:
        raise InvalidInput(problems)


def _examined(schema: JsonSchema, size: int) -> SchemaWork:
    """Raises: SchemaRefused."""
    if size > MOST_SCHEMA_BYTES:
        raise SchemaRefused((), f"has {size:,} bytes, and may have {MOST_SCHEMA_BYTES:,}: describe less of it")
    work = SchemaWork(schema)
    _compiled(schema)
    return work


def _known(schema: JsonSchema, name: str) -> _Known:
    try:
        return _Known(_compiled(schema), SchemaWork(schema))
    except SchemaRefused as refused:
        where = refused.path
        _log.warning("inputs of %s are checked by its workers alone: their schema is not taken at %s", name, where)
        return _Known(None, None)


def _compiled(schema: JsonSchema) -> Any:
    """Raises: SchemaRefused."""
    from levante_core.services.messages.schema_process import compiled  # noqa: PLC0415 - costs an import only where it is needed

    try:
        return compiled(schema)
    except ValueError as error:
        message = str(getattr(error, "message", error))
        path = tuple(getattr(error, "instance_path", ()))
        raise SchemaRefused(path, f"{message[:300]}: correct it, or leave it out") from None


def _checked_apart(schema: JsonSchema, value: Json) -> Problems:
    """Check in a process that has nothing but its path, and a second."""
    command = [sys.executable, "-S", "-m", "levante_core.services.messages.schema_process"]
    try:
        done = subprocess.run(  # noqa: S603 - our own program
            command,
            input=json.dumps({"schema": schema, "value": value}).encode(),
            env={"PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            timeout=_MOST_SECONDS_ON_THE_CLOCK,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return [_TOO_LONG]
    except OSError as error:
        raise Unavailable(f"no process can be started to check the input: {error}") from error
    *_, last = [b"", *done.stdout.splitlines()]
    if last:
        problems: Problems = json.loads(last)
        return problems
    if done.returncode > 0:
        raise RuntimeError(f"the process that checks inputs failed: {done.stderr[-1000:].decode(errors='replace')}")
    return [_TOO_LONG]


_TOO_LONG = {
    "loc": [],
    "msg": "takes too long to check against the schema: send a smaller value, or one that is nested less deep",
    "type": "schema",
}
