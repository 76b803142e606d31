"""Carrying out everything that `plan` asks for."""

from collections.abc import Iterable

from levante_core.domain.plan import CancelActivity, DeleteRest, Effect, LookAtSchedule, SendLater, SendTask
from levante_core.services.activities import ActivityService
from levante_core.services.dispatch import Dispatch
from levante_core.services.expiry import ExpiryService
from levante_core.services.family import FamilyService
from levante_core.services.schedules import ScheduleService


class EffectService:
    """Messages, activities that are cancelled, schedules, what is between executions, and what is left of them."""

    def __init__(
        self,
        dispatch: Dispatch,
        activities: ActivityService,
        family: FamilyService,
        schedules: ScheduleService,
        expiry: ExpiryService,
    ) -> None:
        self._dispatch = dispatch
        self._activities = activities
        self._family = family
        self._schedules = schedules
        self._expiry = expiry

    def carry_out(self, effects: Iterable[Effect], *, salt: str = "") -> None:
        """Carry out effects: messages first, deletions last. A repeat is harmless.

        salt: makes the queues accept a repeat all the same.
        Raises: Unavailable, after which some may have been carried out.
        """
        messages, between, expired = [], [], []
        for effect in effects:
            match effect:
                case SendTask() | SendLater():
                    messages.append(effect)
                case CancelActivity():
                    self._activities.cancel(effect)
                case LookAtSchedule():
                    self._schedules.look(effect.workspace, effect.schedule_id)
                case DeleteRest():
                    expired.append(effect.expired)
                case _:
                    between.append(effect)
        self._dispatch.carry_out(messages, salt=salt)
        self._family.carry_out(between)
        for one in expired:
            self._expiry.delete_rest(one)
