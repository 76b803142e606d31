"""Record histories of the scenario workflows, to be replayed against later code: `python -m tests.replay.record`.

Run it only to add a workflow: a history that is recorded anew tests nothing about executions that are already running.
"""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from levante_core.protocol.workers import LoadRequest
from levante_core.services.access.capabilities import RunGrant
from levante_local.greenlets import call
from tests.integration.scenarios import ACTIVITIES, ALL
from tests.support.direct import Installation

HISTORIES = Path(__file__).parent / "histories"

INPUTS: dict[str, Any] = {
    "scenario-chain": {"key": "recorded-chain", "length": 3},
    "scenario-fan": {"key": "recorded-fan", "width": 130},
    "scenario-waits": {"key": "recorded-waits"},
    "scenario-retries": {"key": "recorded-retries", "failures": 2},
    "scenario-random": {"key": "recorded-random"},
    "scenario-fails": {"key": "recorded-fails"},
}


async def record() -> None:
    """Run each workflow once, and write down what was recorded of it, unless that is there already."""
    with tempfile.TemporaryDirectory() as directory:
        place = Installation(Path(directory))
        async with place.running(), place.worker(ALL, ACTIVITIES):
            for workflow, input_ in INPUTS.items():
                path = HISTORIES / f"{workflow}.json"
                if not path.exists():
                    execution = await place.result(await place.start(workflow, input_))
                    grant = RunGrant(execution.key, execution.deployment_name, 0)
                    loaded = await call(place.engine.tasks.load, grant, LoadRequest(token="not read here"))
                    text = f'{{"run_id":"{execution.key.run_id}","loaded":{loaded.model_dump_json(exclude={"token"})}}}\n'
                    path.write_text(text.replace(f"{Path.cwd()}/", ""))


if __name__ == "__main__":
    asyncio.run(record())
