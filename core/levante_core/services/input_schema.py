"""Checking an input against the JSON schema that a worker registered for it."""

from typing import Any

from levante_core.domain.frozen import Json
from levante_core.domain.payloads import is_encoded
from levante_core.errors import InvalidInput
from levante_core.protocol.specs import JsonSchema

MAX_PROBLEMS = 20


MOST_COMPILED = 512


class InputChecks:
    """Validates inputs; keeps the compiled schemas of the registrations seen."""

    def __init__(self) -> None:
        self._compiled: dict[str, Any] = {}

    def check(self, schema: JsonSchema, input_: Json, *, name: str, at: tuple[str, ...]) -> None:
        """Validate an input; None stands for no fields too. Raises: InvalidInput with one problem per finding.

        name: tells this schema from all others. What is encoded only the worker can look into.
        """
        if is_encoded(input_):
            return
        validator = self._compiled.get(name)
        if validator is None:
            if len(self._compiled) >= MOST_COMPILED:
                self._compiled.clear()
            validator = self._compiled[name] = _compile(schema)
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


def _compile(schema: JsonSchema) -> Any:
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - costs an import only where inputs are checked

    return Draft202012Validator(schema)
