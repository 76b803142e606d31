"""Checking an input against the JSON schema that a worker registered for it."""

import json
from functools import lru_cache
from typing import Any

from levante_core.domain.frozen import Json
from levante_core.errors import InvalidInput
from levante_core.protocol.specs import JsonSchema

MAX_PROBLEMS = 20


class InputChecks:
    """Validates inputs; keeps the compiled schemas of the last registrations seen, by their text."""

    def __init__(self) -> None:
        self._validator = lru_cache(maxsize=256)(_compiled)

    def check(self, schema: JsonSchema, input_: Json, *, at: tuple[str, ...]) -> None:
        """Validate an input; None stands for no fields too. Raises: InvalidInput with one problem per finding."""
        validator = self._validator(json.dumps(schema))
        if input_ is None and validator.is_valid(None):
            return
        findings = validator.iter_errors({} if input_ is None else input_)
        problems: list[dict[str, Any]] = []
        for finding in findings:
            problems.append(
                {"loc": [*at, *finding.absolute_path], "msg": finding.message[:500], "type": f"schema.{finding.validator}"}
            )
            if len(problems) == MAX_PROBLEMS:
                break
        if problems:
            raise InvalidInput(problems)


def _compiled(schema_json: str) -> Any:
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - costs an import only where inputs are checked

    return Draft202012Validator(json.loads(schema_json))
