"""Carrying out everything that `plan` asks for."""

from collections.abc import Iterable
from typing import assert_never

from levante_core.domain.dispatch.plan import (
    CancelActivity,
    CancelChild,
    DeleteRest,
    Effect,
    LeaveChildren,
    LookAtSchedule,
    MessageEffect,
    SendLater,
    SendOutstanding,
    SendTask,
    SignalChild,
    StartChild,
    TellParent,
    outstanding,
)
from levante_core.errors import Unavailable
from levante_core.ports.item_store import ItemStore
from levante_core.ports.surroundings import Clock
from levante_core.services.activities.reports import ActivityService
from levante_core.services.children.lifecycle import ChildService
from levante_core.services.dispatch.sender import Dispatch
from levante_core.services.executions.expiry import ExpiryService
from levante_core.services.history.loading import read_open_run
from levante_core.services.schedules.schedules import ScheduleService
from levante_core.storage import keys
from levante_core.storage.runs import is_open_run


class EffectService:
    """Messages, activities that are cancelled, schedules, what is between executions, and what is left of them."""

    def __init__(
        self,
        store: ItemStore,
        clock: Clock,
        *,
        dispatch: Dispatch,
        activities: ActivityService,
        children: ChildService,
        schedules: ScheduleService,
        expiry: ExpiryService,
    ) -> None:
        self._store = store
        self._clock = clock
        self._dispatch = dispatch
        self._activities = activities
        self._children = children
        self._schedules = schedules
        self._expiry = expiry

    def carry_out(self, effects: Iterable[Effect], *, salt: str = "") -> None:
        """Carry out effects: messages first, deletions last. A repeat is harmless.

        salt: makes the queues accept a repeat all the same.
        Raises: the first error, when everything else was carried out; Unavailable at once, after which some may have been.
        """
        messages: list[MessageEffect] = []
        others: list[Effect] = []
        for effect in effects:
            if isinstance(effect, SendTask | SendLater):
                messages.append(effect)
            else:
                others.append(effect)
        self._dispatch.carry_out(messages, salt=salt)
        problem: Exception | None = None
        for effect in sorted(others, key=lambda effect: isinstance(effect, DeleteRest)):
            try:
                self._carry_out(effect)
            except Unavailable:
                raise
            except Exception as error:  # noqa: BLE001 - raised below
                problem = problem or error
        if problem:
            raise problem

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case SendTask() | SendLater():
                self._dispatch.carry_out([effect])
            case CancelActivity():
                self._activities.cancel(effect)
            case LookAtSchedule():
                self._schedules.look(effect.workspace, effect.schedule_id)
            case SendOutstanding():
                self._send_outstanding(effect)
            case StartChild() | CancelChild() | SignalChild() | TellParent() | LeaveChildren():
                self._children.carry_out(effect)
            case DeleteRest():
                self._expiry.delete_rest(effect.expired)
            case _:
                assert_never(effect)

    def _send_outstanding(self, effect: SendOutstanding) -> None:
        """Send for all that an open run waits for. Cost: a read, and those of its history."""
        run = effect.run
        if is_open_run(self._store.get(keys.execution(run.workspace, run.execution_id)), run.run_id):
            work = read_open_run(self._store, run, effect.pool).work
            self.carry_out(outstanding(run, effect.pool, work, self._clock.now()), salt=f":resumed{effect.resumed_in}")
