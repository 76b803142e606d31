"""Tickets: what they open, for whom, for how long, and what is kept of them."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from levante_core.adapters.system import RandomIds
from levante_core.domain.names import Workspace
from levante_core.errors import Unauthenticated
from levante_core.services.access.api_keys import digest_of
from levante_core.services.access.tickets import VALID_FOR, TicketService
from levante_core.storage import keys
from levante_core.storage.catalogue import ApiKey, Role
from tests.support.place import SPACE, Place

PURPOSE = "stream"
KEY = ApiKey("k1", digest_of("a secret"), SPACE, Role.CLIENT, "mine", datetime(2026, 11, 23, tzinfo=UTC))
OTHERS = replace(KEY, key_id="k2", digest=digest_of("another secret"), workspace=Workspace("other"))
VALID_SECONDS = VALID_FOR.total_seconds()


@pytest.fixture
def tickets(place: Place) -> TicketService:
    return TicketService(place.store, place.clock, RandomIds())


def test_ticket_when_it_is_valid_then_it_leads_to_its_key_as_often_as_it_is_shown(
    place: Place, tickets: TicketService
) -> None:
    """Clients repeat requests; each ticket leads to the key that it was given for."""
    mine, others = tickets.issue(KEY, PURPOSE), tickets.issue(OTHERS, PURPOSE)
    place.clock.advance(VALID_SECONDS - 0.5)
    assert [tickets.redeem(secret, PURPOSE) for secret in (mine, others, mine)] == [KEY.digest, OTHERS.digest, KEY.digest]


def test_ticket_when_a_minute_has_passed_then_it_is_refused(place: Place, tickets: TicketService) -> None:
    """A ticket is in an address, which ends up in logs: it is good for following one redirect."""
    secret = tickets.issue(KEY, PURPOSE)
    place.clock.advance(VALID_SECONDS + 0.5)
    with pytest.raises(Unauthenticated, match="expired"):
        tickets.redeem(secret, PURPOSE)


def test_ticket_when_it_is_for_another_purpose_then_it_is_refused(tickets: TicketService) -> None:
    """What opens one thing opens nothing else."""
    secret = tickets.issue(KEY, "something else")
    with pytest.raises(Unauthenticated, match="not known"):
        tickets.redeem(secret, PURPOSE)
    assert tickets.redeem(secret, "something else") == KEY.digest


@pytest.mark.parametrize("wrong", ["", "made-up", "ключ"])
def test_ticket_when_nobody_made_it_then_it_is_refused(tickets: TicketService, wrong: str) -> None:
    """Guessing leads nowhere, and neither does a part of a ticket, or what is kept of it."""
    secret = tickets.issue(KEY, PURPOSE)
    for guess in (wrong, secret[:-1], secret + "x", digest_of(secret)):
        with pytest.raises(Unauthenticated, match="not known"):
            tickets.redeem(guess, PURPOSE)


def test_ticket_when_it_is_kept_then_hashed_and_until_it_expires(place: Place, tickets: TicketService) -> None:
    """Invariant 9: who reads the table learns no secret. `expires_at` is whole seconds since 1970, as DynamoDB wants it."""
    secret = tickets.issue(KEY, PURPOSE)
    item = place.store.get(keys.ticket(digest_of(secret)))
    assert item
    assert secret not in repr(item)
    assert item.attributes["expires_at"] == (place.clock.now() + VALID_FOR).timestamp()
    assert type(item.attributes["expires_at"]) is int


def test_tickets_when_made_then_no_two_are_alike(tickets: TicketService) -> None:
    """Each is 256 random bits."""
    assert len({tickets.issue(KEY, PURPOSE) for _ in range(20)}) == 20


def test_ticket_when_another_process_made_it_then_it_is_known(place: Place, tickets: TicketService) -> None:
    """The API makes tickets, the events program takes them: all that they share is the table."""
    other = TicketService(place.store, place.clock, RandomIds())
    assert other.redeem(tickets.issue(KEY, PURPOSE), PURPOSE) == KEY.digest
