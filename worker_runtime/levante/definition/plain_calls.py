"""How a call ended, as a value: some exceptions cannot leave a thread or a coroutine as what they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Returned:
    """The call returned this."""

    value: Any

    def result(self) -> Any:
        """Return what the call returned."""
        return self.value


@dataclass(frozen=True, slots=True)
class Raised:
    """The call raised this, whatever it is: StopIteration, KeyboardInterrupt and the like as well."""

    error: BaseException

    def result(self) -> Any:
        """Raises: what the call raised. A StopIteration leaves a coroutine as the cause of a RuntimeError (PEP 479)."""
        raise self.error


CallOutcome: TypeAlias = Returned | Raised


def outcome_of(function: Callable[[], Any]) -> CallOutcome:
    """Call a plain function. A future cannot carry StopIteration out of a thread: who waits for it would wait for ever."""
    try:
        return Returned(function())
    except BaseException as error:  # noqa: BLE001 - told to the caller, who decides
        return Raised(error)
