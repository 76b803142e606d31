"""The ways in which behaviours are run: the one list of them."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any
from unittest.mock import patch
from uuid import uuid4

from levante.definition.definitions import (
    discover_activities,
    discover_workflows,
    find_activity_definition,
    get_workflow_definition,
)
from levante.encoding import read_encoding_settings
from levante.testing import WorkflowEnvironment, run_in_virtual_time
from levante.testing.environment import YEARS_SECONDS
from levante.testing.installation import WORKSPACE, InProcessApi
from levante.worker.payloads import Payloads
from levante.worker.settings import read_settings
from levante_api.app import ApiSettings, create_app
from levante_core.storage.catalogue import Role
from levante_local.greenlets import call
from levante_local.host import WORKSPACE as WORKSPACE_OF_THE_HOST
from levante_local.http.gateway import event_of
from tests.behaviour import programs
from tests.behaviour.behaviours import MODULES
from tests.behaviour.driving import EXECUTIONS, LOOK_SECONDS, Behaviour, Driver, Ended, Place, Refused
from tests.support.processes import LocalSite
from tests.support.processes import Refused as RefusedByTheHost

MODES = ("in memory", "always replay", "a real host")
ROOT = Path(__file__).parents[2]
SECRET = "secret-of-the-driver-0123456789"
DONE = {"COMPLETED", "FAILED", "CANCELED", "TERMINATED", "TIMED_OUT"}


class Memory:
    """The testing kit, with its API."""

    namespace = str(WORKSPACE)

    def __init__(self, environment: WorkflowEnvironment) -> None:
        self._environment = environment
        self._installation = environment._place
        self._numbers = count(2)
        self._api = create_app(self._installation.engine, ApiSettings(max_wait_seconds=YEARS_SECONDS, quiet=True))

    async def call(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        """See Place."""
        await call(self._installation.engine.api_keys.ensure, WORKSPACE, Role.ADMIN, "driver", SECRET)
        sent = {"authorization": f"Bearer {SECRET}", **(headers or {})}
        place, _, query = path.partition("?")
        scope = {
            "method": method,
            "path": place,
            "query_string": query.encode(),
            "http_version": "1.1",
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
        }
        text = b"" if body is None else json.dumps(body).encode()
        answer = await call(self._api, event_of(scope, text), None)
        found = json.loads(answer["body"]) if answer.get("body") else None
        if answer["statusCode"] >= 300:
            raise Refused(answer["statusCode"], found)
        return found

    async def closed(self, execution_id: str) -> None:
        """See Place."""
        await self._installation.result(execution_id, YEARS_SECONDS)

    async def replace_worker(self) -> None:
        """See Place."""
        api: Any = self._installation.api
        api.has_died.set()

    @asynccontextmanager
    async def worker(self, workflow: type, **settings: str) -> AsyncIterator[None]:
        """See Place. No death is meant for this one."""
        place = self._installation
        served = [one for one in discover_workflows(MODULES) if one.cls.__module__ == workflow.__module__]
        name, own_name = settings["DEPLOYMENT_NAME"], f"w{next(self._numbers)}"
        before = await self._workers(name)
        mortal, place.api = place.api, InProcessApi(place.engine)
        async with place.serving(served, discover_activities(MODULES), **serving({"WORKER_NAME": own_name, **settings})):
            place.api = mortal
            while await self._workers(name) == before:
                await self.sleep(LOOK_SECONDS)
            yield

    async def _workers(self, name: str) -> int:
        try:
            return int((await self.call("GET", f"/v1/workflows/deployments/{name}"))["active_worker_count"])
        except Refused:
            return 0

    async def sleep(self, seconds: float) -> None:
        """See Place."""
        await asyncio.sleep(seconds)


class RealHost:
    """A host and workers that are processes, over HTTP."""

    namespace = str(WORKSPACE_OF_THE_HOST)

    def __init__(self, site: LocalSite) -> None:
        self._site = site

    async def call(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        """See Place."""
        try:
            return await asyncio.to_thread(self._site.call, method, path, body, headers=headers or {})
        except RefusedByTheHost as refused:
            raise Refused(refused.status, refused.body) from None

    async def closed(self, execution_id: str) -> None:
        """See Place."""
        while (await self.call("GET", f"{EXECUTIONS}/{execution_id}"))["status"] not in DONE:
            await self.sleep(0.02)

    async def replace_worker(self) -> None:
        """See Place."""
        self._site.workers[0].kill()
        self._site.workers[0] = start_worker(self._site)

    @asynccontextmanager
    async def worker(self, workflow: type, **settings: str) -> AsyncIterator[None]:
        """See Place."""
        name = settings.pop("DEPLOYMENT_NAME")
        before = self._site._workers(name)
        worker = self._site.start_worker(workflow.__module__, ROOT, deployment=name, **settings)
        try:
            await asyncio.to_thread(self._site.wait_for_workers, before + 1, name)
            yield
        finally:
            worker.kill()

    async def sleep(self, seconds: float) -> None:
        """See Place."""
        await asyncio.sleep(seconds)


def start_worker(site: LocalSite) -> Any:
    """Start a worker that serves all programs. Returns its process."""
    return site.start_worker(" ".join(module.__name__ for module in MODULES), ROOT)


def serving(variables: Mapping[str, str]) -> dict[str, Any]:
    """Return what these variables of its environment tell a worker, as `Installation.serving` takes it."""
    with patch.dict("os.environ", {"DEPLOYMENT_NAME": "d", **variables}, clear=True):
        settings = read_settings({"api_key": SECRET})
    given = settings.model_dump(include=settings.model_fields_set)
    return {**given, "payloads": Payloads(read_encoding_settings(variables), Memory.namespace)}


def environment_of(
    *modules: ModuleType, variables: Mapping[str, str] = MappingProxyType({}), **given: Any
) -> WorkflowEnvironment:
    """Return an environment that serves the workflows of modules. variables: of its worker's environment."""
    workflows = list(dict.fromkeys(one.cls for one in discover_workflows(modules)))
    activities = [one for module in MODULES for one in vars(module).values() if find_activity_definition(one)]
    environment = WorkflowEnvironment(workflows, activities=activities, **given)
    environment._serving |= serving(variables)
    return environment


