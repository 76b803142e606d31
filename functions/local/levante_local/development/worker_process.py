"""A worker as a process beside the host, which starts again when a file changes."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import click
from watchfiles import PythonFilter, awatch

STOP_SECONDS = 20.0
"""How long the worker has to stop before it is killed."""
DRAIN_SECONDS = "2"
"""Of a worker that starts again at each change, unless the environment says otherwise."""


class DevWorker:
    """Runs `levante worker` inside the block. targets: files or modules. environment: how it reaches the host."""

    def __init__(self, targets: Sequence[str], environment: Mapping[str, str]) -> None:
        self._targets = targets
        self._environment = {
            "DRAIN_SECONDS": DRAIN_SECONDS,
            "WORKER_NAME": f"{socket.gethostname()[:80]}-dev",
            **os.environ,
            **environment,
        }
        self._process: asyncio.subprocess.Process | None = None
        self._watching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._start()
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        if self._watching:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching
        await self._stop()

    async def _start(self) -> None:
        """Start it. Its standard input closes with this process, whatever ends that, and then it stops."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "levante", "worker", "--until-stdin-closes", *self._targets),
            stdin=asyncio.subprocess.PIPE,
            env=self._environment,
        )

    async def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _watch(self) -> None:
        async for changes in awatch(*_watched(self._targets), watch_filter=PythonFilter()):
            click.echo(f"{_names_of(path for _, path in changes)} changed: the worker starts again", err=True)
            await self._stop()
            await self._start()


def _names_of(paths: Iterable[str]) -> str:
    first, *others = sorted({os.path.relpath(path) for path in paths})
    return f"{first} and {len(others)} more" if others else first


def _watched(targets: Sequence[str]) -> set[Path]:
    """Return the directories to watch: the current one, and those of files elsewhere."""
    here = Path.cwd()
    files = [Path(target.partition(":")[0]).resolve() for target in targets]
    return {here, *(file.parent for file in files if file.is_file() and not file.is_relative_to(here))}
