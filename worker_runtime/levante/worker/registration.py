"""A worker among the others: what it serves, that it is alive, and that its process is there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from random import uniform
from typing import Any

import aiohttp

from levante.definition.definitions import TECHNICAL_NAMES
from levante.worker.context import WorkerContext
from levante.worker.transport.api import KeyRefused
from levante.worker.transport.retrying import for_ever
from levante_core.protocol import DeploymentName
from levante_core.protocol.workers import HeartbeatRequest, LeaveRequest, RegisterRequest, RegisterResponse

logger = logging.getLogger("levante.worker")

PRESENCE_RETRY_SECONDS = 0.3
"""A host that was started anew waits a second for the workers that hold leases."""


class Registration:
    """Registers the worker, and keeps it registered.

    session: for activities that are to run in this worker. present: called whenever a host begins to watch the connection.
    """

    def __init__(self, context: WorkerContext, session: str, present: Callable[[], Awaitable[None]]) -> None:
        self._context = context
        self._session = session
        self._present = present
        self._features: Mapping[str, Any] | None = None
        self._registered: RegisterResponse | None = None

    async def register(self) -> None:
        """Say what the worker serves. Raises: ApiError."""
        settings = self._context.settings
        own = DeploymentName(settings.deployment_name)
        specs = [await self._context.payloads.encoded_spec(one.spec(own)) for one in self._context.workflows.values()]
        request = RegisterRequest(
            definitions=tuple(specs),
            deployment_name=DeploymentName(settings.deployment_name),
            worker_name=settings.worker_name,
            build_id=settings.build_id,
            session=self._session,
        )
        self._registered = await self._context.api.register(request)
        for warning in self._registered.warnings:
            logger.warning("%s", warning)
        served = sorted(one.name for one in self._context.workflows.values() if one.name not in TECHNICAL_NAMES)
        logger.info(
            "worker %s serves %s for deployment %s at %s",
            *(settings.worker_name, ", ".join(served), settings.deployment_name, settings.server_url),
        )

    async def heartbeat(self) -> None:
        """Say again and again that the worker is alive; one time that fails is made good by the next. Raises: KeyRefused."""
        await for_ever("the heartbeat of the worker", self._beat, ended_by=KeyRefused)

    async def leave(self) -> None:
        """Say that the worker stops; if that fails, it is noticed by itself, when heartbeats are missing."""
        with suppress(Exception):
            await self._context.api.leave(LeaveRequest(**dict(self._heartbeat())))

    async def hold_presence(self) -> None:
        """Let a host that watches connections know at once when this process is gone. Raises: KeyRefused."""
        await for_ever("the presence connection", self._be_present, ended_by=KeyRefused)

    async def _beat(self) -> None:
        await asyncio.sleep(self._context.heartbeat_seconds)
        slots = self._context.runner.slots if (await self._offered()).get("slots") else None
        heartbeat = self._heartbeat().model_copy(update={"activity_slots": slots})
        if not (await self._context.api.heartbeat(heartbeat)).all_active:
            await self.register()

    async def _offered(self) -> Mapping[str, Any]:
        """Return what the installation offers; asked once."""
        if self._features is None:
            self._features = (await self._context.api.whoami()).features
        return self._features

    def _heartbeat(self) -> HeartbeatRequest:
        settings = self._context.settings
        return HeartbeatRequest(
            workflow_registration_refs=self._registered.workflow_registration_refs if self._registered else (),
            deployment_name=DeploymentName(settings.deployment_name),
            worker_name=settings.worker_name,
            build_id=settings.build_id,
        )

    async def _be_present(self) -> None:
        if not (await self._offered()).get("presence"):
            await asyncio.Event().wait()
        try:
            await self._context.api.hold_presence(self._context.worker_id, self._present)
        except (aiohttp.ClientError, TimeoutError):
            logger.debug("the presence connection ended; it is opened again")
        await asyncio.sleep(uniform(PRESENCE_RETRY_SECONDS / 2, PRESENCE_RETRY_SECONDS))  # noqa: S311 - keeps workers apart