def run_in_memory(behaviour: Behaviour, *, always_replay: bool = False, crashes: Collection[int] = ()) -> tuple[Ended, int]:
    """Run a behaviour in virtual time. Returns how it ended, and after how many commits."""

    async def run() -> tuple[Ended, int]:
        given = {"always_replay": always_replay, "crashes": crashes, "schedules": behaviour.has_schedules}
        modules = sys.modules[behaviour.workflow.__module__], programs  # registering all of them takes as long as running
        async with environment_of(*modules, variables=behaviour.variables, **given) as environment:
            ended = await _run(behaviour, Memory(environment), "d")
            return ended, environment.commits

    return run_in_virtual_time(run())


def run_on_a_host(behaviour: Behaviour, site: LocalSite) -> Ended:
    """Run a behaviour on a real host with a real worker; with one of its own if it has to be another one."""

    async def run() -> Ended:
        place = RealHost(site)
        if not behaviour.variables:
            return await _run(behaviour, place, site.deployment)
        own = f"d-{uuid4().hex}"
        async with place.worker(behaviour.workflow, DEPLOYMENT_NAME=own, **behaviour.variables):
            return await _run(behaviour, place, own)

    return asyncio.run(run())


async def _run(behaviour: Behaviour, place: Place, deployment: str) -> Ended:
    name = get_workflow_definition(behaviour.workflow).name
    driver = await Driver(place, "").start(name, behaviour.given, deployment_name=deployment)
    if behaviour.drive:
        await behaviour.drive(driver)
    return await driver.ended()


_CHECK: type[Place] = Memory
_CHECK = RealHost
