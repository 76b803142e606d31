"""Attempts that end in odd ways."""

import levante as workflows

RAISED: list[BaseException] = []
"""What the activities below raise next."""


@workflows.activity(name="ends-raise")
async def raise_it() -> None:
    """Raise what there is."""
    raise RAISED[-1]


CALLS: list[str] = []
