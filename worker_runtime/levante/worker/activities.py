"""Running activity attempts: slots, timeouts, and how long each activity usually takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from uuid import uuid4

from levante import sessions
from levante.attempts import CompletesLater
from levante.context import ActivityContext, ActivityInfo, current_activity
from levante.definitions import ActivityDefinition, discover_activities
from levante.dependencies import Scope, dependency_scope
from levante.encoding.errors import PayloadNotEncodable
from levante.errors import to_failure
from levante.parallel import groups
from levante.worker.api import Api, KeyRefused
from levante.worker.attempt import Attempt
from levante.worker.attempt_end import AttemptEnd, Deferred, Failed, Succeeded
from levante.worker.batching import Batcher
from levante.worker.heartbeats import Heart
from levante.worker.payloads import Payloads
from levante.worker.publishing import Publisher
from levante.worker.slots import Slots
from levante_core.protocol import (
    ActivityOptions,
    ActivityWork,
    Failure,
    FailureKind,
    Json,
)
from levante_core.protocol.activities import DeferRequest, PermitRequest

MOMENT_SECONDS = 0.2
"""How long something may stay unrecorded while it runs in place."""
SHORT_SECONDS = 1.0
"""Activities that usually take longer go through the activity queue."""
WEIGHT_OF_LAST = 0.2


class ActivityRunner:
    """Runs attempts, at most `slots` at a time, and remembers their durations.

    asks_providers_first: before it runs anything, so that a worker whose surroundings are amiss takes no work; else when an
    activity first needs what they give. session: of this worker; open_session: lets tasks of it come, and names it.
    """

    def __init__(
        self,
        definitions: Mapping[str, ActivityDefinition],
        slots: int,
        api: Api,
        now: Callable[[], datetime],
        payloads: Payloads,
        *,
        asks_providers_first: bool = True,
    ) -> None:
        self._definitions = {**discover_activities([groups, sessions]), **definitions}
        self.session = ""
        self.open_session: Callable[[], str] = lambda: sessions.NOWHERE
        self._api = api
        self._publications = Batcher(api.publish_task_events)
        self._now = now
        self._payloads = payloads
        self._slots = Slots(slots, api.rate_permit)
        self._asks_providers_first = asks_providers_first
        self._usual_seconds: dict[str, float] = {}

    def with_dependencies(self) -> AbstractAsyncContextManager[Scope]:
        """Keep what the providers of the activities give until the block ends, and then tear it down.

        Raises: WorkflowsException when one fails that is asked first.
        """
        first = self._definitions.values() if self._asks_providers_first else ()
        return dependency_scope(provider for one in first for provider in one.injection.providers.values())

    @property
    def free_slots(self) -> int:
        """How many more attempts could start at once; none while too many wait for their place under a rate limit."""
        return self._slots.free

    def runs_in_place(self, name: str, options: ActivityOptions, claimed: int) -> bool:
        """Tell whether an attempt of this activity would most likely be done soon, waiting for a slot included.

        claimed: attempts that the caller is going to run before this one.
        """
        if name not in self._definitions or options.is_local:
            return options.is_local
        if options.rate_limit or options.session not in {None, self.session}:
            return False
        usual = self._usual_seconds.get(name)
        queued = max(0, self._slots.load + claimed + 1 - self._slots.count)
        if usual is None:
            return queued == 0
        return usual < SHORT_SECONDS and queued * usual / self._slots.count < MOMENT_SECONDS

    async def run(self, attempt: Attempt) -> AttemptEnd:
        """Run an attempt once a slot is free, at a time that its rate limit allows.

        Raises CancelledError only if the caller is cancelled. Raises: KeyRefused.
        """
        clock = asyncio.get_running_loop().time
        try:
            async with self._slot(attempt):
                began = clock()
                end = await self._run_reporting(attempt)
                self.learn(attempt.work.name, clock() - began)
                return end
        except KeyRefused:
            raise
        except Exception as error:  # noqa: BLE001 - such as a refusal of the API: the attempt has failed
            return Failed(to_failure(error))

    def _slot(self, attempt: Attempt) -> AbstractAsyncContextManager[None]:
        work = attempt.work
        limit = work.options.rate_limit
        if limit is None or work.options.is_local:
            return self._slots.one()
        name = attempt.deployment_name
        return self._slots.one_in_time(PermitRequest(deployment_name=name, activity_name=work.name, rate_limit=limit))

    async def _run_reporting(self, attempt: Attempt) -> AttemptEnd:
        publisher, heart = (
            Publisher(self._publications, self._now, attempt, self._payloads),
            Heart(self._api, attempt, self._payloads),
        )
        try:
            end = await self._run(attempt, publisher, heart)
            if isinstance(end, Failed):
                await heart.flush()
            await publisher.drain()
            if isinstance(end, Deferred):
                silence = attempt.work.options.heartbeat_seconds
                request = DeferRequest(token=attempt.token, timeout_seconds=end.seconds, heartbeat_seconds=silence)
                await self._api.defer_activity(request)
            return end
        finally:
            heart.stop()

    async def _run(self, attempt: Attempt, publisher: Publisher, heart: Heart) -> AttemptEnd:
        work = attempt.work
        definition = self._definitions.get(work.name)
        if definition is None:
            return Failed(_unknown(work.name, self._definitions))
        context = ActivityContext(
            _info(attempt),
            attempt.details,
            heart.beat,
            publisher.publish,
            new_task_id=lambda: uuid4().hex,
            open_session=self.open_session,
            activities=self._definitions,
        )
        token = current_activity.set(context)
        deadline = asyncio.timeout(work.options.start_to_close_seconds)
        try:
            async with deadline, heart.silence:
                value = await self._payloads.restored(work.input, attempt.execution_id)
                result = definition.dump_result(await definition.run(value))
                return await self._success(attempt, result)
        except CompletesLater as later:
            return _deferral(work, later, deadline)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task and task.cancelling():
                raise
            return Failed(to_failure(error))
        except TimeoutError as error:
            return Failed(_overdue(work, deadline, heart) or to_failure(error))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever user code raises is the outcome of the attempt
            return Failed(to_failure(error))
        finally:
            current_activity.reset(token)

    async def _success(self, attempt: Attempt, result: Json) -> AttemptEnd:
        what, execution_id = f"the result of {attempt.work.name}", attempt.execution_id
        size, problem = self._payloads.check(what, result)
        if problem:
            return _refused(problem)
        try:
            plain = await self._payloads.offloaded(result, execution_id)
            sent = await self._payloads.encoded(plain, execution_id, what)
        except PayloadNotEncodable as error:
            return _refused(str(error))
        return Succeeded(plain, sent, size)

    def learn(self, name: str, seconds: float) -> None:
        """Take the duration of an attempt into account."""
        usual = self._usual_seconds.get(name, seconds)
        self._usual_seconds[name] = usual + WEIGHT_OF_LAST * (seconds - usual)


def _refused(problem: str) -> AttemptEnd:
    return Failed(Failure(type="PayloadRefused", message=problem, non_retryable=True))


def _deferral(work: ActivityWork, later: CompletesLater, deadline: asyncio.Timeout) -> AttemptEnd:
    if work.options.is_local:
        message = f"{work.name} runs locally, where activity.complete_later() does not work: call it outside of the block"
        return Failed(Failure(type="CannotCompleteLater", message=message, non_retryable=True))
    if later.timeout is not None:
        return Deferred(later.timeout.total_seconds())
    at = deadline.when()
    left = work.options.start_to_close_seconds if at is None else at - asyncio.get_running_loop().time()
    return Deferred(max(left, 0.001))


def _info(attempt: Attempt) -> ActivityInfo:
    options = attempt.work.options
    seconds = options.heartbeat_seconds
    return ActivityInfo(
        execution_id=attempt.execution_id,
        run_id=attempt.run_id,
        activity_id=f"{attempt.run_id}:{attempt.seq}",
        activity_name=attempt.work.name,
        attempt=attempt.number,
        start_to_close_timeout=timedelta(seconds=options.start_to_close_seconds),
        heartbeat_timeout=timedelta(seconds=seconds) if seconds else None,
        task_token=attempt.token,
    )


def _overdue(work: ActivityWork, deadline: asyncio.Timeout, heart: Heart) -> Failure | None:
    """Say which of its limits ended an attempt, if one did."""
    options = work.options
    if deadline.expired():
        message = f"{work.name} took longer than {options.start_to_close_seconds:g} s"
        return Failure(kind=FailureKind.TIMEOUT, type="StartToCloseTimeout", message=message)
    if not heart.is_wanted:
        return Failure(kind=FailureKind.CANCELED, type="ActivityCanceled", message=f"nobody waits for {work.name} any more")
    if heart.silence.expired():
        message = f"{work.name} sent no heartbeat for {options.heartbeat_seconds:g} s"
        return Failure(kind=FailureKind.TIMEOUT, type="HeartbeatTimeout", message=message)
    return None


def _unknown(name: str, known: Mapping[str, ActivityDefinition]) -> Failure:
    return Failure(
        type="ActivityNotFound",
        message=f"this worker has no activity {name!r}, only: {', '.join(sorted(known)) or 'none'}. Deploy the code with it",
    )
