"""The logger for code of workflows and activities."""

import logging

logger = logging.getLogger("levante.code")
"""A logger of the standard library: `logger.info("order %s", order_id, extra={"customer": "c1"})`.

Lines that workflows and activities log, with this logger or another one, go to the worker's stderr and are stored with the
execution (`GET /v1/workflows/executions/{id}/logs`). Replay does not repeat them.
"""
