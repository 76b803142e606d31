"""That somebody did something by hand which the engine would have done, or not yet."""

from levante_core.domain.frozen import Frozen, Time


class ByHand(Frozen):
    """Who repaired something by hand, when and why. It stands beside what was recorded, which workflow code alone sees."""

    at: Time
    """When it was done."""
    key_id: str
    """Id of the API key with which it was done."""
    key_name: str
    """Name of the key."""
    role: str
    """Role of the key."""
    reason: str | None = None
    """Why, for people; null if nobody said so."""


def describe_pause(paused: ByHand) -> str:
    """Say of an execution who has paused it, and what to do about it. One line, without a full stop."""
    why = f": {paused.reason}" if paused.reason else ""
    return f"it was paused with key {paused.key_name!r}{why}; resume it, and it goes on"
