"""What would be lost of a value that is written and read again, and where in it."""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, time
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_json

_BUILT_IN = (bool, bytes, dict, float, frozenset, int, list, set, str, tuple)
_MOST_KEY_CHARACTERS = 40


class ValueLost(Exception):
    """A value cannot cross a boundary. path: where in it, such as `result.items[3].price`. Never says what the value is."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


class ValueMisfits(ValueLost):
    """A value has another type than it is annotated with, though JSON has a form for it."""


def at_field(path: str, name: object) -> str:
    """Return the path of a field."""
    return f"{path}.{name}"


def at_key(path: str, key: object) -> str:
    """Return the path of a key or an index."""
    text = repr(key) if isinstance(key, str | int | float | bool | None) else type(key).__name__
    return f"{path}[{text[:_MOST_KEY_CHARACTERS]}]"


def at_location(path: str, location: Iterable[int | str]) -> str:
    """Return the path of what pydantic found at a location."""
    for step in location:
        path = at_key(path, step) if isinstance(step, int) else at_field(path, step)
    return path


class Comparison:
    """Compares values with what was read back of them. is_exact: classes have to be the same.

    is_open_exact: the same where nothing is declared, as in the further fields of a model. widens: but a whole number may
    arrive as a float.
    plain_fields: by class of a model and name of a field, what shows that a value need not be compared.
    Otherwise an instance of a class derived from a built-in one may arrive as the built-in, which is what the type says. It
    is not in a union, where the derived class may be a member that was lost.
    """

    def __init__(
        self,
        *,
        is_exact: bool,
        is_open_exact: bool = True,
        widens: bool = False,
        plain_fields: Mapping[type, Mapping[str, Callable[[Any], bool]]] | None = None,
    ) -> None:
        self._is_exact = is_exact
        self._is_open_exact = is_open_exact
        self._widens = widens
        self._plain_fields = plain_fields or {}

    def check(self, before: Any, after: Any, path: str) -> None:
        """Raises: ValueLost for the first difference."""
        if before is after:
            return
        kind = type(after)
        if type(before) is not kind and not self._may_arrive_as(before, kind):
            raise ValueLost(path, f"{_name(type(before))} would arrive as {_name(kind)}: annotate it as what it is")
        if isinstance(after, BaseModel):
            self._check_model(before, after, path)
        elif dataclasses.is_dataclass(after):
            names = [field.name for field in dataclasses.fields(after)]
            self._check_attributes(names, before, after, path)
        elif isinstance(after, Mapping):
            self._check_mapping(before, after, path)
        elif isinstance(after, list | tuple | deque):
            self._check_sequence(before, after, path)
        elif isinstance(after, set | frozenset):
            self._check_set(before, after, path)
        else:
            self._check_leaf(before, after, path)

    def _may_arrive_as(self, before: Any, kind: type) -> bool:
        if issubclass(kind, BaseModel):  # a model of the bare generic class counts as one of the class with parameters
            return type(before) is (kind.__pydantic_generic_metadata__["origin"] or kind)
        if self._widens and kind is float and type(before) is int:
            return True
        return not self._is_exact and kind in _BUILT_IN and isinstance(before, kind)

    def _check_model(self, before: BaseModel, after: BaseModel, path: str) -> None:
        plain, held = self._plain_fields.get(type(before), {}), before.__dict__
        names = type(after).model_fields
        to_compare = [name for name in names if not (name in plain and name in held and plain[name](held[name]))]
        self._check_attributes(to_compare, before, after, path)
        if before.model_extra or after.model_extra:  # of which no type is known
            open_fields = Comparison(is_exact=self._is_open_exact)
            open_fields.check(before.model_extra or {}, after.model_extra or {}, path)
        own, arriving = before.__pydantic_private__ or {}, after.__pydantic_private__ or {}
        for name in own.keys() | arriving.keys():
            self._check_member(name, own, arriving, at_field(path, name))

    def _check_attributes(self, names: Iterable[str], before: object, after: object, path: str) -> None:
        missing = object()
        for name in names:
            mine, arriving = getattr(before, name, missing), getattr(after, name, missing)
            if (mine is missing) is not (arriving is missing):
                raise ValueLost(at_field(path, name), "is set here and not where it arrives, or the other way round")
            if mine is not missing:
                self.check(mine, arriving, at_field(path, name))

    def _check_member(self, name: Any, before: Mapping[Any, Any], after: Mapping[Any, Any], path: str) -> None:
        if name not in before or name not in after:
            raise ValueLost(path, "would not arrive" if name in before else "would be made up")
        self.check(before[name], after[name], path)

    def _check_mapping(self, before: Mapping[Any, Any], after: Mapping[Any, Any], path: str) -> None:
        keys = {key: key for key in after}
        for key in before:
            if key not in keys or (type(key) is not type(keys[key]) and not self._may_arrive_as(key, type(keys[key]))):
                raise ValueLost(at_key(path, key), f"the key, {_name(type(key))}, would not arrive as it is")
            self.check(before[key], after[key], at_key(path, key))
        if len(before) != len(after):
            raise ValueLost(path, "keys would be made up")
        if isinstance(after, defaultdict) and before.default_factory is not after.default_factory:  # type: ignore[attr-defined]
            raise ValueLost(path, "its default_factory would not arrive")

    def _check_sequence(self, before: Any, after: Any, path: str) -> None:
        if len(before) != len(after) or getattr(before, "maxlen", None) != getattr(after, "maxlen", None):
            raise ValueLost(path, "its length would not arrive as it is")
        for index, (mine, arriving) in enumerate(zip(before, after, strict=True)):
            self.check(mine, arriving, at_key(path, index))

    def _check_set(self, before: Any, after: Any, path: str) -> None:
        members = {member: member for member in after}
        for member in before:
            if member not in members:
                raise ValueLost(f"{path}[...]", f"a member, {_name(type(member))}, would not arrive as it is")
            self.check(member, members[member], f"{path}[...]")
        if len(before) != len(after):
            raise ValueLost(path, "members would be made up")

    def _check_leaf(self, before: Any, after: Any, path: str) -> None:
        if isinstance(after, datetime | time):
            is_same = before.replace(tzinfo=None) == after.replace(tzinfo=None) and before.utcoffset() == after.utcoffset()
        elif isinstance(after, float) and math.isnan(after):
            is_same = math.isnan(before)
        elif before is not after and _is_compared_by_identity(type(after)):
            self._check_state(before, after, path)
            return
        else:
            is_same = _equal(before, after)
        if not is_same:
            raise ValueLost(path, f"this {_name(type(before))} would arrive as another one")

    def _check_state(self, before: object, after: object, path: str) -> None:
        """Compare objects whose class does not say when they are equal by what they hold."""
        names = [*_slots(after), *dict.fromkeys([*getattr(before, "__dict__", ()), *getattr(after, "__dict__", ())])]
        if not names:
            raise ValueLost(path, f"{_name(type(after))} does not say when two of it are equal: give it a method __eq__")
        self._check_attributes(names, before, after, path)


def _is_compared_by_identity(kind: type) -> bool:
    return next("__eq__" in cls.__dict__ and cls is object for cls in kind.__mro__ if "__eq__" in cls.__dict__)


def _slots(value: object) -> Iterator[str]:
    for cls in type(value).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        yield from (slots,) if isinstance(slots, str) else slots


def _equal(before: Any, after: Any) -> bool:
    try:
        return bool(before == after)
    except Exception:  # noqa: BLE001 - a user's __eq__
        return False


def _name(kind: type) -> str:
    return "None" if kind is type(None) else kind.__qualname__


# --- what cannot be written -------------------------------------------------------------------------------------------


def is_doubtful(text: bytes) -> bool:
    """Tell whether a JSON text may hold a number that JSON does not know; a string may look like one."""
    return b"NaN" in text or b"Infinity" in text


def check_finite(value: Any, path: str) -> None:
    """Raises: ValueLost for the first number within a value that JSON does not know."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueLost(path, "the number is NaN or infinite, which JSON does not know: leave it out, or use None or a text")
    for place, member in _members(value, path) or ():
        check_finite(member, place)


