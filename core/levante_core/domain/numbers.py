"""The numbers in history events."""

from typing import Annotated, TypeAlias

from pydantic import Field

from levante_core.domain.limits import LONGEST_SECONDS, MOST_PLACES

Seq: TypeAlias = Annotated[
    int, Field(ge=1, le=MOST_PLACES, description="Number of the command, from 1 on, in the order in which code asked.")
]
"""Of a command; where it is the place of something else, its field says so."""
Number: TypeAlias = Annotated[int, Field(ge=1, le=MOST_PLACES)]
"""Of messages."""
Seconds: TypeAlias = Annotated[float, Field(ge=0, le=LONGEST_SECONDS)]
