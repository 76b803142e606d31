"""Activity tasks from the queue: which are believed, how they end, and what is said of them."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest

import levante as workflows
from levante.attempts import complete_later, heartbeat_details, info
from levante.errors import WorkflowsException
from levante.testing import run_in_virtual_time
from levante.worker.tasks.activity_tasks import ActivityTasks, is_fresh
from levante.worker.tasks.intake import Intake
from levante.worker.tasks.misdirected import Misdirected
from levante.worker.transport.api import ApiError, ApiUnreachable, KeyRefused
from levante_core.domain.worker_pool import WorkerPool
from levante_core.protocol import OLD_AFTER_SECONDS, ActivityOptions, ActivityTask, ActivityWork
from levante_core.protocol.activities import ActivityReport
from levante_core.protocol.workers import HandBack, TaskQueue
from tests.support.runs_api import activity_task, delivered, workflow_task
from tests.support.worker_context import Surroundings

REPORTS, CHECKS = "/workers/activity-reports", "/workers/activity-checks"
RAN: list[str] = []


@workflows.activity(name="tasks-work", start_to_close_timeout=timedelta(hours=1))
async def work(label: str, seconds: float = 0.0) -> str:
    """Say which attempt it is, and what the one before said."""
    RAN.append(label)
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        await asyncio.sleep(0.5)
        RAN.append("cleaned up")
        raise
    return f"{label} {info().attempt} {list(heartbeat_details())}"


@workflows.activity(name="tasks-fail")
async def fail() -> None:
    """Fail."""
    raise ValueError("not today")


@workflows.activity(name="tasks-later", start_to_close_timeout=timedelta(hours=1))
async def later() -> None:
    """Go on elsewhere."""
    complete_later()


class Serving(Surroundings):
    """Activity tasks that come from a queue."""

    def __init__(self, slots: int = 10) -> None:
        super().__init__([], [work, fail, later], max_concurrent_activities=slots)
        self.changed = asyncio.Event()
        self.activities = ActivityTasks(self.context, self.changed, Misdirected("d"))
        self.intake = Intake(self.tasks)

    def task(self, name: str, attempt: int = 1, **more: Any) -> ActivityTask:
        """Return a task that is fresh. more: fields of it, and the input of the activity."""
        value = more.pop("value", {})
        return activity_task(
            self.now, ActivityWork(name=name, input=value, options=ActivityOptions()), attempt=attempt, **more
        )

    async def serve(self, task: Any, receive_count: int = 1) -> None:
        """Deal with one task, and return when it is dealt with. Raises: what nobody has taken."""
        self.activities.receive(self.intake, [delivered(task, receive_count=receive_count)])
        await asyncio.gather(*self.activities.tasks)

    @property
    def report(self) -> ActivityReport:
        """The only report that came."""
        (report,) = self.api.reports
        return report

    @property
    def ended(self) -> list[str]:
        """Receipts of tasks that were ended without a report."""
        return [receipt for queue, receipt in self.tasks.ended if queue is TaskQueue.ACTIVITY]


def run(scenario: Callable[[Serving], Coroutine[Any, Any, None]], slots: int = 10) -> None:
    async def within() -> None:
        RAN.clear()
        await scenario(Serving(slots))

    run_in_virtual_time(within())


# --- what is believed -------------------------------------------------------------------------------------------------


def test_task_when_it_is_fresh_and_came_once_then_it_runs_without_asking() -> None:
    """Its outcome is reported with its token, and the report ends its lease."""

    async def scenario(serving: Serving) -> None:
        await serving.serve(serving.task("tasks-work", 2, value={"label": "a"}, details=(7, "b")))
        assert serving.report == ActivityReport(token="attempt", result="a 2 [7, 'b']", receipt="receipt")
        assert serving.api.said[CHECKS] == []
        assert serving.ended == []
        assert serving.changed.is_set()

    run(scenario)


@pytest.mark.parametrize("why", ["delivered again", "old", "to be verified", "without its work"])
def test_task_when_it_may_be_out_of_date_then_the_api_is_asked_and_its_answer_is_what_runs(why: str) -> None:
    """SQS drops repeats for five minutes only; a worker may have been lost over it."""

    async def scenario(serving: Serving) -> None:
        task = serving.task("tasks-work", value={"label": "stale"})
        changes: dict[str, dict[str, Any]] = {
            "old": {"fresh_at": serving.now - timedelta(seconds=OLD_AFTER_SECONDS)},
            "to be verified": {"verify": True},
            "without its work": {"work": None},
        }
        serving.api.wanted = serving.task("tasks-work", 3, value={"label": "wanted"})
        asked = task.model_copy(update=changes.get(why, {}))
        await serving.serve(asked, receive_count=4 if why == "delivered again" else 1)
        (check,) = serving.api.said[CHECKS]
        assert check.task == asked
        assert check.receive_count == (4 if why == "delivered again" else 1)
        assert RAN == ["wanted"]
        assert serving.report.result == "wanted 3 []"

    run(scenario)


def test_task_when_it_is_nearly_old_then_it_is_believed_still() -> None:
    """A minute less than the queue drops repeats for."""

    async def scenario(serving: Serving) -> None:
        task = serving.task("tasks-work")
        assert is_fresh(task, serving.now + timedelta(seconds=OLD_AFTER_SECONDS - 1))
        assert not is_fresh(task, serving.now + timedelta(seconds=OLD_AFTER_SECONDS))

    run(scenario)


@pytest.mark.parametrize("how", ["not wanted", "unknown", "no activity task"])
def test_task_when_nobody_wants_it_then_it_is_dropped_and_nothing_runs(how: str) -> None:
    """Its message is dealt with by that."""

    async def scenario(serving: Serving) -> None:
        if how == "unknown":
            serving.api.trouble[CHECKS] = [ApiError(404, "no such run")]
        task = workflow_task(serving.now) if how == "no activity task" else serving.task("tasks-work", verify=True)
        await serving.serve(task)
        assert (RAN, serving.api.reports, serving.ended) == ([], [], ["receipt"])

    run(scenario)


def test_task_when_the_api_cannot_say_whether_it_is_wanted_then_it_is_left_on_its_lease() -> None:
    """It comes again."""

    async def scenario(serving: Serving) -> None:
        serving.api.trouble[CHECKS] = [ApiError(409, "not now")]
        with pytest.raises(ApiError, match="not now"):
            await serving.serve(serving.task("tasks-work", verify=True))
        assert (RAN, serving.api.reports, serving.ended) == ([], [], [])
        assert serving.changed.is_set()

    run(scenario)


# --- how attempts end -------------------------------------------------------------------------------------------------


def test_attempt_when_it_fails_then_that_is_reported() -> None:
    """The API decides what follows."""

    async def scenario(serving: Serving) -> None:
        await serving.serve(serving.task("tasks-fail"))
        assert serving.report.failure
        assert (serving.report.failure.type, serving.report.receipt) == ("ValueError", "receipt")

    run(scenario)


def test_attempt_when_it_goes_on_elsewhere_then_its_message_is_dealt_with_and_nothing_reported() -> None:
    """Its deadline is the API's to keep from then on."""
    deferred: list[Any] = []

    async def scenario(serving: Serving) -> None:
        async def noted(request: Any) -> None:
            deferred.append(request.token)

        serving.api.defer_activity = noted  # type: ignore[method-assign,assignment] # listens
        await serving.serve(serving.task("tasks-later"))
        assert (deferred, serving.api.reports, serving.ended) == (["attempt"], [], ["receipt"])

    run(scenario)


