"""Pages of listings, and the cursors between them.

A cursor is signed, and good for one workspace, one listing and one set of filters.
"""

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from aws_lambda_powertools.event_handler import Request

from levante_api.http.endpoints import workspace_of
from levante_core.domain.frozen import Frozen, Json
from levante_core.domain.names import Workspace
from levante_core.errors import InvalidCapability, InvalidInput

T = TypeVar("T")

KIND = "cursor"


class Signer(Protocol):
    """Signs texts that travel through clients."""

    def sign(self, kind: str, claims: Json) -> str:
        """Return a text that `read` takes, for this kind alone."""
        ...

    def read(self, kind: str, text: str) -> Json:
        """Return the claims. Raises: InvalidCapability."""
        ...


@dataclass(frozen=True, slots=True)
class Cursors:
    """The cursors of one listing. at: where a cursor comes in the request."""

    signer: Signer
    workspace: Workspace
    listing: str
    filters: str
    at: tuple[str, str]

    def position(self, cursor: str | None) -> Json:
        """Return where a cursor leads; None for no cursor. Raises: InvalidInput for any that is not of this listing."""
        if not cursor:
            return None
        try:
            *of_listing, position = self.signer.read(KIND, cursor)
        except (InvalidCapability, ValueError, TypeError):
            raise self.refusal() from None
        if of_listing != self._of_listing():
            raise self.refusal()
        return position

    def cursor(self, position: Json) -> str | None:
        """Return the cursor that leads to a position; None where there is none."""
        return None if position is None else self.signer.sign(KIND, [*self._of_listing(), position])

    def refusal(self) -> InvalidInput:
        """Build the error. It does not say what is wrong, because there is one thing to do about all of them."""
        return InvalidInput.at(self.at, "not a cursor of this listing: begin anew, or take it from the page before")

    def _of_listing(self) -> list[str]:
        return [self.workspace, self.listing, self.filters]


def cursors(
    signer: Signer,
    request: Request,
    listing: str,
    query: Frozen,
    *,
    parameter: str = "cursor",
    beside: Collection[str] = ("limit",),
    place: str = "query",
) -> Cursors:
    """Return the cursors of a listing.

    parameter: what a cursor is called there. beside: parameters that may be others from page to page.
    """
    filters = query.model_dump_json(exclude={parameter, *beside})
    digest = hashlib.sha256(filters.encode()).hexdigest()[:32]
    return Cursors(signer, workspace_of(request), listing, digest, (place, parameter))


def page_of(
    rows: Sequence[T], place: Callable[[T], str], limit: int | None, pages: Cursors, cursor: str | None
) -> tuple[list[T], str | None]:
    """Take a page out of rows that are all at hand. place: unique, and what a cursor remembers of the last row seen.

    A cursor whose row has gone meanwhile is refused: the caller begins anew, and misses nothing.
    """
    first, last_seen = 0, pages.position(cursor)
    if last_seen is not None:
        places = [place(row) for row in rows]
        if last_seen not in places:
            raise pages.refusal()
        first = places.index(last_seen) + 1
    page = list(rows[first : None if limit is None else first + limit])
    more = first + len(page) < len(rows)
    return page, pages.cursor(place(page[-1])) if more and page else None
