"""`GET /health`, for those who watch over the process. Source: SDK contract §9 (read 2026-11-23)."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from levante.errors import ErrorCode, WorkflowsException

logger = logging.getLogger("levante.worker")


@asynccontextmanager
async def health_server(host: str, port: int | None, worker_name: str) -> AsyncIterator[None]:
    """Answer 200 inside the block, on every loop that still turns. port: None for no server; 0 for any that is free.

    Raises: WorkflowsException when the port is taken.
    """
    if port is None:
        yield
        return

    async def health(_: web.Request) -> web.Response:
        return web.Response(text=json.dumps({"status": "ok", "worker_name": worker_name}), content_type="application/json")

    app = web.Application()
    app.add_routes([web.get("/health", health)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            problem = f"HEALTH_SERVER_PORT: nothing can listen on {host}:{port}: {error.strerror}"
            raise WorkflowsException(problem, status=422, code=ErrorCode.WORKER_RUNTIME_CONFIG_ERROR) from None
        logger.info("health is served at http://%s:%s/health", *runner.addresses[0][:2])
        yield
    finally:
        await runner.cleanup()
