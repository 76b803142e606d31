"""`template.yaml` deployed to an emulator with the commands that its users run, and workers of it."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import boto3

from tests.support import emulators, sam
from tests.support.emulators import CREDENTIALS, ENVIRONMENT, REGION
from tests.support.processes import Site, free_port, wait_until

DEAD_LETTERS = ("TaskDeadLettersUrl", "StreamDeadLettersUrl", "TimerDeadLettersUrl", "SweepDeadLettersUrl")

_numbers = count(1)


class DeployedSite(Site):
    """An installation on an emulator. It shares the stack with others, so its deployment has a name of its own."""

    recovery_seconds = patience_seconds = 100.0
    """Nothing watches connections: a lease ends after 30 s, and so does that of what a lost worker's poll still got."""
    many = (30, 3)
    rounds = 70
    """The emulator runs each request that overlaps another in a process of its own, which takes a second to start."""


STACK = "levante-test"


@dataclass(frozen=True)
class Stack:
    """A deployed stack. url: of its API. endpoint: of the emulator. key: an admin's. outputs: of the stack."""

    url: str
    endpoint: str
    key: str = field(repr=False)
    outputs: Mapping[str, str]

    def site(self, directory: Path, workspace: str | None = None) -> DeployedSite:
        """Reach the installation as a deployment of its own. Its workers are lent credentials for their queues.

        workspace: a new one that nobody else is in; None for the one that all others share.
        """
        environment = {**dict.fromkeys(ENVIRONMENT, ""), "AWS_ENDPOINT_URL": self.endpoint}
        key = first_key(self.endpoint, workspace) if workspace else self.key
        return DeployedSite(directory, self.url, key, f"site-{next(_numbers)}", **environment)

    def dead_letters(self) -> dict[str, int]:
        """Count the messages in each dead-letter queue that has any."""
        client = boto3.client("sqs", endpoint_url=self.endpoint, region_name=REGION, **CREDENTIALS)
        name = "ApproximateNumberOfMessages"
        found = {}
        for queue in DEAD_LETTERS:
            answer = client.get_queue_attributes(QueueUrl=self.outputs[queue], AttributeNames=[name])
            found[queue] = int(answer["Attributes"][name])
        return {queue: number for queue, number in found.items() if number}


@contextmanager
def deployed(endpoint: str, directory: Path) -> Iterator[Stack]:
    """Build, deploy and bootstrap a stack as the deploy guide says; its streams are served inside the block.

    The emulator has no Lambda Web Adapter, so its events function runs here as that would run it.
    """
    built, port = sam.build(directory / "build"), free_port()
    outputs = sam.deploy(built, STACK, endpoint, **sam.LOCAL, EventsUrl=f"http://127.0.0.1:{port}")
    url = sam.reachable(outputs["ApiUrl"], endpoint)
    stack = Stack(url, endpoint, first_key(endpoint, "default"), outputs)
    with _events_function(built.parent / "EventsFunction", stack, port, directory):
        site = stack.site(directory)
        wait_until(lambda: site.call("GET", "/v1/health"), "the deployed API answers")
        yield stack


def first_key(endpoint: str, workspace: str) -> str:
    """Make the first key of a workspace of the stack, as the deploy guide says."""
    command = [sys.executable, "infra/bootstrap", "--stack-name", STACK, "--workspace", workspace]
    environment = {**os.environ, **ENVIRONMENT, "AWS_ENDPOINT_URL": endpoint}
    done = subprocess.run(command, cwd=sam.ROOT, env=environment, capture_output=True, text=True, check=False)
    found = re.search(r"First API key .*: (\S+)", done.stdout)
    assert found, f"{done.stdout}\n{done.stderr}"
    return found[1]


@contextmanager
def _events_function(artifact: Path, stack: Stack, port: int, directory: Path) -> Iterator[None]:
    """Start what was built of the events function, with the variables it was deployed with, where the API sends clients."""
    client = boto3.client("lambda", endpoint_url=stack.endpoint, region_name=REGION, **CREDENTIALS)
    function = client.get_function_configuration(FunctionName=stack.outputs["EventsFunctionName"])
    python = emulators.install_ministack()
    (libraries,) = python.parent.parent.glob("lib/python3.*/site-packages")
    environment = {
        **ENVIRONMENT,
        **function["Environment"]["Variables"],
        "AWS_ENDPOINT_URL": stack.endpoint,
        "AWS_LAMBDA_FUNCTION_NAME": function["FunctionName"],
        "AWS_LWA_PORT": str(port),
        "LAMBDA_TASK_ROOT": str(artifact),
        "LAMBDA_RUNTIME_DIR": str(libraries),
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
    }
    log = directory / "events.log"
    with emulators.running([str(artifact / function["Handler"])], f"http://127.0.0.1:{port}", log, environment, artifact):
        yield
