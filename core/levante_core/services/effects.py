"""Carrying out everything that `plan` asks for."""

from collections.abc import Iterable

from levante_core.domain.plan import Effect, SendLater, SendTask
from levante_core.services.dispatch import Dispatch
from levante_core.services.family import FamilyService


class EffectService:
    """Messages and what is between executions, together."""

    def __init__(self, dispatch: Dispatch, family: FamilyService) -> None:
        self._dispatch = dispatch
        self._family = family

    def carry_out(self, effects: Iterable[Effect], *, salt: str = "") -> None:
        """Carry out effects, messages first. A repeat is harmless; salt makes the queues accept one all the same.

        Raises: Unavailable, after which some may have been carried out.
        """
        all_effects = list(effects)
        self._dispatch.carry_out((one for one in all_effects if isinstance(one, SendTask | SendLater)), salt=salt)
        self._family.carry_out(one for one in all_effects if not isinstance(one, SendTask | SendLater))
