"""The reading side, a process of its own, which reads many streams at once.

    python reader.py official|plain URL KEY EXECUTION...

Prints `ready` when every stream has begun, and in the end one JSON object: what each reader took, as pairs of when a token
was written and when the iterator gave it, and the CPU seconds that this process took from then on.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from mistralai.client import Mistral


async def officially(url: str, key: str, execution_id: str) -> AsyncIterator[Any]:
    """Yield the events of a stream as the official client does, as JSON."""
    client = Mistral(api_key=key, server_url=url)
    async with client, await client.workflows.executions.stream_async(execution_id=execution_id) as frames:
        async for frame in frames:
            if frame.data:
                yield frame.data.data.model_dump()


async def plainly(url: str, key: str, execution_id: str) -> AsyncIterator[Any]:
    """Yield the events of a stream, read line by line."""
    path, headers = f"/v1/workflows/executions/{execution_id}/stream", {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(url, headers=headers) as session, session.get(path) as response:
        async for line in response.content:
            if line.startswith(b"data: "):
                yield json.loads(line.removeprefix(b"data: "))["data"]


class Side:
    """The readers of this process."""

    def __init__(self, streams: int) -> None:
        self._missing = streams
        self.began = 0.0

    async def timed(self, events: AsyncIterator[Any]) -> list[tuple[int, int]]:
        """Read a stream to its end."""
        seen = []
        is_first = True
        async for event in events:
            if is_first:
                is_first = False
                self._joined()
            if event["event_type"] == "CUSTOM_TASK_IN_PROGRESS":
                now = time.time_ns()
                (change,) = event["attributes"]["payload"]["value"]
                assert change["op"] == "append", change
                seen.append((int(change["value"]), now))
        return seen

    def _joined(self) -> None:
        self._missing -= 1
        if not self._missing:
            self.began = time.process_time()
            print("ready", flush=True)


async def main(kind: str, url: str, key: str, *executions: str) -> None:
    """Read all streams at once."""
    read = {"official": officially, "plain": plainly}[kind]
    side = Side(len(executions))
    seen = await asyncio.gather(*(side.timed(read(url, key, one)) for one in executions))
    print(json.dumps({"seen": seen, "cpu_seconds": time.process_time() - side.began}))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