def test_input_when_it_cannot_be_decoded_then_the_attempt_fails_as_if_the_activity_had() -> None:
    """Whether fixed keys let a later attempt succeed is for its retry policy."""

    async def scenario(serving: Serving) -> None:
        async def undecodable(value: Any, execution_id: str) -> Any:
            raise WorkflowsException(f"no key for {execution_id}, {value}")

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(serving.context.payloads, "decoded", undecodable)
            await serving.serve(serving.task("tasks-work", value={"label": "a"}))
        assert RAN == []
        assert serving.report.failure
        assert "no key for e" in serving.report.failure.message

    run(scenario)


@pytest.mark.parametrize(
    ("trouble", "is_final"), [(422, True), (413, True), (500, False), (503, False), (429, False)], ids=str
)
def test_outcome_when_the_api_cannot_record_it_then_the_attempt_has_failed_and_says_why(
    trouble: int, *, is_final: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """For good if it was refused, as another attempt would meet the same; after an outage another one may do better."""

    async def scenario(serving: Serving) -> None:
        serving.api.trouble[REPORTS] = [ApiError(trouble, "no")]
        await serving.serve(serving.task("tasks-work", value={"label": "a"}))
        report = serving.report
        assert report.failure
        assert (report.result, report.failure.type, report.receipt) == (None, "OutcomeNotRecorded", "receipt")
        assert report.failure.non_retryable is is_final
        assert str(trouble) in report.failure.message

    with caplog.at_level(logging.CRITICAL):
        run(scenario)


@pytest.mark.parametrize("error", [ApiUnreachable(REPORTS, "away"), KeyRefused(401, "no")], ids=["away", "refused"])
def test_outcome_when_nobody_takes_it_then_no_failure_is_made_of_it(error: ApiError) -> None:
    """The attempt counts as lost when its lease ends."""

    async def scenario(serving: Serving) -> None:
        serving.api.trouble[REPORTS] = [error]
        with pytest.raises(type(error)):
            await serving.serve(serving.task("tasks-work", value={"label": "a"}))
        assert (serving.api.reports, serving.ended) == ([], [])

    run(scenario)


# --- stops ------------------------------------------------------------------------------------------------------------


def test_attempt_when_it_is_stopped_in_the_middle_then_it_is_handed_back_once_it_has_cleaned_up() -> None:
    """It is not reported, so it stays the same attempt; handed back once, to the queue that it came from."""

    async def scenario(serving: Serving) -> None:
        serving.activities.receive(
            serving.intake, [delivered(serving.task("tasks-work", value={"label": "a", "seconds": 99}))]
        )
        await asyncio.sleep(1)
        serving.runner.stop()
        await asyncio.gather(*serving.activities.tasks)
        assert RAN == ["a", "cleaned up"]
        assert (serving.api.reports, serving.ended, serving.tasks.handed_back) == ([], [], [])
        await serving.activities.hand_back()
        await serving.activities.hand_back()
        assert serving.tasks.handed_back == [(TaskQueue.ACTIVITY, HandBack(receipt="receipt", token="attempt"))]

    run(scenario)


def test_attempt_when_it_does_not_end_in_spite_of_the_stop_then_it_is_handed_back_as_well() -> None:
    """Each to its own queue; what has ended by itself is not."""

    async def scenario(serving: Serving) -> None:
        own, other = serving.intake, Intake(await serving.context.tasks_of(serving.task("x").deployment_name))
        for receipt, intake, seconds in (("a", own, 99), ("b", other, 99), ("c", own, 0.5)):
            task = serving.task("tasks-work", value={"label": receipt, "seconds": seconds})
            serving.activities.receive(intake, [delivered(task, receipt)])
        await asyncio.sleep(1)
        held = serving.activities.tasks
        assert len(held) == 2
        await serving.activities.hand_back()
        assert [one.receipt for _, one in serving.tasks.handed_back] == ["a"]
        assert [one.receipt for _, one in serving.pools[WorkerPool.parse("d")].handed_back] == ["b"]
        for attempt in held:
            attempt.cancel()
        await asyncio.gather(*held, return_exceptions=True)

    run(scenario)


def test_lease_when_an_attempt_is_under_way_then_it_is_extended_with_those_of_its_queue() -> None:
    """And cancelled when it is lost, without a report."""

    async def scenario(serving: Serving) -> None:
        serving.activities.receive(
            serving.intake, [delivered(serving.task("tasks-work", value={"label": "a", "seconds": 99}))]
        )
        await asyncio.sleep(1)
        await serving.intake.leases.renew()
        assert serving.tasks.extended == [(TaskQueue.ACTIVITY, ("receipt",))]
        serving.tasks.lost = {"receipt"}
        await serving.intake.leases.renew()
        await asyncio.sleep(1)
        assert serving.activities.tasks == []
        assert serving.api.reports == []

    run(scenario)
