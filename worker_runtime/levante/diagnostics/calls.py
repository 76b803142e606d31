"""Durable calls in workflow code that nobody awaits.

Such a call asks for nothing, so the history has no trace of it. Where a statement is the call and nothing else, the run
fails over it, as over any bug, before it records what comes after: when the `await` is written, the run goes on as if it had
always been there. A call that was kept may not be wanted after all, as the second of two ways to go: the log names it.
"""

from __future__ import annotations

import dis
import functools
import inspect
import operator
import sys
from collections.abc import Callable, Coroutine, Generator
from contextvars import ContextVar
from types import CodeType, FrameType, TracebackType
from typing import Any, NoReturn, ParamSpec, TypeVar

from levante.diagnostics.places import Place, callers_place
from levante.errors import InvalidArguments

_POP_TOP = dis.opmap["POP_TOP"]
P = ParamSpec("P")
R = TypeVar("R")


class NotAwaited(Exception):
    """A durable call was not awaited. A bug: the run stays open for code that does."""


class _NoAttribute(NotAwaited, AttributeError):
    """The same, where an attribute is asked for, which may be done in order to know whether there is one."""


class OpenCalls:
    """The durable calls of one run that nobody has awaited yet.

    check: called before each call; raises where none is possible. on_forgotten: called for each that nobody can await any
    more, and told whether that is a bug for certain.
    """

    def __init__(self, check: Callable[[], None], on_forgotten: Callable[[NotAwaited, bool], None]) -> None:
        self.check = check
        self._on_forgotten = on_forgotten
        self._texts: dict[int, str] = {}
        self._left: list[str] = []

    def add(self, call: DurableCall[Any]) -> None:
        """Take note of a call."""
        self._texts[id(call)] = call.description

    def remove(self, call: DurableCall[Any]) -> None:
        """Take note that somebody awaits the call, or has closed it."""
        self._texts.pop(id(call), None)

    def forget(self, call: DurableCall[Any]) -> None:
        """Take note that nobody can await the call any more.

        What other code lets go of, such as a collection of garbage, is told at the end of the run: it may come at any time.
        """
        text = f"{call.description} and never awaited, so it does not run: {call.advice}"
        self.remove(call)
        if open_calls.get() is self:
            self._on_forgotten(NotAwaited(text), call.is_a_statement)
        else:
            self._left.append(text)

    def at_the_end(self, result: object) -> NotAwaited | None:
        """Tell what is left when the run has returned. Returns what is wrong with its result, if that is such a call."""
        for text in [*self._left, *(f"{text} and never awaited, so it does not run" for text in self._texts.values())]:
            if not isinstance(result, DurableCall):
                self._on_forgotten(NotAwaited(text), False)
        return result.misused("returned") if isinstance(result, DurableCall) else None


open_calls: ContextVar[OpenCalls | None] = ContextVar("levante_open_calls", default=None)
"""Those of the run that the code belongs to."""


