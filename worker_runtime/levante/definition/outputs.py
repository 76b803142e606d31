"""Results of functions as JSON. Source of the rules: SDK contract §1 (read 2026-11-23).

The result of an activity is for our own code: the plain value. What entrypoints and handlers return is seen outside.
"""

from __future__ import annotations

import logging
from types import NoneType
from typing import Any, Union

from pydantic import BaseModel, ValidationError

from levante.definition.refusals import IT_RAN, PayloadRefused
from levante.definition.schemas import (
    Owner,
    ValueType,
    inlined,
    is_model,
    own_type,
    problems_of,
    schemas_of,
    union_members,
    with_definitions,
)
from levante.errors import ErrorCode, WorkflowsException
from levante.values.forms import Form
from levante.values.losses import Comparison, ValueLost, ValueMisfits, at_location
from levante_core.protocol import Json, JsonSchema

RESULT = "result"
"""What paths into a result begin with, and the key under which a result stands that is no model."""

_logger = logging.getLogger(__name__)


class ActivityOutput:
    """The result of an activity: checked against its annotation where it is made, read back where it is awaited."""

    def __init__(self, owner: Owner, hint: Any) -> None:
        """Raises: WorkflowsException when JSON cannot carry the type."""
        self._owner = owner
        self._type = ValueType(owner, "the result", hint, Form.INTERNAL)

    def dump(self, value: Any) -> Json:
        """Return the result as JSON. Raises: PayloadRefused when it does not fit its annotation, or would arrive changed."""
        try:
            return self._type.write(self._type.check(value, RESULT), RESULT)
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False, include_input=False)
            problem = "; ".join(f"{at_location(RESULT, one['loc'])}: {one['msg']}" for one in found)
        except ValueLost as lost:
            problem = str(lost)
        raise PayloadRefused(f"{self._owner.label}: {problem}. {IT_RAN}")

    def load(self, value: Json) -> Any:
        """Return the result as its annotated type. Raises: WorkflowsException when the type has changed since."""
        try:
            return self._type.read(value)
        except ValidationError as error:
            problem = f"{self._owner.label}: {'; '.join(problems_of(error, 'the recorded result'))}"
            raise WorkflowsException(problem, code=ErrorCode.UNSERIALIZABLE_PAYLOAD_ERROR) from None


class HandlerOutput:
    """The result of an entrypoint or handler. wraps: what is neither model nor None becomes {"result": value}.

    A result that wraps is an entrypoint's, which a parent reads: it arrives there as it is, or is refused. The others are
    answers for outsiders, who take what JSON says.
    schema: None where nothing is returned, or nothing is known of what is.
    """

    def __init__(self, owner: Owner, hint: Any, *, wraps: bool) -> None:
        """Raises: WorkflowsException when the type has no JSON schema."""
        self._owner = owner
        self._wraps = wraps
        members = union_members(hint)
        bare = [member for member in members if member is NoneType or is_model(member) or not wraps]
        wrapped = [member for member in members if member not in bare]
        if not (bare and wrapped):  # keep what `Annotated` says of the whole
            bare, wrapped = ([hint] if bare else []), ([hint] if wrapped else [])
        self._models = tuple(member for member in members if is_model(member))
        self._only_model = hint if is_model(hint) else None
        self._bare, self._wrapped = self._type_of(bare), self._type_of(wrapped)
        self.schema = None if hint is Any or hint is NoneType else self._schema()

    def _type_of(self, members: list[Any]) -> ValueType | None:
        if not members:
            return None
        union: Any = Union[tuple(members)]  # noqa: UP007 - made at run time
        return ValueType(self._owner, "the result", union, Form.RESULT)

    def _schema(self) -> JsonSchema:
        types = [value_type for value_type in (self._bare, self._wrapped) if value_type is not None]
        shapes, definitions = schemas_of(self._owner, types, "serialization")
        if self._wrapped:
            shapes[-1] = {"type": "object", "properties": {RESULT: shapes[-1]}, "required": [RESULT]}
        return with_definitions(inlined(shapes[0], definitions) if len(shapes) == 1 else {"anyOf": shapes}, definitions)

    def dump(self, value: Any) -> Json:
        """Return the result as JSON; one that does not fit its annotation is logged and passed on as it is, unwrapped.

        Raises: PayloadRefused when it is no JSON at all, or what an entrypoint returns would arrive at a parent otherwise.
        """
        if value is None:
            return None
        try:
            return self._model(value) if isinstance(value, BaseModel) else self._other(value)
        except ValueMisfits as misfit:
            if self._wraps and self._wrapped is not None and self._wrapped.is_instance(value):
                raise PayloadRefused(f"{self._owner.label}: {misfit}") from None
            return self._passed_on(value)
        except ValueLost as lost:
            raise PayloadRefused(f"{self._owner.label}: {lost}") from None

    def load(self, value: Json) -> Any:
        """Return what was returned, from what `dump` made of it; what does not fit the annotation is passed on as it is."""
        is_wrapped = self._wraps and isinstance(value, dict) and value.keys() == {RESULT}
        candidates = [(self._wrapped, value[RESULT])] if is_wrapped else []
        for value_type, plain in [*candidates, (self._bare, value)]:
            if value_type is not None:
                try:
                    return value_type.read(plain)
                except ValidationError:
                    continue
        return value

    def _model(self, value: BaseModel) -> Json:
        """Write a model as its own class says, whatever is annotated. Raises: ValueLost."""
        is_read_back = self._wraps and isinstance(value, self._models)
        plain = own_type(type(value), Form.RESULT).write(value, RESULT, is_read_back=is_read_back)
        if is_read_back and type(value) is not self._only_model:
            Comparison(is_exact=False, is_open_exact=False).check(value, self.load(plain), RESULT)
        elif self._wraps and not is_read_back:
            _logger.warning("%s: the result is a model that its annotation does not name", self._owner.label)
        return plain

    def _other(self, value: Any) -> Json:
        """Write what is no model. Raises: ValueLost."""
        value_type = self._wrapped if self._wraps else self._bare
        if value_type is None:
            raise ValueMisfits(RESULT, "only models are annotated")
        plain = value_type.write(value, RESULT, is_read_back=self._wraps)
        return {RESULT: plain} if self._wraps else plain

    def _passed_on(self, value: Any) -> Json:
        _logger.warning("%s: the result does not fit its annotation, passed on as it is", self._owner.label)
        hint = type(value) if isinstance(value, BaseModel) else Any
        try:
            return own_type(hint, Form.RESULT).write_anyhow(value, RESULT)
        except ValueLost as lost:
            raise PayloadRefused(f"{self._owner.label}: {lost}") from None
