"""An installation in this process and in virtual time: the real handlers and adapters on emulated AWS services.

Queues, payloads and credentials are moto's; the table is moto's too, or that of an emulator.
"""

import asyncio
import os
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from random import Random
from unittest import mock
from uuid import UUID

import boto3
import pytest
from benchmarks.cost.metering import Meter
from benchmarks.cost.programs import Functions, Gateway, TableStream, TimersQueue, fresh_modules
from benchmarks.cost.units import Image, Index
from benchmarks.cost.waiting import InlineExecutor, LoopExecutor
from moto import mock_aws

from levante.testing.virtual_time import LoopClock
from levante_core.adapters import system
from levante_core.adapters.aws.composition import AwsSettings, build_aws_store, read_aws_settings
from levante_core.adapters.dynamodb import store as dynamodb
from levante_core.adapters.dynamodb.images import PARTITION, SORT, attribute_name, place_names
from levante_core.adapters.dynamodb.table import INDEXES, table_definition
from levante_core.adapters.sqs.client import full_name
from levante_core.domain.names import Workspace
from levante_core.services.access.api_keys import ApiKeyService
from levante_core.services.dispatch.sender import TIMERS_QUEUE
from levante_core.storage.catalogue import Role
from levante_local.greenlets import Signal
from tests.support.dynamodb_tables import aws_environment
from tests.support.event_sources import StreamMapping
from tests.support.sam import load_template

TABLE, BUCKET, PREFIX, ROLE = "cost", "cost-payloads", "cost", "arn:aws:iam::123456789012:role/cost-worker"
WORKSPACE = Workspace("default")
KEY = "lev_" + 43 * "k"


def table_indexes() -> list[Index]:
    """Return the table's indexes, with what each carries."""
    return [
        Index(name, place_names(name), frozenset({PARTITION, SORT, *place_names(name), *map(attribute_name, carried)}))
        for name, carried in INDEXES.items()
    ]


def settings() -> AwsSettings:
    """Return the settings of the installation whose services are provided here."""
    return read_aws_settings(os.environ)


class Installation:
    """What workloads run on. request: see Gateway. functions.sweep is for the workload to invoke."""

    def __init__(self, services: "Services") -> None:
        self.clock = LoopClock()
        self.meter = services.meter
        self.functions = Functions(self.meter)
        template = load_template()["Resources"]
        self.gateway = Gateway(
            self.meter, self.functions.api, template["ApiStage"]["Properties"]["AccessLogSettings"]["Format"]
        )
        self._stream = TableStream(self.functions.stream, StreamMapping.of(template["StreamSource"]["Properties"]))
        self._timers = TimersQueue(self.meter, services.sqs, services.timers_url, self.functions.timers)
        self._timers_url = services.timers_url
        self._signals: defaultdict[str, Signal] = defaultdict(Signal)
        self._may_have: defaultdict[str, bool] = defaultdict(lambda: True)
        self.meter.place = self

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Installation"]:
        """Serve the stream and the timers queue inside the block."""
        sources = [asyncio.create_task(one.run()) for one in (self._stream, self._timers)]
        try:
            yield self
            for source in sources:
                if source.done():
                    source.result()
        finally:
            for source in sources:
                source.cancel()
            await asyncio.gather(*sources, return_exceptions=True)

    # --- what the meter asks for --------------------------------------------------------------------------------------

    def await_messages(self, url: str, seconds: float) -> bool:
        """See metering.Place."""
        if self._may_have[url]:
            self._may_have[url] = False
            return seconds == 0
        self._signals[url].wait(seconds)
        roused, self._may_have[url] = self._may_have[url], False
        return not roused

    def rouse(self, url: str) -> None:
        """See metering.Place."""
        if url == self._timers_url:
            self._timers.rouse()
            return
        self._may_have[url] = True
        self._signals[url].give()

    def delay(self, body: str, seconds: float) -> None:
        """See metering.Place."""
        self._timers.delay(body, seconds)

    def changed(self, before: Image | None, after: Image | None) -> None:
        """See metering.Place."""
        self._stream.changed(before, after)


class Services:
    """What is there before any function is: a table, a bucket, queues and a key."""

    def __init__(self) -> None:
        session = boto3.Session()
        self.sqs = session.client("sqs")
        self._table = session.client("dynamodb")
        self._table.create_table(**table_definition(TABLE))
        session.client("s3").create_bucket(Bucket=BUCKET)
        self.timers_url = self.sqs.create_queue(QueueName=full_name(PREFIX, TIMERS_QUEUE))["QueueUrl"]
        fifo = {"FifoQueue": "true"}
        dead = self.sqs.create_queue(QueueName=full_name(PREFIX, "dead-letters.fifo"), Attributes=fifo)["QueueUrl"]
        asked = self.sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])
        self.variables = {
            "LEVANTE_TABLE": TABLE,
            "LEVANTE_BUCKET": BUCKET,
            "LEVANTE_QUEUE_PREFIX": PREFIX,
            "LEVANTE_DEAD_LETTER_ARN": asked["Attributes"]["QueueArn"],
            "LEVANTE_WORKER_ROLE_ARN": ROLE,
            "LEVANTE_STREAMS_URL": "https://events.example",
            "AWS_REGION": session.region_name,
            "AWS_LAMBDA_FUNCTION_NAME": "cost",
        }
        self.meter = Meter(table_indexes(), self._read)

    def _read(self, key: Image) -> Image | None:
        found: Image | None = self._table.get_item(TableName=TABLE, Key=key, ConsistentRead=True).get("Item")
        return found

    def close(self) -> None:
        """Leave nothing in an emulator that others use too."""
        self._table.delete_table(TableName=TABLE)


@contextmanager
def services(dynamodb_url: str | None = None) -> Iterator[Services]:
    """Provide the services of AWS, and hook the clients that are made inside the block.

    dynamodb_url: of an emulator of DynamoDB, in place of moto.
    """
    with ExitStack() as stack:
        stack.enter_context(aws_environment())
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        if dynamodb_url:
            patch.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamodb_url)
        stack.enter_context(mock_aws())
        found = Services()
        stack.callback(found.close)
        for name, value in found.variables.items():
            patch.setenv(name, value)
        store = build_aws_store(settings())
        ApiKeyService(store, system.SystemClock(), system.RandomIds()).ensure(WORKSPACE, Role.ADMIN, "first", KEY)
        stack.enter_context(found.meter.hooked())
        stack.enter_context(fresh_modules())
        yield found


@asynccontextmanager
async def installation(found: Services) -> AsyncIterator[Installation]:
    """Run an installation inside the block, on a loop in virtual time."""
    clock, random = LoopClock(), Random(0)  # noqa: S311 - makes names, keeps no secrets
    with ExitStack() as stack:
        for place, name, replaced in (
            (system.SystemClock, "now", lambda _: clock.now()),
            (system.RandomIds, "uuid", lambda _: str(UUID(int=random.getrandbits(128), version=4))),
            (dynamodb, "ThreadPoolExecutor", InlineExecutor),
            (sys.modules["levante.worker.tasks.queue_source"], "DaemonThreads", LoopExecutor),
        ):
            stack.enter_context(mock.patch.object(place, name, replaced))
        async with Installation(found).running() as running:
            yield running
