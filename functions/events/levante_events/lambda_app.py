"""The streams as a Lambda function: an ASGI application that the Lambda Web Adapter talks to.

What this module makes is made once, and serves one stream after another. Waiting happens in threads, as nothing wakes
this process when the table changes: it looks again, after 0.1 s at first, and twice a second while nothing happens.
"""

import asyncio
import logging
import os

from aws_lambda_powertools import Logger

from levante_core.adapters.aws.composition import build_aws_store, read_aws_settings
from levante_core.adapters.aws.lambda_handlers import FUNCTION_NAME
from levante_core.adapters.error_logs import keep_payloads_out
from levante_core.adapters.system import PollingWatch, RandomIds, SystemClock
from levante_core.services.access.api_keys import ApiKeyService
from levante_core.services.access.tickets import TicketService
from levante_core.services.conflicts import Conflicts
from levante_core.services.history.showing import HistoryService
from levante_core.services.observability.logs import LogService
from levante_core.services.observability.traces import TraceService
from levante_core.services.streams.publish import StreamService
from levante_core.services.streams.tails import TailService
from levante_events.app import EventsApp, StreamServices, StreamSettings

LONGEST_SECONDS = 870.0
"""Below the 900 s that a Lambda function may run (Lambda quotas, read 2026-11-23); readers then come again."""
LONGEST_POLL_SECONDS = 0.5

_settings = read_aws_settings(os.environ)
_logger = Logger(service="levante", level=_settings.log_level, utc=True, use_rfc3339=True)
_logger.append_keys(service=os.environ[FUNCTION_NAME])
keep_payloads_out(*_logger.handlers, *logging.getLogger("uvicorn").handlers)
_store, _clock, _ids = build_aws_store(_settings), SystemClock(), RandomIds()
_streams = StreamService(_store, Conflicts(_clock, _ids))

app = EventsApp(
    StreamServices(
        ApiKeyService(_store, _clock, _ids),
        TicketService(_store, _clock, _ids),
        HistoryService(_store),
        _streams,
        TailService(_streams, _clock, PollingWatch(longest_seconds=LONGEST_POLL_SECONDS)),
        LogService(_store, _clock),
        TraceService(_store),
    ),
    asyncio.to_thread,
    StreamSettings(longest_seconds=LONGEST_SECONDS),
)
