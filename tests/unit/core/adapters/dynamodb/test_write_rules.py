import pytest

from levante_core.adapters.write_rules import bears_new_call, bears_plain_request, check_group
from levante_core.ports.item_store import Absent, AbsentOrMatches, Check, Delete, Item, Key, Matches, Put, Update, Write

KEY = Key("p", "s")
ITEM = Item(KEY, {"status": "B", "count": 1})
OPEN, DONE = {"status": "A"}, {"status": "B"}

CASES: list[tuple[str, Write, bool, bool]] = [
    # what, write, may be sent again without a token, may be repeated by a caller who does not know its outcome
    ("put", Put(ITEM), True, True),
    ("put where nothing is: finds its own item", Put(ITEM, Absent()), True, True),
    ("put in place of another state: finds its own item", Put(ITEM, Matches(OPEN)), True, True),
    ("update", Update(KEY, DONE), True, True),
    ("update of what is there", Update(KEY, DONE, condition=Matches()), True, True),
    ("update on a value that stays", Update(KEY, {"at": 1}, condition=Matches(OPEN)), True, True),
    ("update on a value that it sets again", Update(KEY, OPEN, condition=Matches(OPEN)), True, True),
    ("update on a value that it changes", Update(KEY, DONE, condition=Matches(OPEN)), False, True),
    ("update from a number to a boolean", Update(KEY, {"n": True}, condition=Matches({"n": 1})), False, True),
    ("update where nothing is", Update(KEY, DONE, condition=Absent()), False, True),
    (
        "update, or creation without the value asked for",
        Update(KEY, {"at": 1}, condition=AbsentOrMatches(OPEN)),
        False,
        True,
    ),
    ("update, or creation with the value asked for", Update(KEY, OPEN, condition=AbsentOrMatches(OPEN)), True, True),
    ("addition", Update(KEY, add={"count": 1}), False, False),
    ("addition of nothing", Update(KEY, add={"count": 0}), True, True),
    ("addition to what is there", Update(KEY, add={"count": 1}, condition=Matches()), False, False),
    ("addition on another value that stays", Update(KEY, add={"count": 1}, condition=Matches(OPEN)), False, False),
    ("addition to the number asked for", Update(KEY, add={"count": 1}, condition=Matches({"count": 1})), False, True),
    ("addition, once", Update(KEY, DONE, add={"count": 1}, condition=Matches(OPEN)), False, True),
    ("addition, or creation", Update(KEY, add={"count": 1}, condition=AbsentOrMatches({"count": 1})), False, False),
    ("delete", Delete(KEY), True, True),
    ("delete of nothing", Delete(KEY, Absent()), True, True),
    ("delete of what may be gone", Delete(KEY, AbsentOrMatches(OPEN)), True, True),
    ("delete of what must be there", Delete(KEY, Matches()), False, True),
    ("check, which has no request of its own", Check(KEY, Matches(OPEN)), False, True),
]


@pytest.mark.parametrize(("write", "alone", "again"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_write_when_it_may_be_carried_out_twice_says_what_it_bears(write: Write, *, alone: bool, again: bool) -> None:
    """A write goes without a token only if a second time changes nothing and is not refused by what the first left."""
    assert (bears_plain_request(write), bears_new_call([write])) == (alone, again)


def test_group_when_it_adds_beside_a_put_that_must_be_first_may_be_repeated() -> None:
    """One write that is refused the second time protects the whole group: how a counter is kept with what it counts."""
    counter = Update(KEY, add={"count": 1})
    assert bears_new_call([counter, Put(Item(Key("p", "fact")), Absent())])
    assert not bears_new_call([counter, Put(Item(Key("p", "fact")))])


def test_group_when_no_store_could_carry_it_out_is_refused() -> None:
    """Too many writes, two of one key, or a value both set and added to: whatever the store holds."""
    with pytest.raises(ValueError, match="at most 100"):
        check_group([Delete(Key("p", str(number))) for number in range(101)])
    with pytest.raises(ValueError, match="same key"):
        check_group([Delete(KEY), Put(ITEM)])
    with pytest.raises(ValueError, match="same attribute"):
        check_group([Update(KEY, {"count": 1}, add={"count": 1})])
