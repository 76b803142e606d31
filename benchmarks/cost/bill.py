"""From counts to dollars: pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from benchmarks.cost.counts import Counts, Unit
from benchmarks.cost.deployment import Deployment
from benchmarks.cost.prices import FREE_SQS_REQUESTS, GB_SECONDS, MILLION, OTHERS, PRICES, Other, Price
from benchmarks.cost.shapes import Shape, durable_operations, step_functions_transitions, temporal_actions


class Service(StrEnum):
    """The parts of a bill, in the order in which they are printed."""

    GATEWAY = "API Gateway"
    LAMBDA = "Lambda"
    WRITES = "DynamoDB writes"
    READS = "DynamoDB reads"
    SQS = "SQS"
    S3 = "S3"
    LOGS = "logs"
    ALARMS = "alarms"


_SERVICES: Mapping[Unit, Service] = {
    Unit.GATEWAY: Service.GATEWAY,
    Unit.INVOCATION: Service.LAMBDA,
    Unit.WRITE: Service.WRITES,
    Unit.READ: Service.READS,
    Unit.FIFO: Service.SQS,
    Unit.STANDARD: Service.SQS,
    Unit.S3_PUT: Service.S3,
    Unit.S3_GET: Service.S3,
    Unit.LOG: Service.LOGS,
    Unit.ALARM: Service.ALARMS,
}


@dataclass(frozen=True, slots=True)
class Bill:
    """Dollars by service."""

    usd: Mapping[Service, float]

    @property
    def total(self) -> float:
        """All of it."""
        return sum(self.usd.values())

    def without(self, service: Service) -> float:
        """All but one service."""
        return self.total - self.usd[service]


def bill(counts: Counts, deployment: Deployment) -> Bill:
    """Price counts at list prices."""
    usd = dict.fromkeys(Service, 0.0)
    for unit, service in _SERVICES.items():
        usd[service] += counts.sum(unit) * PRICES[unit].of_one
    usd[Service.LAMBDA] += gb_seconds(counts, deployment) * GB_SECONDS[deployment.architecture].of_one
    return Bill(usd)


def bill_after_free_tier(counts: Counts, deployment: Deployment) -> Bill:
    """Price the counts of a month, less what AWS gives every account each month if nothing else in it uses that."""
    usd = dict.fromkeys(Service, 0.0)
    sqs = counts.sum(Unit.FIFO) + counts.sum(Unit.STANDARD)
    charged = max(0.0, 1 - FREE_SQS_REQUESTS / sqs) if sqs else 0.0
    for unit, service in _SERVICES.items():
        price = PRICES[unit]
        paid = counts.sum(unit) * charged if service is Service.SQS else _beyond(counts.sum(unit), price)
        usd[service] += paid * price.of_one
    price = GB_SECONDS[deployment.architecture]
    usd[Service.LAMBDA] += _beyond(gb_seconds(counts, deployment), price) * price.of_one
    return Bill(usd)


def gb_seconds(counts: Counts, deployment: Deployment) -> float:
    """Return what Lambda bills for time: seconds times the GB of the function's memory."""
    return sum(ms / 1000 * deployment.memory_mb[name] / 1024 for name, ms in counts.of(Unit.BILLED_MS).items())


def _beyond(number: float, price: Price) -> float:
    return max(0.0, number - price.free)


def per_million_steps(usd: float, shape: Shape) -> float:
    """Return the dollars for a million steps of executions of this shape."""
    return usd / shape.steps * MILLION


def elsewhere(shape: Shape) -> Mapping[Other, float]:
    """Return what one execution of this shape costs elsewhere, by the rules of `shapes`."""
    numbers = {
        Other.STEP_FUNCTIONS: step_functions_transitions(shape),
        Other.DURABLE: durable_operations(shape),
        Other.TEMPORAL: temporal_actions(shape),
    }
    return {other: number * OTHERS[other].of_one for other, number in numbers.items()}
