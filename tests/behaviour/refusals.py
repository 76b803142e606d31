"""What is refused, by the contract's codes and at the earliest point; and schedules, of which some are."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import levante as workflows
from levante import workflow
from tests.behaviour.driving import EXECUTIONS, Behaviour, Driver, Ended, completed, refused
from tests.behaviour.messages import Counter
from tests.behaviour.programs import Child, echo

TOO_MUCH = 2 * 1024 * 1024
SCHEDULES = "/v1/workflows/schedules"


@workflows.activity(name="behaviour-large")
async def large() -> str:
    """Return more than fits, once."""
    assert workflows.activity.info().attempt == 1, "what is too large once is too large again"
    return "x" * TOO_MUCH


@workflow.define(name="behaviour-careless", search_keys=["a"])
class Careless:
    """§2 and §7: code asks for what cannot be, and is told where it does."""

    @workflow.entrypoint
    async def run(self, which: str) -> Any:
        try:
            found = await getattr(self, which)()
        except (workflows.WorkflowError, workflows.ActivityError) as error:
            return [type(error).__name__, await echo(str(error)[:40])]
        except workflows.WorkflowsException as error:
            return [str(error.code), await echo(error.message[:40])]
        return found

    async def input(self) -> str:
        return await echo("x" * TOO_MUCH)

    async def outcome(self) -> str:
        return await large()

    async def result(self) -> str:
        return "x" * TOO_MUCH

    async def child_input(self) -> str:
        return str(await workflow.execute_workflow(Child, {"text": "x" * TOO_MUCH}))

    async def misfit(self) -> str:
        return str(await workflow.execute_workflow(Child, {"words": "a"}))

    async def no_workflow(self) -> str:
        return str(await workflow.execute_workflow(dict))

    async def keys(self) -> None:
        workflow.add_search_keys({f"key-{number}": "x" for number in range(21)})

    async def key(self) -> None:
        workflow.add_search_keys({"a:b": "x"})

    async def negative(self) -> str:
        return str(await workflow.execute_workflow(Child, {"text": "a"}, execution_timeout=timedelta(seconds=-1)))

    async def zero(self) -> str:
        return str(await workflow.execute_workflow(Child, {"text": "a"}, execution_timeout=timedelta()))

    async def child_id(self) -> str:
        return str(await workflow.execute_workflow(Child, {"text": "a"}, execution_id="no spaces"))

    async def signal(self) -> None:
        handle = await workflow.execute_workflow(Child, {"text": "a"}, wait=False)
        handle.signal("none")


@workflow.define(
    name="behaviour-scheduled",
    schedules=[
        workflows.Schedule(
            schedule_id="behaviour-declared",
            input={"by": "its own schedule"},
            intervals=(workflows.ScheduleInterval(every=timedelta(seconds=1)),),
            max_executions=2,
        )
    ],
)
class Scheduled:
    """§1 and §11: is started by schedules, one of which the code declares."""

    def __init__(self) -> None:
        self.is_let_go = False

    @workflow.entrypoint
    async def run(self, by: str, *, waits: bool = False) -> str:
        if waits:
            await workflow.wait_condition(lambda: self.is_let_go)
        return await echo(by)

    @workflow.signal()
    def let_go(self) -> None:
        self.is_let_go = True


async def _refuse_messages(driver: Driver) -> None:
    """Send what nobody takes, what does not fit, and to whom there is nobody."""
    calls = {"signals": "add", "updates": "add_and_wait", "queries": "count"}
    for path, name in calls.items():
        await refused(driver.call(path, {"name": "none", "input": {}}), 404, "WF_1100", name)
        misfit = await refused(driver.call(path, {"name": name, "input": {"other": 1}}), 422, "WF_1001")
        assert misfit["detail"][0]["loc"][:2] == ["body", "input"]
        await refused(driver.call(path, {"name": name, "input": [1]}), 422, "WF_1001")
        await refused(driver.call(path, {"input": {}}), 422, "WF_1001")
        await refused(driver.other("none").call(path, {"name": name, "input": {}}), 404, "WF_1100")
    await refused(driver.signal("add", text="x" * TOO_MUCH), 422, "WF_1001", "2 MB fit")
    assert "signal_received" not in await driver.kinds()
    await driver.signal("add", text="a")
    await driver.result()
    given = {"add": {"text": "b"}, "add_and_wait": {"text": "b", "count": 1}, "count": {}}
    for path, name in calls.items():
        if path == "queries":
            continue  # a worker answers these from the history
        closed = await refused(driver.call(path, {"name": name, "input": given[name]}), 409, "WF_1102")
        assert closed["status"] == "COMPLETED"
    for path in ("cancel", "terminate"):
        await refused(driver.call(path), 409, "WF_1102")
        await refused(driver.other("none").call(path), 404, "WF_1100")


async def _refuse_starts(driver: Driver) -> None:
    """Start what nobody has, what does not fit, what there is, and what is too much."""
    await refused(driver.start("behaviour-none", {}), 404, "WF_1100")
    await refused(driver.start("behaviour-counter", {"until": "many"}), 422, "WF_1001", "until")
    await refused(driver.start("behaviour-counter", {"until": 1, "more": 2}), 422, "WF_1001", "more")
    await refused(driver.start("behaviour-counter", {}), 422, "WF_1001", "until")
    await refused(driver.start("behaviour-counter", [1]), 422, "WF_1001")
    await refused(driver.start("behaviour-counter", {"until": 1}, execution_id="no spaces"), 422, "WF_1001")
    await refused(driver.start("behaviour-counter", {"until": 1}, deployment_name="nowhere"), 404, "WF_1100")
    await refused(driver.start("behaviour-child", {"text": "x" * TOO_MUCH}), 422, "WF_1001", "2 MB fit")
    same = driver.start("behaviour-counter", {"until": 1}, execution_id=driver.execution_id)
    await refused(same, 409, "WF_1101")
    await refused(driver.place.call("GET", f"{EXECUTIONS}/none"), 404, "WF_1100")
    await driver.signal("add", text="a")


async def _refuse_resets(driver: Driver) -> None:
    """Reset to what is no end of a step; the answer lists those that are."""
    await driver.until_queried("count", 1)
    answer: Any = None
    for wrong in (0, 2, 99):
        answer = await refused(driver.reset(wrong), 422, "WF_1001", "cannot go on from event")
        assert answer["valid_reset_events"][0] == 1
    assert max(answer["valid_reset_events"]) < 99
    await refused(driver.other("none").reset(1), 404, "WF_1100")
    await driver.signal("add", text="a")


async def _schedule(driver: Driver) -> None:
    """Make a schedule, run it by hand, change, pause and remove it."""
    call, one = driver.place.call, f"{SCHEDULES}/{driver.execution_id}"
    spec = {"input": {"by": "hand", "waits": True}, "intervals": [{"every": "PT1H"}], "schedule_id": driver.execution_id}
    target = {"workflow_identifier": "behaviour-scheduled", "deployment_name": "d"}
    wrong = {"schedule": {**spec, "cron_expressions": ["61 * * * *"]}, **target}
    await refused(call("POST", SCHEDULES, wrong), 422, "WF_1200")
    assert await call("POST", SCHEDULES, {"schedule": spec, **target}) == {"schedule_id": driver.execution_id}
    await refused(call("POST", SCHEDULES, {"schedule": spec, **target}), 409, "WF_1200")
    for _ in range(2):  # the second is skipped, as the first is still running
        await call("POST", f"{one}/trigger", {})
    shown = await call("GET", one)
    (first,) = shown["recent_executions"]
    assert len(shown["future_executions"]) == 10
    fired = driver.other(first["execution_id"])
    await fired.signal("let_go")
    assert await fired.result() == {"result": "hand"}
    assert {event["schedule_id"] for event in await fired.events("WORKFLOW")} == {driver.execution_id}
    await call("PATCH", one, {"schedule": {"input": {"by": "another hand"}}})
    await call("POST", f"{one}/pause", {"note": "for now"})
    paused = await call("GET", one)
    assert (paused["paused"], paused["note"], paused["intervals"]) == (True, "for now", shown["intervals"])
    await call("POST", f"{one}/resume", {})
    await call("POST", f"{one}/trigger", {"overlap": 6})
    second = driver.other((await call("GET", one))["recent_executions"][-1]["execution_id"])
    assert await second.result() == {"result": "another hand"}
    await call("DELETE", one)
    await refused(call("GET", one), 404, "WF_1201")


async def _declared(driver: Driver) -> None:
    """Wait until the schedule that the code declares has done all it is to do."""
    found: list[Any] = []

    async def is_exhausted() -> bool:
        found[:] = [await driver.place.call("GET", f"{SCHEDULES}/behaviour-declared")]
        return bool(found[0]["remaining_executions"] == 0)

    await driver.until(is_exhausted)
    started = [driver.other(one["execution_id"]) for one in found[0]["recent_executions"]]
    assert [await one.result() for one in started] == [{"result": "its own schedule"}] * 2


def careless(which: str, kind: str, said: str) -> Behaviour:
    """Say what code is told that asks for what cannot be."""
    return Behaviour(Careless, completed([kind, said]), {"which": which})


BEHAVIOURS: Mapping[str, Behaviour] = {
    "messages that cannot be": Behaviour(Counter, completed(["begun", "a"]), {"until": 2}, _refuse_messages),
    "starts that cannot be": Behaviour(Counter, completed(["begun", "a"]), {"until": 2}, _refuse_starts),
    "resets that cannot be": Behaviour(Counter, completed(["begun", "a"]), {"until": 2}, _refuse_resets),
    "an input of an activity that is too large": careless(
        "input", "WorkflowError", "the input of behaviour-echo has 2,097,16"
    ),
    "a result of an activity that is too large": careless(
        "outcome", "ActivityError", "activity 'behaviour-large' failed on att"
    ),
    "a result that is too large": Behaviour(Careless, Ended("FAILED", said="2 MB fit"), {"which": "result"}),
    "an input of a child that is too large": careless(
        "child_input", "WorkflowError", "the input of child workflow behaviour-ch"
    ),
    "an input of a child that does not fit": careless(
        "misfit", "invalid_arguments_error", "entrypoint 'run' of workflow 'behaviour-"
    ),
    "a child that is no workflow": careless(
        "no_workflow", "workflow_definition_error", "dict is no workflow: decorate the class "
    ),
    "too many search keys": careless("keys", "invalid_arguments_error", "an execution has 20 search keys at most,"),
    "a search key that cannot be": careless("key", "invalid_arguments_error", "search key 'a:b' has a ':' or ends with "),
    "a child's timeout that is negative": careless(
        "negative", "invalid_arguments_error", "execution_timeout has to be a positive t"
    ),
    "a child's timeout that is nothing": careless(
        "zero", "invalid_arguments_error", "execution_timeout has to be a positive t"
    ),
    "a child's id that cannot be": careless(
        "child_id", "invalid_arguments_error", "execution_id 'no spaces' is not allowed:"
    ),
    "a child's signal that it does not have": careless(
        "signal", "execution_error", "workflow 'behaviour-child' has no signal"
    ),
    "a schedule made by the API": Behaviour(Scheduled, completed("hand"), {"by": "hand"}, _schedule),
    "a schedule declared in code": Behaviour(Scheduled, completed("hand"), {"by": "hand"}, _declared, has_schedules=True),
}
