"""Writes `docs/cost.md` from the counts and the tables of this package: pure."""

from pathlib import Path

from benchmarks.cost.bill import Service, bill, bill_after_free_tier, per_million_steps
from benchmarks.cost.counts import Unit
from benchmarks.cost.deployment import Deployment
from benchmarks.cost.prices import GB_SECONDS, MILLION, PRICES, READ_ON
from benchmarks.cost.recorded import MONTH_HOURS, Recorded
from benchmarks.cost.shapes import WORKLOADS
from benchmarks.cost.tables import (
    counts_table,
    durations_table,
    idle_parts,
    idle_table,
    others_table,
    prices_table,
    steps_table,
)

from levante_core.adapters.dynamodb.calls import PARALLEL_CALLS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cost.md"
STEPS_AIM_USD, IDLE_AIM_USD = 2.50, 1.00
AIMED_AT = "chain"

_HEAD = """\
<!-- Written by `make bench-cost`. Do not edit: change the tables in benchmarks/cost. -->

# What it costs

List prices of us-east-1, {read_on}, without discounts. Every number of requests, units and invocations below was
counted from calls that were really made: `make bench-cost` runs the workloads through the real handlers, adapters and
worker on emulated AWS services in virtual time, and `tests/aws/test_costs.py` holds the counts. What is not counted but
stated, is said so: [durations](#durations) and [prices](#prices). How it works:
[benchmarks](../benchmarks/README.md#cost).
"""

_STEPS = """
## Per million steps

A step is an activity, a signal or a timer: what a workflow waits for. Each execution is one start by a client, its work
on a worker, and one read of its result. Two things are not in it: your workers themselves, and what a connected worker
costs whether it works or not ([below](#when-nothing-happens)). Nor is a third, when its time comes: what
[expires](concepts.md#retention) is deleted with a write unit for each KiB of histories, which is ${deleted:.2f} for a
million short steps. The items of runs and their places in indexes go for nothing, and with `ExecutionDays=0` nothing is
deleted.

{table}

*all* has the logs too: a line of the gateway and one of the function for each request, at the template's defaults. The
aim is at most ${aim:.2f} without logs for a million short sequential steps; the chain {verdict} it at ${found:.2f}. The
others are computed for the same workloads, by these rules, in their favour where a rule leaves room:

{others}
"""

_IDLE = """
## When nothing happens

{table}

A month has 730 hours. *After the free tier* is what is left if nothing else in the account uses what AWS gives every
account each month: 10 alarms, a million SQS requests, a million Lambda requests and 400,000 GB-seconds, 5 GB of logs.
The aim is less than ${aim:.2f} for the idle month: at list prices it {listed_verdict} that at ${listed:.2f}, after the
free tier it {after_verdict} it at ${after:.2f}. What the month consists of:

{parts}

- The template makes {alarms} alarms. CloudWatch charges for each, whether anything happens or not.
- Lambda keeps five long polls open at the timers queue, 20 s each: 15 requests a minute that SQS charges for. They are
  not calls of ours, and so they are stated, not counted.
- The sweep runs each minute. EventBridge does not charge for scheduled rules, and Lambda's reads of the table's stream
  are free.
- A worker that is connected and has nothing to do sends a heartbeat each 10 s and polls two queues, 20 s a poll; this
  is why `infra/ecs.yaml` scales workers to zero.
"""

_COUNTS = """
## Counts

{table}

- Writes and reads are DynamoDB's request units. A transaction counts twice, in the indexes too: DynamoDB's guide says
  that of the table and nothing of the indexes, so this is the dearer reading.
- The stream's function repeats each send of the fast path, and SQS drops the message, but not the request. Its
  invocations are those of a table with one shard; a large table has more, and smaller batches.
- *A reader* costs what it does because its stream is written as it is read, with a transaction whenever there is
  something new ([decision 15](decisions/0015-stream-events-are-made-when-read.md)); later readers of the same events
  only read them.
- No workload here writes more than 64 KiB into a document, so S3 is not used. STS costs nothing, nor does KMS with the
  keys that the template takes by default.
"""

_DURATIONS = """
## Durations

Lambda bills time, and an emulator's time says nothing about AWS's. So these are stated: an invocation lasts its own
work and the calls that it really makes, one after the other (writes that the store sends together: {at_once} at a
time). They are what a warm function sees in its region: single-digit milliseconds of DynamoDB, some ten of SQS, and
some 3 ms that the SDK takes on the share of a core that 1,024 MB have. Cold starts are left out. 10 ms more of the
API's function are ${ten_ms:.2f} a million requests. The events function is billed for as long as its stream is open.

{table}
"""

_PRICES = """
## Prices

No vendor's page could be read live from where this was written; the last column says by whom each price was found
quoted.

{table}

Left out: storage ($0.25 a GB and month, and $0.20 for its backups), data transfer to the internet, custom metrics (a
cold start is one data point), and the API Gateway's free tier, which ends after a year.
"""


def chain_steps_usd(recorded: Recorded, deployment: Deployment) -> float:
    """Return what the first aim is about: a million short sequential steps, without logs."""
    one = bill(recorded.workloads[AIMED_AT], deployment)
    return per_million_steps(one.without(Service.LOGS), WORKLOADS[AIMED_AT][1])


def idle_month_usd(recorded: Recorded, deployment: Deployment) -> tuple[float, float]:
    """Return what the second aim is about: an idle month without workers, at list prices and after the free tier."""
    counts = recorded.idle(MONTH_HOURS, deployment)
    return bill(counts, deployment).total, bill_after_free_tier(counts, deployment).total


def page(recorded: Recorded, deployment: Deployment) -> str:
    """Write the page."""
    found, (listed, after) = chain_steps_usd(recorded, deployment), idle_month_usd(recorded, deployment)
    ten_ms = 10_000 * deployment.memory_mb["api"] / 1024 * GB_SECONDS[deployment.architecture].of_one
    parts = [
        _HEAD.format(read_on=READ_ON),
        _STEPS.format(
            table=steps_table(recorded, deployment),
            others=others_table(),
            aim=STEPS_AIM_USD,
            found=found,
            deleted=PRICES[Unit.WRITE].of_one * MILLION,
            verdict=_verdict(found <= STEPS_AIM_USD),
        ),
        _IDLE.format(
            table=idle_table(recorded, deployment),
            parts=idle_parts(recorded, deployment),
            alarms=deployment.alarms,
            aim=IDLE_AIM_USD,
            listed=listed,
            after=after,
            listed_verdict=_verdict(listed < IDLE_AIM_USD),
            after_verdict=_verdict(after < IDLE_AIM_USD),
        ),
        _COUNTS.format(table=counts_table(recorded, deployment)),
        _DURATIONS.format(table=durations_table(deployment), at_once=PARALLEL_CALLS, ten_ms=ten_ms),
        _PRICES.format(table=prices_table(deployment)),
    ]
    return "".join(parts)


def _verdict(is_met: bool) -> str:  # noqa: FBT001 - there is nothing else to say
    return "meets" if is_met else "misses"
