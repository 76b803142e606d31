"""A program that serves a workflow beside what else it does: it ends when a file is there, and the worker with it."""

import asyncio
import sys
from contextlib import suppress
from pathlib import Path

import levante as workflows
from tests.behaviour.programs import Child


async def main(end: Path) -> None:
    """Serve until the end."""
    serving = await workflows.run_worker([Child], detach=True)
    assert serving
    while not end.exists():  # noqa: ASYNC240 - nobody else is on this loop
        await asyncio.sleep(0.05)
    serving.cancel()
    with suppress(asyncio.CancelledError):
        await serving


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
