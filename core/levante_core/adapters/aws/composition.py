"""The composition on AWS: what each Lambda function and the deployment's scripts call, once per process."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from levante_core.adapters.aws.s3 import S3Payloads, s3_client
from levante_core.adapters.aws.sts import StsTaskAccess, sts_client
from levante_core.adapters.dynamodb.client import dynamodb_client
from levante_core.adapters.dynamodb.store import DynamoItemStore
from levante_core.adapters.offloading import OffloadingStore
from levante_core.adapters.otlp_http import WrongEndpoint, span_sender
from levante_core.adapters.sqs.queues import SqsQueues, sqs_client
from levante_core.adapters.system import PollingWatch, RandomIds, SystemClock
from levante_core.domain.observability.costs import PRICES, CostUnit, prices_from
from levante_core.services.engine import Engine, build_engine
from levante_core.services.observability.export import SendSpans

TRACES_WAIT_SECONDS = 1.0
"""Longest time that dispatch waits for a collector of traces; after that it sends none for a minute."""
LOG_LEVELS = ("INFO", "WARNING", "ERROR")
"""No DEBUG: the AWS SDK's debug log quotes what it sends."""

DEFAULT_RETENTION_DAYS, MOST_RETENTION_DAYS = 30, 3650

_SWITCH = {"on": True, "off": False}


class WrongSettings(Exception):
    """The environment does not say what it has to. The message names every variable that is missing or wrong."""


@dataclass(frozen=True, slots=True)
class LentRole:
    """The role that the API lends to workers, and the region of the queues."""

    arn: str
    region: str


@dataclass(frozen=True, slots=True)
class AwsSettings:
    """Where an installation keeps its things, as `template.yaml` tells its functions.

    queue_prefix: of the names of all queues. dead_letter_arn: the FIFO queue that takes what no worker could deal with.
    kms_key_arn: what new queues are encrypted with; None for a key of SQS.
    lent: whose credentials workers get for their queues; None if they reach these through the API alone.
    fast_path: whether the API sends the tasks that its own writes ask for, ahead of the table's stream.
    tracing: whether requests are traced with X-Ray. streams_at: where the API sends those who want to stream events.
    send_spans: exports the traces of executions. retention: how long closed ones are kept; None for ever.
    """

    table: str
    bucket: str
    queue_prefix: str
    dead_letter_arn: str
    kms_key_arn: str | None = None
    lent: LentRole | None = None
    fast_path: bool = True
    log_level: str = "INFO"
    tracing: bool = False
    streams_at: str | None = None
    send_spans: SendSpans | None = None
    retention: timedelta | None = None
    prices: Mapping[CostUnit, float] = field(default_factory=lambda: PRICES)

    @property
    def is_quiet(self) -> bool:
        """Whether requests go unlogged, and errors only are."""
        return logging.getLevelNamesMapping()[self.log_level] > logging.INFO


def read_aws_settings(environment: Mapping[str, str]) -> AwsSettings:
    """Read the settings from environment variables. Raises: WrongSettings, with all that is to be mended."""
    reader = _Reader(environment)
    settings = AwsSettings(
        table=reader.text("LEVANTE_TABLE"),
        bucket=reader.text("LEVANTE_BUCKET"),
        queue_prefix=reader.text("LEVANTE_QUEUE_PREFIX"),
        dead_letter_arn=reader.text("LEVANTE_DEAD_LETTER_ARN"),
        kms_key_arn=reader.optional("LEVANTE_KMS_KEY_ARN"),
        lent=_lent_role(reader),
        fast_path=_SWITCH[reader.choice("LEVANTE_FAST_PATH", "on", _SWITCH)],
        log_level=reader.choice("LEVANTE_LOG_LEVEL", "INFO", LOG_LEVELS),
        tracing=_SWITCH[reader.choice("LEVANTE_TRACING", "off", _SWITCH)],
        streams_at=reader.optional("LEVANTE_STREAMS_URL"),
        send_spans=reader.span_sender(),
        retention=reader.days("LEVANTE_RETENTION_DAYS", DEFAULT_RETENTION_DAYS),
        prices=reader.prices("LEVANTE_PRICES"),
    )
    reader.finish()
    return settings


def build_aws_store(settings: AwsSettings) -> OffloadingStore:
    """Build the item store on DynamoDB and S3, for programs that need no more. Cost: two clients; no request."""
    payloads = S3Payloads(s3_client(), settings.bucket, clock=SystemClock())
    return OffloadingStore(DynamoItemStore(settings.table, dynamodb_client()), payloads)


def build_aws_engine(settings: AwsSettings) -> tuple[Engine, OffloadingStore]:
    """Build the services on DynamoDB, SQS and S3. Region, credentials and endpoints come from the environment.

    Returns the store too, which finds the documents that records of the table's stream only refer to.
    Cost: three or four clients, some 300 ms; no request. Raises: ValueError for a queue prefix that is too long.
    """
    kms_key_arn, lent = settings.kms_key_arn, settings.lent
    store = build_aws_store(settings)
    queues = SqsQueues(
        sqs_client(), settings.queue_prefix, dead_letter_arn=settings.dead_letter_arn, kms_key_arn=kms_key_arn
    )
    access = StsTaskAccess(sts_client(), lent.arn, queues, lent.region, kms_key_arn=kms_key_arn) if lent else None
    engine = build_engine(
        store,
        queues,
        SystemClock(),
        RandomIds(),
        PollingWatch(),
        fast_path=settings.fast_path,
        access=access,
        send_spans=settings.send_spans,
        retention=settings.retention,
    )
    return engine, store


def _lent_role(reader: "_Reader") -> LentRole | None:
    arn = reader.optional("LEVANTE_WORKER_ROLE_ARN")
    return LentRole(arn, reader.text("AWS_REGION")) if arn else None


class _Reader:
    """Reads variables one by one and remembers what was wrong, so that one error can name it all."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._problems: list[str] = []

    def text(self, name: str) -> str:
        value = self._environment.get(name, "")
        if not value:
            self._problems.append(f"{name} is missing")
        return value

    def optional(self, name: str) -> str | None:
        return self._environment.get(name) or None

    def choice(self, name: str, default: str, allowed: Mapping[str, object] | tuple[str, ...]) -> str:
        value = self._environment.get(name) or default
        if value in allowed:
            return value
        self._problems.append(f"{name} is {value!r}: it takes one of {', '.join(allowed)}")
        return default

    def days(self, name: str, default: int) -> timedelta | None:
        given = self._environment.get(name) or str(default)
        if given.isdecimal() and int(given) <= MOST_RETENTION_DAYS:
            return timedelta(days=int(given)) or None
        self._problems.append(f"{name} is {given!r}: it takes whole days up to {MOST_RETENTION_DAYS}, or 0 for no end")
        return None

    def prices(self, name: str) -> Mapping[CostUnit, float]:
        given = self._environment.get(name)
        try:
            return prices_from(given) if given else PRICES
        except ValueError as error:
            self._problems.append(f"{name} cannot be read: {error}")
            return PRICES

    def span_sender(self) -> SendSpans | None:
        try:
            return span_sender(self._environment, wait_seconds=TRACES_WAIT_SECONDS)
        except WrongEndpoint as error:
            self._problems.append(str(error))
            return None

    def finish(self) -> None:
        if self._problems:
            raise WrongSettings("; ".join(self._problems))
