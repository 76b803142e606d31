"""The restore of docs/operations.md, on an emulator: the stack goes over to a restored table, and back to its own."""

import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from levante_core.adapters.dynamodb.table import TIME_TO_LIVE
from tests.support import emulators, sam
from tests.support.processes import Refused, Site, wait_until

pytestmark = [pytest.mark.emulators, pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Installation:
    """A stack without the fast path: what arrives has come through the stream of the table in use, or from a redrive."""

    endpoint: str
    built: Path
    stack: str
    outputs: dict[str, str]
    site: Site

    def client(self, service: str) -> Any:
        return boto3.client(service, endpoint_url=self.endpoint, region_name=emulators.REGION, **emulators.CREDENTIALS)

    def use(self, table: str, label: str) -> dict[str, str]:
        """Deploy once more, over this table; none is the stack's own."""
        parameters = {**sam.LOCAL, "FastPath": "off", "RestoredTable": table, "RestoredStreamLabel": label}
        return sam.deploy(self.built, self.stack, self.endpoint, **parameters)

    def start(self) -> str:
        return str(self.site.call("POST", "/v1/workflows/w/execute", {"input": {}})["execution_id"])

    def status(self, execution: str) -> str | None:
        try:
            return str(self.site.call("GET", f"/v1/workflows/executions/{execution}")["status"])
        except Refused as refused:
            if refused.status != 404:
                raise
            return None

    def tasks(self) -> set[str]:
        """Take what the workers' queue gives out now. Returns the executions that it is about."""
        body = {"deployment_name": "shop", "worker_id": "w", "queue": "workflow", "limit": 10, "wait_seconds": 1}
        found = self.site.call("POST", "/v1/workflows/workers/poll", body)["tasks"]
        return {one["task"]["execution_id"] for one in found}

    def redrive(self) -> int:
        """Do what `levante redrive` does. Returns how many executions were sent for."""
        page = self.site.call("POST", "/v1/redrive", {})
        count = int(page["executions"])
        while page["next"]:
            page = self.site.call("POST", "/v1/redrive", {"after": page["next"]})
            count += page["executions"]
        return count

    def empty_queues(self) -> None:
        """Throw away what was sent for the table that was in use."""
        sqs = self.client("sqs")
        for url in sqs.list_queues(QueueNamePrefix=f"{self.outputs['QueuePrefix']}_")["QueueUrls"]:
            sqs.purge_queue(QueueUrl=url)


@pytest.fixture
def installation(ministack_url: str, tmp_path: Path) -> Iterator[Installation]:
    try:
        built = sam.build(tmp_path / "build")
    except emulators.EmulatorMissing as missing:
        pytest.skip(str(missing))
    stack = f"t{uuid.uuid4().hex[:8]}"
    outputs = sam.deploy(built, stack, ministack_url, **sam.LOCAL, FastPath="off")
    url = sam.reachable(outputs["ApiUrl"], ministack_url)
    yield Installation(ministack_url, built, stack, outputs, Site(tmp_path, url, first_key(stack, ministack_url)))
    sam.delete(stack, ministack_url)


def first_key(stack: str, endpoint: str) -> str:
    """Run infra/bootstrap."""
    command = [sys.executable, str(sam.ROOT / "infra/bootstrap"), "--stack-name", stack]
    environment = {**os.environ, **emulators.ENVIRONMENT, "AWS_ENDPOINT_URL": endpoint}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    (secret,) = re.findall(r"shown only now\): (\S+)", done.stdout)
    return str(secret)


def restored(installation: Installation) -> tuple[str, str]:
    """Restore the table as it is now, and give the new one what a restore leaves out. Returns its name and stream label."""
    dynamodb, name = installation.client("dynamodb"), f"{installation.stack}-restored"
    dynamodb.restore_table_to_point_in_time(
        SourceTableName=installation.outputs["TableName"], TargetTableName=name, UseLatestRestorableTime=True
    )
    dynamodb.get_waiter("table_exists").wait(TableName=name)
    stream = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    dynamodb.update_table(TableName=name, StreamSpecification=stream, DeletionProtectionEnabled=True)
    expiry = {"Enabled": True, "AttributeName": TIME_TO_LIVE}
    dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification=expiry)
    recovery = {"PointInTimeRecoveryEnabled": True}
    dynamodb.update_continuous_backups(TableName=name, PointInTimeRecoverySpecification=recovery)
    return name, dynamodb.describe_table(TableName=name)["Table"]["LatestStreamLabel"]


def test_stack_when_given_a_restored_table_then_it_works_on_that_one_and_can_go_back(installation: Installation) -> None:
    """API, keys and queues stay what they are. What came after the restore's time is not there, the rest goes on."""
    site = installation.site
    definition = {"name": "w", "task_queue": "shop", "input_schema": {}}
    site.call("POST", "/v1/workflows/register", {"definitions": [definition], "deployment_name": "shop", "worker_name": "w"})
    before = installation.start()
    name, label = restored(installation)
    after = installation.start()
    wait_until(lambda: after in installation.tasks(), "the stack's own table sends a task")

    outputs = installation.use(name, label)
    assert outputs["TableName"] == name
    assert {key for key in outputs if outputs[key] != installation.outputs[key]} == {"TableName"}
    installation.empty_queues()
    wait_until(lambda: installation.status(after) is None, "the API answers from the restored table")
    assert installation.status(before) == "RUNNING"
    assert installation.redrive() == 1
    wait_until(lambda: before in installation.tasks(), "the redrive sends what was open")
    since = installation.start()
    wait_until(lambda: since in installation.tasks(), "the stream of the restored table sends a task")

    assert installation.use('""', '""')["TableName"] == installation.outputs["TableName"]
    wait_until(lambda: installation.status(after) == "RUNNING", "the stack's own table is in use again")
    assert installation.status(since) is None
