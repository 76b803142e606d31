"""Entrypoints, signals, queries and updates: how methods are marked, what they must look like, how they are called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from types import FunctionType, NoneType
from typing import Any

from levante.definition.mapping import HandlerInput, handler_input
from levante.definition.outputs import HandlerOutput
from levante.definition.schemas import Owner, resolved_hints, union_members
from levante.errors import ErrorCode, WorkflowsException
from levante_core.protocol import HandlerSpec, Json

HANDLER = "__levante_handler__"
"""The attribute that marks a method."""

PENDING_INPUTS = "__get_pending_inputs"
SUBMIT_INPUT = "__submit_input"
"""The query and the update of interactive workflows. Source: SDK contract §5 (read 2026-11-23)."""


class HandlerKind(StrEnum):
    """What a marked method is for."""

    ENTRYPOINT = "entrypoint"
    SIGNAL = "signal"
    QUERY = "query"
    UPDATE = "update"


class UnfinishedPolicy(StrEnum):
    """What is said when a run ends before an async handler has returned: its code is given up in any case."""

    WARN = "warn"
    ABANDON = "abandon"


class Form(Enum):
    """Whether a method has to be `async def`."""

    ASYNC = "async def"
    PLAIN = "plain def"
    EITHER = "def or async def"


class Returns(Enum):
    """What a method has to say that it returns."""

    NOTHING = "None"
    SOMETHING = "something other than None"
    ANYTHING = "anything"


@dataclass(frozen=True, slots=True)
class Rules:
    """What methods of a kind must look like. code: how a breach is reported. wraps: see HandlerOutput."""

    code: ErrorCode
    form: Form
    returns: Returns
    takes_extra: bool = True
    wraps: bool = False
    reserved: frozenset[str] = frozenset()


RULES: Mapping[HandlerKind, Rules] = {
    HandlerKind.ENTRYPOINT: Rules(
        ErrorCode.WORKFLOW_DEFINITION_ERROR, Form.ASYNC, Returns.ANYTHING, takes_extra=False, wraps=True
    ),
    HandlerKind.SIGNAL: Rules(ErrorCode.WORKFLOW_SIGNAL_DEFINITION_ERROR, Form.EITHER, Returns.NOTHING),
    HandlerKind.QUERY: Rules(
        ErrorCode.WORKFLOW_QUERY_ERROR, Form.PLAIN, Returns.SOMETHING, reserved=frozenset({PENDING_INPUTS})
    ),
    HandlerKind.UPDATE: Rules(
        ErrorCode.WORKFLOW_UPDATE_DEFINITION_ERROR, Form.EITHER, Returns.SOMETHING, reserved=frozenset({SUBMIT_INPUT})
    ),
}


@dataclass(frozen=True, slots=True)
class HandlerMark:
    """What a decorator notes on a method."""

    kind: HandlerKind
    name: str
    description: str | None
    unfinished_policy: UnfinishedPolicy = UnfinishedPolicy.WARN


@dataclass(frozen=True, slots=True)
class HandlerDefinition:
    """One handler of a workflow class. method: the attribute of the class that holds it."""

    name: str
    description: str | None
    method: str
    is_async: bool
    input: HandlerInput
    output: HandlerOutput
    unfinished_policy: UnfinishedPolicy = UnfinishedPolicy.WARN

    def call(self, instance: object, value: Json) -> Any:
        """Call the handler with a JSON input; for an async one, return its coroutine. Raises: InvalidArguments."""
        args, kwargs = self.input.bind(value)
        return getattr(instance, self.method)(*args, **kwargs)

    def dump_result(self, value: Any) -> Json:
        """Return what the handler returned as JSON. Raises: WorkflowsException when JSON cannot carry it."""
        return self.output.dump(value)

    def spec(self) -> HandlerSpec:
        """Describe the handler for registration."""
        return HandlerSpec(
            name=self.name,
            description=self.description,
            input_schema=self.input.schema,
            output_schema=self.output.schema,
        )


def mark(
    function: Callable[..., Any],
    kind: HandlerKind,
    name: str | None,
    description: str | None,
    *,
    unfinished_policy: str = UnfinishedPolicy.WARN,
    is_ours: bool = False,
) -> None:
    """Mark a method as a handler. is_ours: it is the SDK's own, to which reserved names belong.

    Raises: WorkflowsException for what is wrong whatever class it is in.
    """
    if not isinstance(function, FunctionType):
        raise Owner(f"{kind} {name or function!r}", RULES[kind].code).definition_error("only methods can be handlers")
    if unfinished_policy not in set(UnfinishedPolicy):
        allowed = " or ".join(repr(one.value) for one in UnfinishedPolicy)
        problem = f"unfinished_policy has to be {allowed}, not {unfinished_policy!r}"
        raise Owner(f"{kind} {name or function.__name__!r}", RULES[kind].code).definition_error(problem)
    own_name = function.__name__ if name is None else name
    handler = HandlerMark(kind, own_name, description, UnfinishedPolicy(unfinished_policy))
    owner, rules = Owner(f"{kind} {handler.name!r}", RULES[kind].code), RULES[kind]
    if not handler.name or (handler.name in rules.reserved and not is_ours):
        raise owner.definition_error("this name is reserved" if handler.name else "the name is empty")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise owner.definition_error("a handler cannot be a generator")
    form = Form.ASYNC if inspect.iscoroutinefunction(function) else Form.PLAIN
    if rules.form not in {form, Form.EITHER}:
        raise owner.definition_error(f"has to be written as {rules.form.value}")
    setattr(function, HANDLER, handler)


def handlers_of(cls: type, workflow: str) -> dict[HandlerKind, dict[str, HandlerDefinition]]:
    """Collect the marked methods of a class, inherited ones included, sorted by name.

    Raises: WorkflowsException for a handler that cannot work, or two of a kind with one name.
    """
    names: dict[str, Any] = {}
    for each in reversed(cls.__mro__):
        names |= {name: value for name, value in vars(each).items() if isinstance(value, type)} | {each.__name__: each}
    found: dict[HandlerKind, dict[str, HandlerDefinition]] = {kind: {} for kind in HandlerKind}
    for attribute in dir(cls):
        method = inspect.getattr_static(cls, attribute)
        noted: HandlerMark | None = getattr(method, HANDLER, None) if isinstance(method, FunctionType) else None
        if noted is None:
            continue
        owner = Owner(f"{noted.kind} {noted.name!r} of workflow {workflow!r}", RULES[noted.kind].code)
        if noted.name in found[noted.kind]:
            raise owner.definition_error(f"is defined twice: {found[noted.kind][noted.name].method} and {attribute}")
        found[noted.kind][noted.name] = _definition(owner, noted, attribute, method, names)
    return {kind: dict(sorted(handlers.items())) for kind, handlers in found.items()}


def handler_of(method: Callable[..., Any]) -> tuple[HandlerKind, HandlerDefinition]:
    """Return what a method handles, from the method alone. Raises: WorkflowsException when it is no handler.

    String annotations may refer to globals of its module only: who has the class takes the definition from there.
    """
    noted: HandlerMark | None = getattr(method, HANDLER, None)
    if noted is None or not isinstance(method, FunctionType):
        problem = f"{method!r} is no handler: decorate the method with @workflow.signal(), query() or update()"
        raise WorkflowsException(problem, code=ErrorCode.WORKFLOW_DEFINITION_ERROR)
    owner = Owner(f"{noted.kind} {noted.name!r}", RULES[noted.kind].code)
    return noted.kind, _definition(owner, noted, method.__name__, method, {})


def _definition(
    owner: Owner, noted: HandlerMark, attribute: str, method: FunctionType, names: Mapping[str, Any]
) -> HandlerDefinition:
    rules = RULES[noted.kind]
    hint = resolved_hints(owner, method, names).get("return", NoneType if rules.returns is not Returns.ANYTHING else Any)
    returns = Returns.NOTHING if union_members(hint) == (NoneType,) else Returns.SOMETHING
    if rules.returns not in {returns, Returns.ANYTHING}:
        raise owner.definition_error(f"its return annotation has to be {rules.returns.value}")
    return HandlerDefinition(
        name=noted.name,
        description=noted.description,
        method=attribute,
        is_async=inspect.iscoroutinefunction(method),
        input=handler_input(owner, method, names, takes_extra=rules.takes_extra),
        output=HandlerOutput(owner, hint, wraps=rules.wraps),
        unfinished_policy=noted.unfinished_policy,
    )
