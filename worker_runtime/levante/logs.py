"""The logger for code of workflows and activities."""

import logging

logger = logging.getLogger("levante.code")
"""As any logger of the standard library: `logger.info("order %s", order_id, extra={"customer": "c1"})`.

What is logged in workflows and activities, by this logger or another one, is shown on the worker's stderr, and kept with
the execution (`GET /v1/workflows/executions/{id}/logs`). Lines of workflow code that is replayed are not kept again.
"""
