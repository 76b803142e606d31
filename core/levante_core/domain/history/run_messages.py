"""What callers send to a run: signals, updates and requests to cancel.

They are recorded as facts; history says when they were taken.
"""

from typing import Literal, TypeAlias

from levante_core.domain.frozen import Frozen, Json, Time
from levante_core.domain.numbers import Number


class SignalReceived(Frozen):
    """A signal was accepted."""

    kind: Literal["signal_received"] = "signal_received"
    number: Number
    """Its place among the messages of the run, from 1 on."""
    at: Time
    """When it was accepted."""
    name: str
    """Name of the signal."""
    input: Json
    """Input of the signal, as JSON."""


class UpdateRequested(Frozen):
    """An update was accepted; its caller waits for the answer."""

    kind: Literal["update_requested"] = "update_requested"
    number: Number
    """Its place among the messages of the run, from 1 on."""
    at: Time
    """When it was accepted."""
    name: str
    """Name of the update."""
    input: Json
    """Input of the update, as JSON."""


class CancelRequested(Frozen):
    """Cancellation of the execution was asked for."""

    kind: Literal["cancel_requested"] = "cancel_requested"
    number: Number
    """Its place among the messages of the run, from 1 on."""
    at: Time
    """When it was accepted."""


RunMessage: TypeAlias = SignalReceived | UpdateRequested | CancelRequested
"""What callers send to a run while it is open."""

RUN_MESSAGES = (SignalReceived, UpdateRequested, CancelRequested)


def message_key(number: int) -> str:
    """Return the key of the fact that is the message with this number; all of them sort after those of outcomes."""
    return f"M{number:08d}"
