"""What runs have to be like, as callers say it: in the query of a listing, and as the filter of a batch job."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from levante_core.domain.frozen import MOST_PARAMETER_VALUES, Moment, Parameters, Search
from levante_core.domain.history.transitions import ExecutionStatus

Statuses: TypeAlias = Annotated[
    tuple[ExecutionStatus | Literal["RETRYING_AFTER_ERROR"], ...] | None, Field(max_length=MOST_PARAMETER_VALUES)
]
"""What listings are asked for. RETRYING_AFTER_ERROR is a status that no run of ours ever has."""


def possible(wanted: Statuses) -> set[ExecutionStatus] | None:
    """Return those statuses that a run may have; None for any."""
    return {status for status in wanted if isinstance(status, ExecutionStatus)} if wanted else None


class RunCriteria(Parameters):
    """Which runs. What is left out may be anything."""

    workflow_identifier: str | None = None
    """Name or id of their workflow."""
    root_execution_id: str | None = None
    """All runs of this execution and those below it."""
    deployment_name: str | None = None
    """Where they are advanced."""
    search: Search | None = None
    """Words in an id or the name of the workflow, whatever the case."""
    user_id: str | None = None
    """Started with this API key, or below what was; `current` is the caller's."""
    start_time_after: Moment | None = None
    """From this time on."""
    start_time_before: Moment | None = None
    """Before this time."""
    end_time_after: Moment | None = None
    """From this time on."""
    end_time_before: Moment | None = None
    """Before this time."""
    search_key: Annotated[tuple[str, ...] | None, Field(max_length=3)] = None
    """Up to three, all of which have to hold: `key` is there, `key==` is empty, `key==:value` is exactly this, `key:value`
    holds this."""
    workflow_tags: Annotated[tuple[str, ...] | None, Field(max_length=MOST_PARAMETER_VALUES)] = None
    """All of these are the workflow's."""
    status: Statuses = None
    """One of these."""
    is_blocked: bool = False
    """Runs only that something keeps from going on."""
    include_internal: bool = True
    """Runs of workflows that are means to others, too."""

    @property
    def is_narrowing(self) -> bool:
        """Whether anything is said that a run may fail to be like, but for the kind of its workflow."""
        said = (getattr(self, name) for name in RunCriteria.model_fields if name != "include_internal")
        return any(value.strip() if isinstance(value, str) else value for value in said)
