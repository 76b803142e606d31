"""What `workflow.define` and its companions accept, and what they make of it."""

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from levante import (
    ErrorCode,
    WorkflowsException,
    get_workflow_definition,
    workflow,
)
from levante_core.protocol import WorkflowSpec
from tests.unit.levante.definition.orders import OrderWorkflow


def test_definition_when_described_then_the_spec_carries_everything() -> None:
    """Registration shows people and the API what a workflow takes and gives."""
    spec = get_workflow_definition(OrderWorkflow).spec("deployment-a")
    assert spec.model_dump(include={"name", "task_queue", "display_name", "description", "execution_timeout"}) == {
        "name": "order",
        "task_queue": "deployment-a",
        "display_name": "Order",
        "description": "Sells something",
        "execution_timeout": timedelta(minutes=5),
    }
    assert spec.enforce_determinism is True
    assert set(spec.input_schema["properties"]) == {"sku"}
    assert spec.output_schema == {
        "type": "object",
        "properties": {"result": {"type": "integer"}},
        "required": ["result"],
    }
    assert [(signal.name, signal.description) for signal in spec.signals] == [("again", None), ("rename", "Renames it")]
    assert [signal.output_schema for signal in spec.signals] == [None, None]
    assert [(query.name, query.output_schema) for query in spec.queries] == [("sku_now", {"type": "string"})]
    assert [update.name for update in spec.updates] == ["change", "change_nested"]
    assert set(spec.updates[1].input_schema["properties"]) == {"sku"}


def test_spec_when_sent_then_durations_are_seconds_and_come_back() -> None:
    """Source: REST contract §7: seconds or an ISO 8601 duration."""
    spec = get_workflow_definition(OrderWorkflow).spec("a")
    sent = json.loads(spec.model_dump_json())
    assert sent["execution_timeout"] == 300
    assert WorkflowSpec.model_validate_json(json.dumps(sent)) == spec
    assert WorkflowSpec.model_validate_json(json.dumps({**sent, "execution_timeout": "PT5M"})) == spec


def test_definition_when_run_then_the_entrypoint_of_a_new_instance_gets_the_input() -> None:
    """Each run has an instance of its own."""
    definition = get_workflow_definition(OrderWorkflow)
    assert asyncio.run(definition.run(OrderWorkflow(), {"sku": "abc"})) == 3
    assert definition.dump_result(3) == {"result": 3}


def test_handlers_when_called_then_they_change_the_instance_that_they_are_given() -> None:
    """Handlers of one run share its instance; async ones give a coroutine."""
    definition = get_workflow_definition(OrderWorkflow)
    instance = definition.cls()
    definition.signals["rename"].call(instance, {"sku": "a"})
    query = definition.queries["sku_now"]
    assert query.dump_result(query.call(instance, None)) == "a"
    assert definition.updates["change"].is_async
    assert asyncio.run(definition.updates["change"].call(instance, {"sku": "b"})) is True
    assert instance.sku == "b"


def test_definition_when_a_class_inherits_from_a_workflow_then_it_has_to_be_defined_itself() -> None:
    """Two workflows never share a definition by accident; inherited handlers count."""

    class Special(OrderWorkflow): ...

    with pytest.raises(WorkflowsException, match="decorate the class"):
        get_workflow_definition(Special)
    definition = get_workflow_definition(workflow.define(name="special")(Special))
    assert (definition.name, list(definition.queries)) == ("special", ["sku_now"])
    assert get_workflow_definition(OrderWorkflow).name == "order"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param({"name": "has space"}, "is not allowed", id="names stand in addresses"),
        pytest.param({"name": ""}, "is not allowed", id="a name is needed"),
        pytest.param({"name": "a" * 129}, "is not allowed", id="too long"),
        pytest.param({"name": "executions"}, "reserved", id="a route of the API"),
        pytest.param({"execution_timeout": timedelta(0)}, "positive timedelta", id="would time out at once"),
        pytest.param({"execution_timeout": 60}, "positive timedelta", id="of what unit?"),
        pytest.param({"on_behalf_of": True}, "vendor's cloud", id="has no meaning here"),
        pytest.param({"search_keys": [f"k{i}" for i in range(21)]}, "20 at most", id="too many"),
        pytest.param({"search_keys": ["a..b"]}, "different paths", id="no path"),
        pytest.param({"search_keys": ["a", "a"]}, "different paths", id="twice the same"),
        pytest.param({"search_keys": "a"}, "different paths", id="a text is not a list"),
    ],
)
def test_define_when_an_option_is_wrong_then_the_import_fails(options: dict[str, Any], said: str) -> None:
    """What could never be registered fails where it is written."""

    class Some:
        @workflow.entrypoint
        async def run(self) -> None: ...

    with pytest.raises(WorkflowsException, match=said) as caught:
        workflow.define(**{"name": "some", **options})(Some)
    assert caught.value.code is ErrorCode.WORKFLOW_DEFINITION_ERROR


