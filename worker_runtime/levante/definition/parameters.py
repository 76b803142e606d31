"""The parameters of a function, as its input names them."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from levante.definition.dependencies import Dependency, check_provider
from levante.definition.schemas import Owner, ValueType, resolved_hints
from levante.diagnostics.arguments import explanation
from levante.errors import InvalidArguments
from levante.values.forms import Form

Arguments: TypeAlias = tuple[tuple[Any, ...], dict[str, Any]]
"""The positional and the keyword arguments of a call."""


class Parameters:
    """The parameters of a function by name, `self` left out.

    extra: the type of what `**kwargs` takes; None without it. injected: those that providers fill, which are in no input.
    """

    def __init__(
        self, owner: Owner, function: Callable[..., Any], names: Mapping[str, Any], *, method: bool, form: Form
    ) -> None:
        """Raises: WorkflowsException when a parameter cannot be filled from JSON that is keyed by names."""
        self.owner = owner
        self.hints = resolved_hints(owner, function, names)
        self.named: dict[str, ValueType] = {}
        self.extra: ValueType | None = None
        self.injected: set[str] = set()
        declared = list(inspect.signature(function).parameters.values())
        if method and not declared:
            raise owner.definition_error("a method needs the parameter self")
        self._signature = inspect.Signature(declared[1:] if method else declared)
        for parameter in self._signature.parameters.values():
            self._add(parameter, form)

    def _add(self, parameter: inspect.Parameter, form: Form) -> None:
        name, kind = parameter.name, parameter.kind
        if kind in {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.POSITIONAL_ONLY}:
            raise self.owner.definition_error(f"parameter {name!r} cannot be given by name, which is how input is given")
        if isinstance(parameter.default, Dependency):
            if form is not Form.INTERNAL:
                raise self.owner.definition_error(
                    f"parameter {name!r}: Depends is for activities, which may have side effects"
                )
            check_provider(self.owner, parameter.default.provider, {})
            self.injected.add(name)
            return
        if name not in self.hints:
            raise self.owner.definition_error(f"parameter {name!r} has no annotation")
        value = ValueType(self.owner, f"parameter {name!r}", self.hints[name], form)
        if kind is inspect.Parameter.VAR_KEYWORD:
            self.extra, self._extra_name = value, name
        else:
            self.named[name] = value

    def type_of(self, name: str) -> ValueType | None:
        """Return the type of what is given under a name; None where nothing takes it."""
        return self.named.get(name) or (None if name in self.injected else self.extra)

    def default(self, name: str) -> Any:
        """Return the default of a parameter; `inspect.Parameter.empty` where it is required."""
        return self._signature.parameters[name].default

    def requires(self, name: str) -> bool:
        """Tell whether a parameter has no default."""
        return self.default(name) is inspect.Parameter.empty

    def arguments(self, values: Mapping[str, Any], extra: Mapping[str, Any]) -> Arguments:
        """Arrange values for a call; defaults stand in for what is missing, but for what providers fill."""
        bound = inspect.BoundArguments(self._signature, OrderedDict(values))
        if self.extra is not None:
            bound.arguments[self._extra_name] = extra
        bound.apply_defaults()
        for name in self.injected:
            del bound.arguments[name]
        return bound.args, bound.kwargs

    def given(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of a call by name, those in `**kwargs` among them. Raises: InvalidArguments."""
        try:
            values = self._signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise InvalidArguments(explanation(self.owner.label, self._signature, error)) from None
        if given := self.injected & values.keys():
            names = ", ".join(map(repr, sorted(given)))
            raise InvalidArguments(f"{self.owner.label}: a workflow cannot give {names}: providers of the worker fill that")
        extra = values.pop(self._extra_name, {}) if self.extra is not None else {}
        return {**values, **extra}
