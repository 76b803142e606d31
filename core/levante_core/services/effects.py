"""Carrying out everything that `plan` asks for."""

from collections.abc import Iterable

from levante_core.domain.plan import CancelActivity, Effect, LookAtSchedule, SendLater, SendTask
from levante_core.services.activities import ActivityService
from levante_core.services.dispatch import Dispatch
from levante_core.services.family import FamilyService
from levante_core.services.schedules import ScheduleService


class EffectService:
    """Messages, activities that are cancelled, schedules, and what is between executions."""

    def __init__(
        self, dispatch: Dispatch, activities: ActivityService, family: FamilyService, schedules: ScheduleService
    ) -> None:
        self._dispatch = dispatch
        self._activities = activities
        self._family = family
        self._schedules = schedules

    def carry_out(self, effects: Iterable[Effect], *, salt: str = "") -> None:
        """Carry out effects: messages ahead of what is between executions. A repeat is harmless.

        salt: makes the queues accept a repeat all the same.
        Raises: Unavailable, after which some may have been carried out.
        """
        messages, between = [], []
        for effect in effects:
            match effect:
                case SendTask() | SendLater():
                    messages.append(effect)
                case CancelActivity():
                    self._activities.cancel(effect)
                case LookAtSchedule():
                    self._schedules.look(effect.workspace, effect.schedule_id)
                case _:
                    between.append(effect)
        self._dispatch.carry_out(messages, salt=salt)
        self._family.carry_out(between)
