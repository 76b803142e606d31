"""What `workflow.define` and its companions accept, and what they make of it."""

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel

import levante
from levante import (
    ErrorCode,
    WorkflowsException,
    activity,
    get_activity_definition,
    get_execution_id,
    get_workflow_definition,
    workflow,
)
from levante.definition.definitions import discover_activities
from levante_core.protocol import WorkflowSpec
from tests.support.fake_run import FakeRun, in_workflow


class Order(BaseModel):
    sku: str


@workflow.define(
    name="order",
    workflow_display_name="Order",
    workflow_description="Sells something",
    execution_timeout=timedelta(minutes=5),
    search_keys=["sku", "customer.id"],
)
class OrderWorkflow:
    class Change(BaseModel):  # noqa: D106
        sku: str

    def __init__(self) -> None:
        self.sku = ""

    @workflow.entrypoint
    async def run(self, order: Order) -> int:
        self.sku = order.sku
        return len(order.sku)

    @workflow.signal(name="rename", description="Renames it")
    def on_rename(self, sku: str) -> None:
        self.sku = sku

    @workflow.signal()
    async def again(self) -> None: ...

    @workflow.query()
    def sku_now(self) -> str:
        return self.sku

    @workflow.update()
    async def change(self, change: "OrderWorkflow.Change") -> bool:
        self.sku = change.sku
        return True

    @workflow.update()
    def change_nested(self, change: "Change") -> bool:
        self.sku = change.sku
        return True


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


# --- in workflow code -------------------------------------------------------------------------------------------------


@pytest.fixture
def run() -> Iterator[FakeRun]:
    with in_workflow() as fake:
        yield fake


def test_primitives_when_in_a_workflow_then_they_come_from_the_run(run: FakeRun) -> None:
    """Time and randomness are those of the run, so that replay sees the same."""
    assert workflow.now() == run.now()
    assert workflow.uuid4().version == 4
    assert workflow.random() is run.random
    assert get_execution_id() == "x-1"


def test_waiting_when_in_a_workflow_then_durations_and_seconds_both_work(run: FakeRun) -> None:
    """A timeout is a timedelta or seconds."""

    async def code() -> None:
        await workflow.sleep(0.0)
        await workflow.sleep(timedelta(0), summary="nothing")
        await workflow.wait_condition(lambda: True)
        with pytest.raises(TimeoutError, match="90"):
            await workflow.wait_condition(lambda: False, timeout=timedelta(seconds=90))
        with pytest.raises(TimeoutError, match="5"):
            await workflow.wait_condition(lambda: False, timeout=5)

    asyncio.run(code())


@pytest.mark.parametrize(
    "call",
    [
        workflow.now,
        workflow.uuid4,
        workflow.random,
        lambda: asyncio.run(workflow.sleep(0)),
        lambda: asyncio.run(workflow.wait_condition(lambda: True)),
    ],
    ids=["now", "uuid4", "random", "sleep", "wait_condition"],
)
def test_primitives_when_outside_a_workflow_then_they_say_so(call: Callable[[], Any]) -> None:
    """Nothing quietly falls back to the real clock or to real randomness."""
    with pytest.raises(WorkflowsException, match="only in the code of a running workflow"):
        call()
    assert get_execution_id() is None


def test_unsafe_when_used_then_nothing_happens() -> None:
    """Code written for the vendor's sandbox runs unchanged."""
    with workflow.unsafe.imports_passed_through(), workflow.unsafe.skip_determinism_enforcement():
        pass


# --- activities that a worker finds -----------------------------------------------------------------------------------


async def one() -> None: ...
async def other() -> None: ...


def module(**content: Any) -> ModuleType:
    made = ModuleType("made")
    vars(made).update(content)
    return made


def test_discovery_when_a_function_is_imported_twice_then_it_is_one_activity() -> None:
    """All imported activities are served, however often they are imported. Source: SDK contract §9."""
    act = activity()(one)
    found = discover_activities([module(a=act, b=len, c=OrderWorkflow), None, module(a=act)])
    assert found == {"one": get_activity_definition(act)}


def test_discovery_when_two_functions_have_one_name_then_it_names_both_places() -> None:
    """Which of them runs must not depend on the order of imports."""
    with pytest.raises(WorkflowsException, match=r"two activities are named 'shared-name': .*:\d+ and .*:\d+"):
        discover_activities([module(a=activity(name="shared-name")(each)) for each in (one, other)])


def test_discovery_when_a_script_is_imported_by_name_too_then_both_copies_count_as_one() -> None:
    """A worker script that another module imports is loaded twice from the same file."""
    copies = []
    for name in ("first_copy", "second_copy"):
        copy = ModuleType(name)
        source = "from levante import activity\n@activity()\nasync def act() -> None: ...\n"
        exec(compile(source, "worker.py", "exec"), vars(copy))  # noqa: S102
        copies.append(copy)
    assert list(discover_activities(copies)) == ["act"]


# --- the package ------------------------------------------------------------------------------------------------------


def test_package_when_everything_in_all_is_asked_for_then_it_is_there() -> None:
    """`__all__` is complete: what is listed exists."""
    assert all(hasattr(levante, name) for name in levante.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = levante.nothing