def plain_entrypoint() -> type:
    class Some:
        @workflow.entrypoint  # type: ignore[type-var]
        def run(self) -> None: ...

    return Some


def no_entrypoint() -> type:
    class Some: ...

    return Some


def two_entrypoints() -> type:
    class Some:
        @workflow.entrypoint
        async def first(self) -> None: ...
        @workflow.entrypoint
        async def second(self) -> None: ...

    return Some


def open_entrypoint() -> type:
    class Some:
        @workflow.entrypoint
        async def run(self, **rest: str) -> None: ...

    return Some


def needs_arguments() -> type:
    class Some:
        def __init__(self, size: int) -> None: ...
        @workflow.entrypoint
        async def run(self) -> None: ...

    return Some


def not_a_class() -> Any:
    async def run() -> None: ...

    return run


def signal_with_result() -> type:
    class Some:
        @workflow.signal()
        def tell(self) -> int:
            return 1

    return Some


def async_query() -> type:
    class Some:
        @workflow.query()
        async def ask(self) -> int:
            return 1

    return Some


def query_without_result() -> type:
    class Some:
        @workflow.query()
        def ask(self) -> None: ...

    return Some


def query_without_annotation() -> type:
    class Some:
        @workflow.query()
        def ask(self):  # type: ignore[no-untyped-def]  # noqa: ANN202
            return 1

    return Some


def reserved_query() -> type:
    class Some:
        @workflow.query(name="__get_pending_inputs")
        def ask(self) -> int:
            return 1

    return Some


def update_without_result() -> type:
    class Some:
        @workflow.update()
        def change(self) -> None: ...

    return Some


def reserved_update() -> type:
    class Some:
        @workflow.update(name="__submit_input")
        def change(self) -> int:
            return 1

    return Some


def unnamed_signal() -> type:
    class Some:
        @workflow.signal(name="")
        def tell(self) -> None: ...

    return Some


def generator_update() -> type:
    class Some:
        @workflow.update()
        def change(self):  # type: ignore[no-untyped-def]  # noqa: ANN202
            yield 1

    return Some


def same_name_twice() -> type:
    class Some:
        @workflow.signal(name="tell")
        def first(self) -> None: ...
        @workflow.signal(name="tell")
        def second(self) -> None: ...

    return Some


def decorated_static_method() -> type:
    class Some:
        @workflow.signal()
        @staticmethod
        def tell() -> None: ...

    return Some


@pytest.mark.parametrize(
    ("make", "said", "code"),
    [
        (plain_entrypoint, "has to be written as async def", ErrorCode.WORKFLOW_DEFINITION_ERROR),
        (no_entrypoint, "found: none", ErrorCode.WORKFLOW_DEFINITION_ERROR),
        (two_entrypoints, "found: first, second", ErrorCode.WORKFLOW_DEFINITION_ERROR),
        (open_entrypoint, "kwargs is not possible", ErrorCode.WORKFLOW_DEFINITION_ERROR),
        (needs_arguments, "without arguments", ErrorCode.WORKFLOW_DEFINITION_ERROR),
        (not_a_class, "only a class", ErrorCode.WORKFLOW_DEFINITION_ERROR),
        (signal_with_result, "has to be None", ErrorCode.WORKFLOW_SIGNAL_DEFINITION_ERROR),
        (unnamed_signal, "the name is empty", ErrorCode.WORKFLOW_SIGNAL_DEFINITION_ERROR),
        (same_name_twice, "defined twice: first and second", ErrorCode.WORKFLOW_SIGNAL_DEFINITION_ERROR),
        (decorated_static_method, "only methods", ErrorCode.WORKFLOW_SIGNAL_DEFINITION_ERROR),
        (async_query, "plain def", ErrorCode.WORKFLOW_QUERY_ERROR),
        (query_without_result, "something other than None", ErrorCode.WORKFLOW_QUERY_ERROR),
        (query_without_annotation, "something other than None", ErrorCode.WORKFLOW_QUERY_ERROR),
        (reserved_query, "reserved", ErrorCode.WORKFLOW_QUERY_ERROR),
        (update_without_result, "something other than None", ErrorCode.WORKFLOW_UPDATE_DEFINITION_ERROR),
        (reserved_update, "reserved", ErrorCode.WORKFLOW_UPDATE_DEFINITION_ERROR),
        (generator_update, "generator", ErrorCode.WORKFLOW_UPDATE_DEFINITION_ERROR),
    ],
)
def test_define_when_the_class_cannot_work_then_the_import_fails(
    make: Callable[[], type], said: str, code: ErrorCode
) -> None:
    """A workflow is checked as a whole before any worker serves it."""
    with pytest.raises(WorkflowsException, match=said) as caught:
        workflow.define(name="some")(make())
    assert caught.value.code is code
