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
