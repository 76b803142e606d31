"""Carrying out everything that `plan` asks for."""

from collections.abc import Iterable

from levante_core.domain.plan import CancelActivity, Effect, SendLater, SendTask
from levante_core.services.activities import ActivityService
from levante_core.services.dispatch import Dispatch
from levante_core.services.family import FamilyService


class EffectService:
    """Messages, activities that are cancelled, and what is between executions."""

    def __init__(self, dispatch: Dispatch, activities: ActivityService, family: FamilyService) -> None:
        self._dispatch = dispatch
        self._activities = activities
        self._family = family

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
                case _:
                    between.append(effect)
        self._dispatch.carry_out(messages, salt=salt)
        self._family.carry_out(between)
