"""`template.yaml` deployed to an emulator with the commands that its users run, and workers of it."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import boto3

from tests.support import sam
from tests.support.emulators import CREDENTIALS, ENVIRONMENT, REGION
from tests.support.processes import Site, wait_until

DEAD_LETTERS = ("TaskDeadLettersUrl", "StreamDeadLettersUrl", "TimerDeadLettersUrl", "SweepDeadLettersUrl")

_numbers = count(1)


class DeployedSite(Site):
    """An installation on an emulator. It shares the stack with others, so its deployment has a name of its own."""

    recovery_seconds = patience_seconds = 100.0
    """Nothing watches connections: a lease ends after 30 s, and so does that of what a lost worker's poll still got."""
    many = (30, 3)
    """The emulator runs each request that overlaps another in a process of its own, which takes a second to start."""


@dataclass(frozen=True)
class Stack:
    """A deployed stack. url: of its API. endpoint: of the emulator. key: an admin's. outputs: of the stack."""

    url: str
    endpoint: str
    key: str = field(repr=False)
    outputs: Mapping[str, str]

    def site(self, directory: Path) -> DeployedSite:
        """Reach the installation as a deployment of its own. Its workers are lent credentials for their queues."""
        environment = {**dict.fromkeys(ENVIRONMENT, ""), "AWS_ENDPOINT_URL": self.endpoint}
        return DeployedSite(directory, self.url, self.key, f"site-{next(_numbers)}", **environment)

    def dead_letters(self) -> dict[str, int]:
        """Count the messages in each dead-letter queue that has any."""
        client = boto3.client("sqs", endpoint_url=self.endpoint, region_name=REGION, **CREDENTIALS)
        name = "ApproximateNumberOfMessages"
        found = {}
        for queue in DEAD_LETTERS:
            answer = client.get_queue_attributes(QueueUrl=self.outputs[queue], AttributeNames=[name])
            found[queue] = int(answer["Attributes"][name])
        return {queue: number for queue, number in found.items() if number}


def deploy(endpoint: str, directory: Path) -> Stack:
    """Build, deploy and bootstrap a stack as the deploy guide says."""
    outputs = sam.deploy(sam.build(directory / "build"), "levante-test", endpoint)
    url = sam.reachable(outputs["ApiUrl"], endpoint)
    command = [sys.executable, "infra/bootstrap", "--stack-name", "levante-test"]
    environment = {**os.environ, **ENVIRONMENT, "AWS_ENDPOINT_URL": endpoint}
    done = subprocess.run(command, cwd=sam.ROOT, env=environment, capture_output=True, text=True, check=False)
    found = re.search(r"First API key .*: (\S+)", done.stdout)
    assert found, f"{done.stdout}\n{done.stderr}"
    stack = Stack(url, endpoint, found[1], outputs)
    site = stack.site(directory)
    wait_until(lambda: site.call("GET", "/v1/health"), "the deployed API answers")
    return stack
