"""What an execution costs on AWS, estimated from what is recorded of it: units, and the price of each."""

from collections.abc import Mapping
from enum import StrEnum
from math import ceil
from typing import Annotated, TypeAlias

from pydantic import Field, TypeAdapter, ValidationError

WRITE_BYTES = 1024
"""Of an item, that one write request unit pays for. Source: DynamoDB developer guide (read 2026-11-23)."""
READ_BYTES = 4096
PLACES_OF_A_START = 3
"""Places in indexes that the item of an open run has: each is a unit."""
PLACES_OF_AN_END = 4
"""Two are written anew, and one is moved, which counts twice."""
REQUESTS_OF_A_TASK = 4
"""A task is sent, sent once more by the change feed, received and deleted."""
REQUESTS_OF_A_CALLER = 2
"""The start, and a look at the result."""
GB_SECONDS_OF_A_REQUEST = 0.0127
"""Of the API's function. Source: docs/cost.md, a chain of 100 activities (2026-12-01)."""


class CostUnit(StrEnum):
    """What AWS bills."""

    API_REQUEST = "api_request"
    FUNCTION_REQUEST = "function_request"
    FUNCTION_GB_SECOND = "function_gb_second"
    WRITE_UNIT = "write_unit"
    READ_UNIT = "read_unit"
    QUEUE_REQUEST = "queue_request"


PRICES: Mapping[CostUnit, float] = {
    CostUnit.API_REQUEST: 1.0e-6,
    CostUnit.FUNCTION_REQUEST: 0.2e-6,
    CostUnit.FUNCTION_GB_SECOND: 1.33334e-5,
    CostUnit.WRITE_UNIT: 0.625e-6,
    CostUnit.READ_UNIT: 0.125e-6,
    CostUnit.QUEUE_REQUEST: 0.5e-6,
}
"""US dollars for one, list prices of us-east-1. Source: docs/cost.md, Prices (2026-11-23)."""
_Price: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_PRICES: TypeAdapter[dict[CostUnit, _Price]] = TypeAdapter(dict[CostUnit, _Price])


def prices_from(text: str) -> Mapping[CostUnit, float]:
    """Read prices that differ from the list, as a JSON object of units and US dollars for one. Raises: ValueError."""
    try:
        given = _PRICES.validate_json(text)
    except ValidationError as error:
        units = ", ".join(CostUnit)
        raise ValueError(f"it takes a JSON object of numbers from 0 on, for some of {units}") from error
    return {**PRICES, **given}


def units_of(size_bytes: int) -> int:
    """Return the write units of an item."""
    return max(1, ceil(size_bytes / WRITE_BYTES))


def estimated(
    run_bytes: int, batch_bytes: list[int], fact_bytes: list[int], attempts: int, *, queued: int, is_closed: bool
) -> dict[CostUnit, float]:
    """Estimate the units of a run from the sizes of its items. A write in a transaction counts twice.

    attempts: items of activities that were tried again. queued: activities that went through the activity queue.
    """
    *before, last = batch_bytes or [0]
    writes = units_of(run_bytes) + PLACES_OF_A_START + sum(map(units_of, before)) + sum(map(units_of, fact_bytes)) + attempts
    if batch_bytes:
        writes += units_of(last) * (2 if is_closed else 1)
    if is_closed:
        writes += 2 * (units_of(run_bytes) + PLACES_OF_AN_END)
    requests = REQUESTS_OF_A_CALLER + len(batch_bytes) + len(fact_bytes)
    tasks = 1 + len(fact_bytes) + queued + attempts
    return {
        CostUnit.API_REQUEST: requests,
        CostUnit.FUNCTION_REQUEST: requests + 1,
        CostUnit.FUNCTION_GB_SECOND: round(requests * GB_SECONDS_OF_A_REQUEST, 6),
        CostUnit.WRITE_UNIT: writes,
        CostUnit.READ_UNIT: 2 + max(1, ceil(run_bytes / READ_BYTES)),
        CostUnit.QUEUE_REQUEST: tasks * REQUESTS_OF_A_TASK,
    }


def priced(units: Mapping[CostUnit, float], prices: Mapping[CostUnit, float]) -> float:
    """Return what units cost, in the currency of the prices."""
    return sum(count * prices[unit] for unit, count in units.items())
