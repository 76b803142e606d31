"""The whole path on AWS, shown on an emulator: `template.yaml` deployed, a worker on its queues, the official client.

From the checkout, as `make demo-aws` does it: `PYTHONPATH=. python examples/demo_aws.py`. Docker is not needed. The emulator
and the SAM CLI are installed once, into `.emulators`; what listens, listens on this machine's loopback address.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from examples.demo import follow
from mistralai.client import Mistral

from tests.support import emulators, sam
from tests.support.deployed import DeployedSite, deployed

EXAMPLES = Path(__file__).parent


def main() -> int:
    """Run the demo. Returns the exit code; raises if anything does not happen in time."""
    began = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="levante-demo-aws-") as made:
            status = show(Path(made))
    except emulators.EmulatorMissing as missing:
        print(f"the demo cannot run here: {missing}", file=sys.stderr)
        return 1
    print(f"everything is stopped and removed; all of it took {time.monotonic() - began:.1f} s")
    return 0 if status == "COMPLETED" else 1


def show(directory: Path) -> str:
    """Go through the steps one after the other. Returns the status that the execution ends with."""
    with step("1. installing the SAM CLI and the emulator ministack, unless they are there"):
        sam.install_tools()
        emulators.install_ministack()
    with emulators.ministack(directory / "ministack.log") as endpoint:
        print(f"   ministack plays AWS on {endpoint}")
        with ExitStack() as until_the_end:
            with step("2. sam build, sam deploy, infra/bootstrap: as the deploy guide has it"):
                stack = until_the_end.enter_context(deployed(endpoint, directory))
            print(f"   the API is at {stack.url}\n   the first key is made")
            site = until_the_end.enter_context(closing(stack.site(directory)))
            show_worker(site)
            status = show_execution(site)
            print(f"6. dead letters: {stack.dead_letters() or 'none'}")
    return status


def show_worker(site: DeployedSite) -> None:
    """Start a worker that has no AWS credentials of its own, and print what it is lent."""
    with step("3. starting a worker that serves examples/orders.py"):
        site.start_worker("orders", EXAMPLES)
        site.wait_for_workers(1)
    asked: dict[str, Any] = {"deployment_name": site.deployment}
    access = site.call("POST", "/v1/workflows/workers/queue-access", asked)["access"]
    print("   it takes its tasks from SQS itself, with credentials that the API lends it:")
    for queue in ("workflow_queue", "activity_queue"):
        print(f"     {access[queue]}")
    print(f"     until {access['credentials']['expires_at']}")


def show_execution(site: DeployedSite) -> str:
    """Start an execution, print its events as they happen, and its result. Returns the status that it ends with."""
    client = Mistral(api_key=site.key, server_url=site.url)
    with step("4. starting an execution through the official mistralai client"):
        order = {"item": "kite", "quantity": 2}
        execution_id = client.workflows.execute_workflow(workflow_identifier="order", input=order).execution_id
    print(f"   execution {execution_id}")
    with step("5. its events, as they happen:"):
        status, result = follow(client, execution_id)
    print(f"   {status}, result: {result}")
    return status


@contextmanager
def step(what: str) -> Iterator[None]:
    """Print what is done in the block, and then how long it took."""
    print(what, flush=True)
    began = time.monotonic()
    yield
    print(f"   done in {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