class DurableCall(Coroutine[Any, Any, R]):
    """A call that is to be awaited. It is a coroutine, and says so where it is used as if it were its result.

    make: makes the coroutine once it is awaited. There is none before, since Python warns of those that are not.
    """

    __slots__ = ("_calls", "_label", "_made", "_make", "_name", "_place")

    def __init__(
        self, calls: OpenCalls, make: Callable[[], Coroutine[Any, Any, R]], label: str, name: str, place: Place
    ) -> None:
        self._calls: OpenCalls | None = calls
        self._make = make
        self._made: Coroutine[Any, Any, R] | None = None
        self._label = label
        self._name = name
        self._place = place
        calls.add(self)

    @property
    def description(self) -> str:
        """What is called, and where."""
        return f"{self._label} is called at {self._place}"

    @property
    def is_a_statement(self) -> bool:
        """Whether what has just let go of the call is a statement that does nothing with its value."""
        frame = sys._getframe(3)  # noqa: SLF001 - behind this property, `forget` and `__del__`
        return frame.f_code.co_code[frame.f_lasti] == _POP_TOP

    @property
    def advice(self) -> str:
        """What to write."""
        return f"write `await {self._name}(...)`"

    def send(self, value: Any, /) -> Any:
        """See Coroutine."""
        return self._coroutine().send(value)

    def throw(self, kind: Any, value: BaseException | object = None, _: TracebackType | None = None, /) -> Any:
        """See Coroutine."""
        coroutine = self._coroutine()
        return coroutine.throw(kind) if value is None else coroutine.throw(kind, value)

    def close(self) -> None:
        """See Coroutine."""
        self._coroutine().close()

    def __await__(self) -> Generator[Any, Any, R]:
        return self._coroutine().__await__()

    def __del__(self) -> None:
        calls = self._calls
        if calls is not None:
            self._calls = None
            calls.forget(self)

    @property
    def cr_await(self) -> Any:
        """What the coroutine waits for."""
        return self._coroutine().cr_await  # type: ignore[attr-defined]

    @property
    def cr_code(self) -> CodeType:
        """The code of the function that was called."""
        return self._coroutine().cr_code  # type: ignore[attr-defined,no-any-return]

    @property
    def cr_frame(self) -> FrameType:
        """Where the coroutine is."""
        return self._coroutine().cr_frame  # type: ignore[attr-defined,no-any-return]

    @property
    def cr_running(self) -> bool:
        """Whether the coroutine is running."""
        return self._coroutine().cr_running  # type: ignore[attr-defined,no-any-return]

    def misused(self, how: str) -> NotAwaited:
        """Build the error for a line that uses the call as its result. how: such as "compared"."""
        return NotAwaited(self._misuse(how))

    def _misuse(self, how: str) -> str:
        return (
            f"{self.description} and {how} at {callers_place(2)} without `await`, so there is no result yet: {self.advice}"
        )

    def _coroutine(self) -> Coroutine[Any, Any, R]:
        """Return the coroutine, now that somebody wants it."""
        calls, self._calls = self._calls, None
        if calls is not None:
            calls.remove(self)
        if self._made is None:
            self._made = self._make()
        return self._made

    def __repr__(self) -> str:
        return f"<{self.description}>"

    def __hash__(self) -> int:
        return object.__hash__(self)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        raise self.misused("compared")

    def __getattr__(self, name: str) -> NoReturn:
        raise _NoAttribute(self._misuse(f"asked for {name!r}"))


_USES = {
    **dict.fromkeys(("str", "format"), "made a text"),
    **dict.fromkeys(("lt", "le", "gt", "ge"), "compared"),
    **dict.fromkeys(("bool", "len"), "tested"),
    **dict.fromkeys(("iter", "getitem", "contains"), "looked into"),
    **dict.fromkeys(("add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "mod", "rmod"), "computed with"),
    **dict.fromkeys(("int", "float", "index"), "made a number"),
}
"""Special methods of a result, and what calling them does to it."""


def _use(how: str) -> Callable[..., NoReturn]:
    def use(self: DurableCall[Any], *_: object) -> NoReturn:
        raise self.misused(how)

    return use


for _name, _how in _USES.items():
    setattr(DurableCall, f"__{_name}__", _use(_how))


def durable(label: str) -> Callable[[Callable[P, Coroutine[Any, Any, R]]], Callable[P, Coroutine[Any, Any, R]]]:
    """Let the calls of an async function be missed where workflow code does not await them. label: as messages name it."""

    def decorate(function: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
            calls = open_calls.get()
            if calls is None:
                return function(*args, **kwargs)
            calls.check()
            place = callers_place(2)
            make = functools.partial(_placed, place, functools.partial(function, *args, **kwargs))
            return DurableCall(calls, make, label, function.__name__, place)

        return as_async(call)

    return decorate


async def _placed(place: Place, call: Callable[[], Coroutine[Any, Any, R]]) -> R:
    """Make a call. Raises: what it raises; InvalidArguments names the line, which a task of its own would not show."""
    try:
        return await call()
    except InvalidArguments as error:
        if place.file not in error.message:
            error.message = f"{error.message} (called at {place})"
            error.args = (error.message,)
        raise


def as_async(function: Callable[P, R]) -> Callable[P, R]:
    """Let `inspect.iscoroutinefunction` be true for a function that returns a coroutine."""
    if sys.version_info >= (3, 12):
        return inspect.markcoroutinefunction(function)
    code = operator.attrgetter("__code__")(function)
    function.__code__ = code.replace(co_flags=code.co_flags | inspect.CO_COROUTINE)
    return function
