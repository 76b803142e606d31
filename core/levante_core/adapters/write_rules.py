"""What may go into one write, and what happens if a write is carried out twice.

A request whose answer was lost may have taken effect, and is sent again. This is the one place that says which writes bear
that:

- Plain requests are for writes that bear it by themselves: a second time they leave what one time leaves. A put bears it
  too, even if its condition says otherwise: who finds the very item that it was writing has written it. If others have
  changed it since, the put counts as refused, as a repeat by the caller would.
- All others go into a transaction, if need be of one write. A transaction has a token, and DynamoDB carries it out once
  however often it comes within ten minutes. Source: DynamoDB API, TransactWriteItems, ClientRequestToken (read 2026-11-23).
- The caller, who repeats with a new token, may repeat what leaves the same or is refused the second time. Only what adds
  without a condition that ends with it is neither: when its outcome stays unknown, that is said.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import assert_never

from levante_core.ports.item_store import Absent, Check, Condition, Delete, Matches, Put, Scalar, Update, Write

MAX_WRITES = 100
"""Most writes in one group. Source: DynamoDB API, TransactWriteItems (read 2026-11-23)."""


def check_group(group: Sequence[Write]) -> None:
    """Refuse what no store could carry out, whatever it holds. Raises: ValueError."""
    if len(group) > MAX_WRITES:
        raise ValueError(f"{len(group)} writes in one group: at most {MAX_WRITES} are possible")
    if len(group) > 1 and len({write.key for write in group}) < len(group):
        raise ValueError("two writes of one group have the same key: make them one write")
    for write in group:
        if isinstance(write, Update) and write.add.keys() & write.set_attributes.keys():
            raise ValueError(f"an update of {write.key} sets and adds to the same attribute")


def bears_plain_request(write: Write) -> bool:
    """Tell whether the write may be sent again without a token. A check has no plain request."""
    return isinstance(write, Put) or (
        isinstance(write, Update | Delete) and not _adds(write) and _holds_afterwards(write) is True
    )


def bears_new_call(group: Sequence[Write]) -> bool:
    """Tell whether the caller may repeat the group, not knowing whether it was carried out."""
    return not any(_adds(write) for write in group) or any(_holds_afterwards(write) is False for write in group)


def _adds(write: Write) -> bool:
    return isinstance(write, Update) and any(write.add.values())


def _holds_afterwards(write: Write) -> bool | None:
    """Tell whether the write's condition holds once it was carried out; None where that depends on the item."""
    match write:
        case Check():
            return True
        case Delete(_, condition):
            return not isinstance(condition, Matches)
        case Put(item, condition):
            return _condition_holds(condition, lambda name, wanted: _agrees(item.attributes, name, wanted))
        case Update(condition=condition):
            return _condition_holds(condition, lambda name, wanted: _agrees_after(write, name, wanted))
        case _:
            assert_never(write)


def _condition_holds(condition: Condition, agrees: Callable[[str, Scalar], bool | None]) -> bool | None:
    """Judge the condition on an item that is there."""
    if condition is None or isinstance(condition, Absent):
        return condition is None
    verdicts = [agrees(name, wanted) for name, wanted in condition.attributes.items()]
    if False in verdicts:
        return False
    return None if None in verdicts else True


def _agrees(attributes: Mapping[str, Scalar], name: str, wanted: Scalar) -> bool:
    return name in attributes and is_same_scalar(attributes[name], wanted)


def _agrees_after(update: Update, name: str, wanted: Scalar) -> bool | None:
    """Judge one attribute after an update that was let through."""
    if name in update.set_attributes:
        return _agrees(update.set_attributes, name, wanted)
    if not isinstance(update.condition, Matches):
        return None  # it may have been absent before
    return not update.add.get(name)


def is_same_scalar(one: Scalar, other: Scalar) -> bool:
    """Tell whether two values are equal for a condition: 1 equals 1.0 but not True."""
    return isinstance(one, bool) == isinstance(other, bool) and one == other
