"""List prices of us-east-1, in one dated table. No discounts, no taxes, no volume tiers; the free tier apart.

No vendor's page could be read live from where this was written. Each price says which page it belongs to and by whom it was
found quoted: check it on the page before you rely on it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from benchmarks.cost.counts import Unit

READ_ON = "2026-11-23"
GIB = 1024**3
MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """usd: for so many units. free: units of each month that an account gets for nothing, for as long as it exists."""

    what: str
    usd: float
    per: float
    page: str
    by: str
    free: float = 0

    @property
    def of_one(self) -> float:
        """Dollars for a single unit."""
        return self.usd / self.per


_GUIDES = "cost guides of 2025 and 2026"
_TRANSCRIPT = "a transcript of the page"
_ON_DEMAND = "Amazon DynamoDB pricing for on-demand capacity"

PRICES: Mapping[Unit, Price] = {
    Unit.GATEWAY: Price("HTTP API requests", 1.00, MILLION, "Amazon API Gateway pricing", "a whitepaper of AWS"),
    Unit.INVOCATION: Price("Lambda requests", 0.20, MILLION, "AWS Lambda pricing", _TRANSCRIPT, free=MILLION),
    Unit.WRITE: Price("DynamoDB write request units", 0.625, MILLION, _ON_DEMAND, _GUIDES),
    Unit.READ: Price("DynamoDB read request units", 0.125, MILLION, _ON_DEMAND, _GUIDES),
    Unit.FIFO: Price("SQS FIFO requests", 0.50, MILLION, "Amazon SQS pricing", _GUIDES),
    Unit.STANDARD: Price("SQS standard requests", 0.40, MILLION, "Amazon SQS pricing", _GUIDES),
    Unit.S3_PUT: Price("S3 PUT requests", 5.00, MILLION, "Amazon S3 pricing", "nobody: not looked up"),
    Unit.S3_GET: Price("S3 GET requests", 0.40, MILLION, "Amazon S3 pricing", "nobody: not looked up"),
    Unit.LOG: Price("log bytes, a GiB of them", 0.50, GIB, "Amazon CloudWatch pricing", _GUIDES, free=5 * GIB),
    Unit.ALARM: Price("alarms for a month", 0.10, 1, "Amazon CloudWatch pricing", _GUIDES, free=10),
    Unit.FREE: Price("scheduled events, STS requests, reads of the table's stream", 0.0, 1, "each service's", _GUIDES),
}
"""By unit; Lambda's GB-seconds stand apart, as they depend on the architecture."""

GB_SECONDS: Mapping[str, Price] = {
    "arm64": Price("Lambda GB-seconds, Arm", 0.0000133334, 1, "AWS Lambda pricing", _GUIDES, free=400_000),
    "x86_64": Price("Lambda GB-seconds, x86", 0.0000166667, 1, "AWS Lambda pricing", _TRANSCRIPT, free=400_000),
}

FREE_SQS_REQUESTS = MILLION
"""Of a month, of both kinds together. Source: Amazon SQS pricing."""


class Other(StrEnum):
    """What the same work costs elsewhere."""

    STEP_FUNCTIONS = "Step Functions Standard"
    DURABLE = "Lambda durable functions"
    TEMPORAL = "Temporal Cloud"


OTHERS: Mapping[Other, Price] = {
    Other.STEP_FUNCTIONS: Price("state transitions", 25.00, MILLION, "AWS Step Functions pricing", _GUIDES),
    Other.DURABLE: Price("durable operations", 8.00, MILLION, "AWS Lambda pricing", _TRANSCRIPT),
    Other.TEMPORAL: Price("actions, up to 5 million a month", 50.00, MILLION, "Temporal Cloud pricing", "the page's source"),
}
