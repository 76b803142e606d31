"""The numbers in history events."""

from typing import Annotated, TypeAlias

from pydantic import Field

from levante_core.domain.limits import LONGEST_SECONDS, MOST_PLACES

Seq: TypeAlias = Annotated[int, Field(ge=1, le=MOST_PLACES)]
"""Of a command, or of a batch."""
Number: TypeAlias = Annotated[int, Field(ge=1, le=MOST_PLACES)]
"""Of messages."""
Seconds: TypeAlias = Annotated[float, Field(ge=0, le=LONGEST_SECONDS)]