def check_taken(given: Any, arrived: Any, path: str) -> None:
    """Raises: ValueLost for the first key of a JSON value within it that is not in what arrived."""
    if isinstance(given, dict) and isinstance(arrived, dict):
        for key, value in given.items():
            if key not in arrived:
                raise ValueLost(at_key(path, key), "nothing takes this field")
            check_taken(value, arrived[key], at_key(path, key))
    if isinstance(given, list) and isinstance(arrived, list):
        for index, (value, taken) in enumerate(zip(given, arrived, strict=False)):
            check_taken(value, taken, at_key(path, index))


def check_no_secret(value: Any, path: str) -> None:
    """Raises: ValueLost for the first secret, of which pydantic would write asterisks."""
    if hasattr(value, "get_secret_value"):
        raise ValueLost(path, f"{_name(type(value))} is a secret, which outsiders would see: leave it out")
    for place, member in _members(value, path) or ():
        check_no_secret(member, place)


def unwritable(value: Any, path: str) -> ValueLost | None:
    """Return what in a value JSON has no form for, and where; None if nothing is found."""
    try:
        return _unwritable(value, path, ())
    except RecursionError:
        return ValueLost(path, "is nested too deeply")


def _unwritable(value: Any, path: str, within: tuple[int, ...]) -> ValueLost | None:
    if id(value) in within:
        return ValueLost(path, "contains itself: JSON has no form for cycles")
    members = _members(value, path)
    if members is None:
        return _unwritable_leaf(value, path)
    return next(filter(None, (_unwritable(member, place, (*within, id(value))) for place, member in members)), None)


def _members(value: Any, path: str) -> list[tuple[str, Any]] | None:
    """Return what a value holds, with the places; None for one that holds nothing."""
    if isinstance(value, BaseModel):
        fields = {**value.__dict__, **(value.model_extra or {})}
        return [(at_field(path, name), field) for name, field in fields.items()]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value) if hasattr(value, field.name)]
        return [(at_field(path, name), getattr(value, name)) for name in names]
    if isinstance(value, Mapping):
        keys = [(at_key(path, key), key) for key in value]
        return keys + [(at_key(path, key), member) for key, member in value.items()]
    if isinstance(value, list | tuple | set | frozenset | deque):
        return [(at_key(path, index), member) for index, member in enumerate(value)]
    return None


def _unwritable_leaf(value: Any, path: str) -> ValueLost | None:
    if isinstance(value, str):
        return None if _works(value.encode) else ValueLost(path, "the text has half a character and no UTF-8")
    if isinstance(value, bytes) or _works(lambda: to_json(value)):
        return None
    return ValueLost(path, f"{_name(type(value))} is no JSON: pass what it is made from, such as text, numbers or a model")


def _works(call: Callable[[], object]) -> bool:
    try:
        call()
    except Exception:  # noqa: BLE001 - whatever a class of a user's raises
        return False
    return True
