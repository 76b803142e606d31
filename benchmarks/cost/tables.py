"""The tables of `docs/cost.md`: pure."""

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.cost import durations
from benchmarks.cost.bill import Bill, Service, bill, bill_after_free_tier, elsewhere, gb_seconds, per_million_steps
from benchmarks.cost.counts import TABLE, Counts, Number, Unit
from benchmarks.cost.deployment import Deployment
from benchmarks.cost.prices import GB_SECONDS, OTHERS, PRICES, Other, Price
from benchmarks.cost.recorded import MONTH_HOURS, Recorded
from benchmarks.cost.shapes import WORKLOADS

_WITHOUT_LOGS = (Service.GATEWAY, Service.LAMBDA, Service.WRITES, Service.READS, Service.SQS)

_OTHER_RULES: Mapping[Other, str] = {
    Other.STEP_FUNCTIONS: "the start, each activity, signal and timer, the map state of a fan-out; "
    "not the Lambda functions that its tasks call",
    Other.DURABLE: "the start, each step, callback and wait, the map of a fan-out; "
    "not Lambda's own requests and time, nor data written ($0.25 a GB)",
    Other.TEMPORAL: "the start, each activity, signal and timer (local activities are fewer actions); "
    "not the plan's minimum ($100 a month), nor storage",
}


def steps_table(recorded: Recorded, deployment: Deployment) -> str:
    """Dollars per million steps, by service, beside what others charge."""
    head = ["workload", *_WITHOUT_LOGS, "without logs", "logs", "all", *Other]
    rows = []
    for name, (what, shape) in WORKLOADS.items():
        one = bill(recorded.workloads[name], deployment)
        parts = [one.usd[service] for service in _WITHOUT_LOGS]
        sums = [one.without(Service.LOGS), one.usd[Service.LOGS], one.total]
        others = [] if name == "stream" else list(elsewhere(shape).values())
        numbers = [f"{per_million_steps(usd, shape):.2f}" for usd in [*parts, *sums, *others]]
        rows.append([what, *numbers, *["" for _ in range(len(head) - 1 - len(numbers))]])
    return _table(head, rows)


def others_table() -> str:
    """What others charge for, by the rules of `shapes`."""
    rows = [[other, f"${price.usd:g} a million {price.what}", _OTHER_RULES[other]] for other, price in OTHERS.items()]
    return _table(["", "price", "charged for each execution"], rows)


def idle_table(recorded: Recorded, deployment: Deployment) -> str:
    """Dollars for a day and a month in which nothing happens, and for a worker that waits."""
    rows = []
    for what, hours in (("an idle day, no worker", 24), ("an idle month, no worker", MONTH_HOURS)):
        counts = recorded.idle(hours, deployment)
        free = f"{bill_after_free_tier(counts, deployment).total:.2f}" if hours == MONTH_HOURS else ""
        rows.append([what, *_idle_cells(bill(counts, deployment)), free])
    for what, hours in (("a worker connected, on top, an hour", 1), ("the same, a month", MONTH_HOURS)):
        rows.append([what, *_idle_cells(bill(recorded.worker_hour.times(hours), deployment)), ""])
    return _table(["", "without alarms", "alarms", "all", "after the free tier"], rows)


def _idle_cells(one: Bill) -> list[str]:
    amounts = one.without(Service.ALARMS), one.usd[Service.ALARMS], one.total
    return [f"{usd:.4f}" if usd and one.total < 0.01 else f"{usd:.2f}" for usd in amounts]


def idle_parts(recorded: Recorded, deployment: Deployment) -> str:
    """What an idle month consists of."""
    counts = recorded.idle(MONTH_HOURS, deployment)
    listed, after = bill(counts, deployment), bill_after_free_tier(counts, deployment)
    rows = [[service, f"{usd:.3f}", f"{after.usd[service]:.3f}"] for service, usd in listed.usd.items() if usd]
    return _table(["an idle month", "list price", "after the free tier"], rows)


def counts_table(recorded: Recorded, deployment: Deployment) -> str:
    """What was counted, for one execution or one hour."""
    named = [(what, recorded.workloads[name]) for name, (what, _) in WORKLOADS.items()]
    named += [("an idle hour, no worker", recorded.idle_hour), ("an hour of a worker that waits", recorded.worker_hour)]
    head = [
        "",
        "API requests",
        "invocations",
        "GB-s",
        "write units: table",
        "indexes",
        "read units: table",
        "indexes",
        "SQS FIFO",
        "SQS standard",
        "log KiB",
    ]
    return _table(head, [[what, *_counted(counts, deployment)] for what, counts in named])


def _counted(counts: Counts, deployment: Deployment) -> list[str]:
    invocations = ", ".join(f"{name} {number}" for name, number in counts.of(Unit.INVOCATION).items())
    return [
        _number(counts.sum(Unit.GATEWAY)),
        invocations,
        f"{gb_seconds(counts, deployment):.3f}",
        _number(counts.of(Unit.WRITE).get(TABLE, 0)),
        _number(counts.of_indexes(Unit.WRITE)),
        _number(counts.of(Unit.READ).get(TABLE, 0)),
        _number(counts.of_indexes(Unit.READ)),
        _number(counts.sum(Unit.FIFO)),
        _number(counts.sum(Unit.STANDARD)),
        f"{counts.sum(Unit.LOG) / 1024:.1f}",
    ]


def durations_table(deployment: Deployment) -> str:
    """What is stated about time, and the memory that it is multiplied with."""
    own = [[f"{name}, its own work ({deployment.memory_mb[name]} MB)", str(ms)] for name, ms in durations.OWN_MS.items()]
    by_ms: dict[int, list[str]] = {}
    for name, ms in durations.CALL_MS.items():
        by_ms.setdefault(ms, []).append(f"`{name}`")
    return _table(["", "ms"], [*own, *[[", ".join(names), str(ms)] for ms, names in sorted(by_ms.items())]])


def prices_table(deployment: Deployment) -> str:
    """The prices, their pages, and where each was found."""
    rows = [_price_row(price) for price in (*PRICES.values(), GB_SECONDS[deployment.architecture], *OTHERS.values())]
    return _table(["what", "USD", "for", "free each month", "page", "quoted by"], rows)


def _price_row(price: Price) -> list[str]:
    per = {1: "one", 1_000_000: "a million", 1024**3: "a GiB"}[int(price.per)]
    free = f"{price.free:,.0f}" if price.free else ""
    usd = f"{price.usd:.10f}".rstrip("0") if price.usd and price.usd < 0.001 else f"{price.usd:.3f}"
    return [price.what, usd, per if price.usd else "", free, price.page, price.by]


def _number(number: Number) -> str:
    return f"{number:g}" if number else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table of Markdown: what is a number stands on the right."""
    kept = [list(row) for row in rows]
    is_right = [all(_is_number(row[column]) for row in kept) for column in range(len(head))]
    rule = ["---:" if right else "---" for right in is_right]
    return "\n".join(
        f"| {' | '.join(cells)} |".replace("|  |", "| |").replace("|  |", "| |") for cells in (head, rule, *kept)
    )


def _is_number(text: str) -> bool:
    return all(character in "0123456789.,e+" for character in text)
