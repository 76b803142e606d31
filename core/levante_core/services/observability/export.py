"""Exporting the traces of runs that have ended."""

import json
import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import TypeAlias

from levante_core.domain.dispatch.plan import RunClosed
from levante_core.errors import loggable
from levante_core.ports.surroundings import Clock
from levante_core.services.observability.otlp import resource_spans
from levante_core.services.observability.traces import TraceService

logger = logging.getLogger("levante.traces")

SendSpans: TypeAlias = Callable[[bytes], None]
"""Sends an `ExportTraceServiceRequest` in JSON. Raises: OSError."""

PAUSE = timedelta(minutes=1)
"""After a failure nothing is sent for so long, so that a collector holds up the work once a minute and not at each step."""


class TraceExport:
    """Sends traces where an installation wants them. What could not be sent is logged: the API shows it all the same."""

    def __init__(self, traces: TraceService, clock: Clock, send: SendSpans | None) -> None:
        """send: None exports nothing."""
        self._traces = traces
        self._clock = clock
        self._send = send
        self._paused_until = clock.now()

    @property
    def is_on(self) -> bool:
        """Whether anybody wants traces."""
        return self._send is not None

    def export(self, closed: Iterable[RunClosed]) -> None:
        """Send the traces of these runs in one request. Never raises: a trace is no reason not to go on.

        Cost: reads their histories.
        """
        now = self._clock.now()
        if self._send is None or now < self._paused_until:
            return
        sent = [span for run in closed for span in self._spans_of(run, now)]
        if not sent:
            return
        try:
            self._send(json.dumps({"resourceSpans": sent}).encode())
        except OSError as error:
            self._paused_until = now + PAUSE
            problem = loggable(error)
            logger.warning("traces of %d runs could not be exported, nor are others within a minute: %s", len(sent), problem)

    def _spans_of(self, closed: RunClosed, now: datetime) -> list[object]:
        try:
            trace = self._traces.of_run(closed.run.workspace, closed.run.run_id)
            return [resource_spans(trace.execution, trace.trace_id, trace.spans, now)]
        except Exception:
            logger.exception("the trace of run %s could not be read, and is not exported", closed.run.run_id)
            return []
