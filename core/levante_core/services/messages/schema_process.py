"""Compiling JSON schemas and checking values against them; and the process that does so where it may take for ever.

As a program it reads `{"schema", "value"}` and writes problems as lines of JSON: first the one that is found first, then all
of them. The operating system ends it after a second of work, so the last line may be missing.
"""

import json
import sys
from contextlib import suppress
from typing import Any

import jsonschema_rs

MOST_PROBLEMS = 20
MOST_SECONDS = 1
"""Of processor time, for a check in a process of its own."""
_MOST_MEMORY_BYTES = 1 << 30
_PATTERNS = jsonschema_rs.FancyRegexOptions(backtrack_limit=10_000)


def compiled(schema: Any) -> jsonschema_rs.Validator:
    """Compile a schema. Nothing is fetched. Its messages do not quote the value. Raises: ValueError, with instance_path."""
    return jsonschema_rs.Draft202012Validator(schema, offline=True, mask="the value", pattern_options=_PATTERNS)


def problem_of(error: jsonschema_rs.ValidationError) -> dict[str, Any]:
    """Say what is wrong, at a place within the value."""
    return {"loc": error.instance_path, "msg": error.message[:500], "type": f"schema.{error.kind.name}"}


def problems_with(value: Any, validator: jsonschema_rs.Validator) -> list[dict[str, Any]]:
    """List what is wrong with a value, up to MOST_PROBLEMS."""
    return [problem_of(error) for _, error in zip(range(MOST_PROBLEMS), validator.iter_errors(value), strict=False)]


def main() -> None:
    """Check one value."""
    import resource  # noqa: PLC0415 - not where the rest of this is imported on Windows

    with suppress(ValueError, OSError):  # not every system knows it
        resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY_BYTES, _MOST_MEMORY_BYTES))
    asked = json.load(sys.stdin)
    spent = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(spent.ru_utime + spent.ru_stime) + 1 + MOST_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
    validator = compiled(asked["schema"])
    try:
        validator.validate(asked["value"])
    except jsonschema_rs.ValidationError as error:
        print(json.dumps([problem_of(error)]), flush=True)  # noqa: T201 - its answer
        print(json.dumps(problems_with(asked["value"], validator)), flush=True)  # noqa: T201 - same
    else:
        print("[]")  # noqa: T201 - same


if __name__ == "__main__":
    main()
