"""Dependency injection: parameters of activities that providers fill. Source: SDK contract §8 (read 2026-11-23).

What a provider gives is made once in a *scope*, shared by all that ask for it there, and torn down when the scope ends. The
scope of a worker lasts as long as the worker; a call outside of any has one of its own, which the calls inside it share.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Hashable,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar, cast, overload

from levante.definition.schemas import Owner
from levante.errors import ErrorCode, WorkflowsException, text_of

__all__ = ["Dependency", "DependencyInjector", "Depends", "Injection", "check_provider", "dependency_scope"]

T = TypeVar("T")

Provider: TypeAlias = Callable[..., Any]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Dependency:
    """The default of a parameter that a provider fills."""

    provider: Provider


# What providers return overlaps (a file is a context manager and an iterator); the first that fits says what they give.
@overload
def Depends(provider: Callable[..., AbstractAsyncContextManager[T, bool | None]], /) -> T: ...
@overload
def Depends(provider: Callable[..., AbstractContextManager[T, bool | None]], /) -> T: ...
@overload
def Depends(provider: Callable[..., AsyncIterator[T]], /) -> T: ...
@overload
def Depends(provider: Callable[..., Iterator[T]], /) -> T: ...
@overload
def Depends(provider: Callable[..., Awaitable[T]], /) -> T: ...
@overload
def Depends(provider: Callable[..., T], /) -> T: ...
def Depends(provider: Provider, /) -> Any:  # noqa: N802 - the name is part of the programming model
    """Fill a parameter of an activity, or of another provider, from a provider.

        @activity()
        async def charge(order: str, db: Database = Depends(get_db)) -> str: ...

    Args:
        provider: A function, a generator function that yields once, a function that returns a context manager, all sync or
            async; or whatever else can be called without arguments. What a sync one returns is entered if it is a context
            manager, what an async one returns is passed on as it is. A call that gives the argument itself asks no provider.
    """
    return Dependency(provider)


class Injection:
    """The parameters of a function that providers fill, by name."""

    def __init__(self, function: Callable[..., Any]) -> None:
        try:
            self._signature = inspect.signature(function)
        except ValueError:  # some built-in classes have none
            self._signature = inspect.Signature()
        self.parameters = self._signature.parameters.values()
        self.providers: dict[str, Provider] = {
            parameter.name: parameter.default.provider
            for parameter in self.parameters
            if isinstance(parameter.default, Dependency)
        }

    async def arguments(
        self, scope: Scope, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
        """Add to the arguments of a call what it leaves to providers. Raises: what `Scope.value` raises."""
        if not self.providers:
            return args, kwargs
        call = self._signature.bind(*args, **kwargs)
        for name, provider in self.providers.items():
            if name not in call.arguments:
                call.arguments[name] = await scope.value(provider)
        return call.args, call.kwargs


def check_provider(
    owner: Owner, provider: Provider, overrides: Mapping[Provider, Provider], above: tuple[Provider, ...] = ()
) -> None:
    """Check a provider, and what it depends on. above: the providers that lead to this one.

    Raises: WorkflowsException when one of them is no function, needs itself, or has a parameter that nothing fills.
    """
    provider = _callable(owner, overrides.get(_callable(owner, provider), provider))
    if provider in above:
        circle = " → ".join(map(_name, (*above[above.index(provider) :], provider)))
        raise owner.definition_error(f"providers depend on one another in a circle: {circle}")
    for parameter in Injection(provider).parameters:
        is_open = parameter.kind not in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}
        if isinstance(parameter.default, Dependency):
            check_provider(owner, parameter.default.provider, overrides, (*above, provider))
        elif parameter.default is parameter.empty and is_open:
            problem = f"nothing fills parameter {parameter.name!r} of provider {_name(provider)}: let it have a default"
            raise owner.definition_error(f"{problem}, such as Depends(...)")


def _callable(owner: Owner, provider: Any) -> Provider:
    """Refuse what cannot be called or remembered; never say what it is, which may be a secret."""
    if callable(provider) and isinstance(provider, Hashable):
        return cast("Provider", provider)
    problem = f"a provider has to be a function, which gives the value, and a {type(provider).__name__} is none"
    raise owner.definition_error(f"{problem}: write Depends(get_db), not Depends(get_db())")


@dataclass(eq=False, slots=True)
class _Kept:
    """A value, from its making to its end. task: does both, since some context managers insist on one task for the two."""

    name: str
    made: asyncio.Future[Any]
    is_over: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class Scope:
    """Where what providers give is shared. overrides: providers to be asked in place of others."""

    def __init__(self, overrides: Mapping[Provider, Provider]) -> None:
        self.is_closed = False
        self._overrides = overrides
        self._kept: dict[Provider, _Kept] = {}
        self._in_order: list[_Kept] = []

    async def value(self, provider: Provider) -> Any:
        """Return what a provider gives, made at the first call. A provider that failed is asked again at the next one.

        Raises: WorkflowsException when it fails, or one that it depends on does; the message names it.
        """
        provider = self._overrides.get(provider, provider)
        kept = self._kept.get(provider)
        if kept is None:
            kept = self._kept[provider] = _Kept(_name(provider), asyncio.get_running_loop().create_future())
            kept.task = asyncio.create_task(self._keep(provider, kept))
        elif provider in _being_made.get() and not kept.made.done():
            raise _failed(kept.name, RuntimeError("it calls an activity that depends on it"))
        return await asyncio.shield(kept.made)

    async def _keep(self, provider: Provider, kept: _Kept) -> None:
        _being_made.set((*_being_made.get(), provider))
        try:
            args, kwargs = await Injection(provider).arguments(self, (), {})
            async with _given(provider(*args, **kwargs)) as value:
                self._in_order.append(kept)
                kept.made.set_result(value)
                await kept.is_over.wait()
        except Exception as error:
            if kept in self._in_order:
                _logger.exception("what provider %s gave could not be torn down", kept.name)
                return
            del self._kept[provider]
            kept.made.set_exception(error if isinstance(error, DependencyFailed) else _failed(kept.name, error))
            kept.made.exception()  # whoever asked may have been cancelled since
        finally:
            if not kept.made.done():  # cancelled
                del self._kept[provider]
                kept.made.cancel()

    async def close(self) -> None:
        """Tear down all values, the last one made first. What fails is logged, and keeps no other from its end."""
        self.is_closed = True
        unmade = [kept.task for kept in self._kept.values() if kept.task and not kept.made.done()]
        try:
            for task in unmade:
                task.cancel()
            if unmade:
                await asyncio.wait(unmade)
            for kept in reversed(self._in_order):
                kept.is_over.set()
                if kept.task:
                    await asyncio.wait([kept.task])
        finally:  # cancelled itself: nobody waits any more
            for kept in self._in_order:
                kept.is_over.set()


class DependencyFailed(WorkflowsException):
    """A provider failed. `__cause__` is what it raised."""


def _failed(name: str, error: Exception) -> DependencyFailed:
    failure = DependencyFailed(f"provider {name} failed: {type(error).__name__}: {text_of(error)}")
    failure.__cause__ = error
    return failure


@asynccontextmanager
async def _given(returned: Any) -> AsyncIterator[Any]:
    """Give what the provider gives that returned this."""
    match returned:
        case AsyncGenerator():
            async with asynccontextmanager(lambda: returned)() as value:
                yield value
        case Generator():
            with contextmanager(lambda: returned)() as value:
                yield value
        case AbstractAsyncContextManager():
            async with returned as value:
                yield value
        case AbstractContextManager():
            with returned as value:
                yield value
        case Awaitable():
            yield await returned
        case _:
            yield returned


def _name(provider: Provider) -> str:
    name = getattr(provider, "__qualname__", None)
    return f"{provider.__module__}.{name}" if name else repr(provider)


_scope: ContextVar[Scope | None] = ContextVar("levante_dependencies", default=None)
_being_made: ContextVar[tuple[Provider, ...]] = ContextVar("levante_dependencies_being_made", default=())


@asynccontextmanager
async def dependency_scope(providers: Iterable[Provider] = ()) -> AsyncIterator[Scope]:
    """Give the scope that the caller is in, or a new one that ends with the block.

    providers: to be asked now, in order. Raises: WorkflowsException when one fails; what the others gave is torn down.
    """
    around = _scope.get()
    if around is not None and not around.is_closed:
        await _ask(around, providers)
        yield around
        return
    async with _new_scope({}) as scope:
        await _ask(scope, providers)
        yield scope


async def _ask(scope: Scope, providers: Iterable[Provider]) -> None:
    for provider in providers:
        await scope.value(provider)


@asynccontextmanager
async def _new_scope(overrides: Mapping[Provider, Provider]) -> AsyncIterator[Scope]:
    scope = Scope(overrides)
    token = _scope.set(scope)
    try:
        yield scope
    finally:
        _scope.reset(token)
        await scope.close()


class DependencyInjector:
    """Other providers for tests.

        async with DependencyInjector({get_db: FakeDatabase}).with_dependencies():
            assert await charge("order-1") == "paid"

    overrides: maps a provider to its replacement, which is also used for providers that depend on it.
    """

    def __init__(self, overrides: Mapping[Provider, Provider] | None = None) -> None:
        """Raises: WorkflowsException when one is no function, needs itself, or has a parameter that nothing fills."""
        self._overrides = dict(overrides or {})
        for provider in self._overrides:
            check_provider(Owner("DependencyInjector", ErrorCode.ACTIVITY_DEFINITION_ERROR), provider, self._overrides)

    @asynccontextmanager
    async def with_dependencies(self) -> AsyncIterator[None]:
        """Share dependencies among all activities called and all workers started inside the block.

        Providers are called when first needed, and torn down at the end of the block.
        """
        async with _new_scope(self._overrides):
            yield
