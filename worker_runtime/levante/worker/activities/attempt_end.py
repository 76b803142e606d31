"""How an attempt of an activity ended: one type for each way, so that none is taken for another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from levante_core.protocol import Failure, Json


@dataclass(frozen=True, slots=True)
class Succeeded:
    """It returned. result: as workflow code sees it; sent: as others see it; result_bytes: the size of `result`."""

    result: Json
    sent: Json
    result_bytes: int


@dataclass(frozen=True, slots=True)
class Failed:
    """It raised, took too long or could not be run."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class Deferred:
    """It goes on elsewhere, for so many seconds at most: nothing is known of its outcome."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Stopped:
    """Its worker was told to stop before it ended. It has cleaned up, and does not count: another worker makes it anew."""


AttemptEnd: TypeAlias = Succeeded | Failed | Deferred | Stopped
