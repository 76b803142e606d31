"""Arguments that a function does not take: which line gives them, what it takes, and what was probably meant."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from levante.diagnostics.places import Place, callers_place
from levante.errors import InvalidArguments
from levante_core.protocol import did_you_mean

P = ParamSpec("P")
R = TypeVar("R")

MOST_ANNOTATED = 5
"""Parameters that a message shows with their types."""
_UNKNOWN = re.compile(r"unexpected keyword argument '(\w+)'")


def explained(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function of ours that is called with arguments it does not take say so as `wrong_arguments` does.

    name: as users write the function. Costs nothing where the arguments are right.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except TypeError as error:
                if error.__traceback__ is None or error.__traceback__.tb_next is not None:
                    raise  # of the function itself
                signature = inspect.signature(function)
                try:
                    signature.bind(*args, **kwargs)
                except TypeError as misfit:
                    raise wrong_arguments(name, signature, misfit, callers_place(2)) from None
                raise

        return call

    return decorate


def wrong_arguments(name: str, signature: inspect.Signature, error: TypeError, place: Place) -> InvalidArguments:
    """Build the error for a call that does not fit a signature. error: what `Signature.bind` raised."""
    return InvalidArguments(explanation(f"{name} at {place}", signature, error))


def explanation(name: str, signature: inspect.Signature, error: TypeError) -> str:
    """Say what is wrong with a call, and what the function takes."""
    problem, keywords = str(error), [one.name for one in signature.parameters.values() if one.kind is one.KEYWORD_ONLY]
    unknown = _UNKNOWN.search(problem)
    meant = did_you_mean(unknown[1], signature.parameters) if unknown else ""
    if problem == "too many positional arguments" and keywords:
        problem += f": give {', '.join(keywords[:3])} by name, such as {keywords[0]}=1"
    return f"{name}: {problem}{meant or f'. It takes {written(signature)}'}"


def written(signature: inspect.Signature) -> str:
    """Return the parameters as the user wrote them, "(amount: int, *, to: str)", or the names alone of many."""
    if len(signature.parameters) > MOST_ANNOTATED:
        return ", ".join(signature.parameters)
    parameters = [
        one.replace(default=one.default if _is_plain(one.default) else _Dots()) for one in signature.parameters.values()
    ]
    return str(inspect.Signature([one.replace(annotation=_named(one.annotation)) for one in parameters]))


class _Dots:
    """In place of a default that would be long or secret."""

    def __repr__(self) -> str:
        return "..."


class _Name:
    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


def _is_plain(default: object) -> bool:
    return default is inspect.Parameter.empty or default is None or isinstance(default, bool | int)


def _named(annotation: object) -> object:
    """Return an annotation that is written by its short name."""
    if annotation is inspect.Parameter.empty:
        return annotation
    if isinstance(annotation, str):
        return _Name(annotation)
    return _Name(annotation.__name__) if isinstance(annotation, type) else annotation
