"""Decorators with parentheses and without, and with options that they do not have."""

from typing import Any

import pytest

from levante import (
    InvalidArguments,
    WorkflowsException,
    activity,
    get_activity_definition,
    get_workflow_definition,
    workflow,
)


@activity
async def bare_charge(amount: int) -> int:
    return amount


@activity
def bare_render(text: str) -> str:
    return text


@workflow.define
class Bare:
    @workflow.entrypoint()
    async def run(self, amount: int) -> int:
        return await bare_charge(amount)

    @workflow.signal
    def rename(self, name: str) -> None: ...

    @workflow.query
    def count(self) -> int:
        return 1

    @workflow.update
    async def change(self, by: int) -> int:
        return by


@workflow.define()
class Called:
    @workflow.entrypoint
    async def run(self) -> None: ...


def test_decorators_when_written_without_parentheses_then_names_are_those_of_functions_and_classes() -> None:
    """A handler that was decorated without parentheses used to vanish."""
    definition = get_workflow_definition(Bare)
    assert definition.name == "Bare"
    assert [*definition.signals, *definition.queries, *definition.updates] == ["rename", "count", "change"]
    assert definition.entrypoint.method == "run"
    assert get_workflow_definition(Called).name == "Called"
    assert get_activity_definition(bare_charge).name == "bare_charge"
    assert get_activity_definition(bare_render).is_async is False


def test_define_when_no_name_is_given_then_the_prefix_comes_before_that_of_the_class(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The prefix keeps the workflows of two teams apart, however they are named."""
    monkeypatch.setenv("WORKFLOW_NAME_PREFIX", "team-")

    @workflow.define
    class Order:
        @workflow.entrypoint
        async def run(self) -> None: ...

    assert get_workflow_definition(Order).name == "team-Order"


@pytest.mark.parametrize(
    ("decorator", "args", "options", "said"),
    [
        (activity, (), {"retrys": 3}, "@activity at .*test_decorators.py:.* Did you mean 'retry_policy_max_attempts'"),
        (workflow.define, (), {"timeout": 3}, "@workflow.define at .*Did you mean 'execution_timeout'"),
        (workflow.define, ("a", "b"), {}, "too many positional arguments: give workflow_display_name"),
        (workflow.signal, (), {"names": "a"}, "@workflow.signal at .*Did you mean 'name'"),
        (workflow.query, (), {"unfinished_policy": "warn"}, "It takes .name: Any = None"),
        (activity, (), {"wholly": "other"}, "It takes name, start_to_close_timeout"),
    ],
)
def test_decorator_when_an_argument_is_wrong_then_the_line_and_what_was_meant_are_named(
    decorator: Any, args: tuple[Any, ...], options: dict[str, Any], said: str
) -> None:
    """A TypeError of Python's names neither the option that was meant nor the line."""
    with pytest.raises(InvalidArguments, match=said):
        decorator(*args, **options)


def test_decorator_when_what_it_decorates_raises_a_type_error_then_that_is_not_taken_for_a_wrong_argument() -> None:
    """Only the call itself is explained."""
    with pytest.raises(WorkflowsException, match="only methods can be handlers"):
        workflow.signal(5)  # type: ignore[call-overload]
