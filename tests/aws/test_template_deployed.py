"""`template.yaml`, built and deployed with the real SAM CLI: requests through the gateway, work through the stream."""

import json
import re
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from levante_core.adapters.sqs.client import full_name
from tests.support import emulators, sam
from tests.support.processes import wait_until

pytestmark = [pytest.mark.emulators, pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Deployed:
    """A deployed stack. url: of its API. key: the first admin's."""

    emulator: str
    outputs: dict[str, str]
    url: str
    key: str

    def call(self, method: str, path: str, body: Any = None, key: str | None = None) -> Any:
        """Ask the API. Returns the answer's document."""
        headers = {"Authorization": f"Bearer {key or self.key}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(
            urllib.request.Request(self.url + path, data, headers, method=method), timeout=40
        ) as got:
            content = got.read()
        return json.loads(content) if content else None

    def client(self, service: str) -> Any:
        """Make a client of the emulator."""
        return boto3.client(service, endpoint_url=self.emulator, region_name=emulators.REGION, **emulators.CREDENTIALS)

    def dead_letters(self) -> dict[str, str]:
        """Return the dead-letter queues that have anything in them, and how much."""
        urls = {name: url for name, url in self.outputs.items() if name.endswith("DeadLettersUrl")}
        assert len(urls) == 4
        sqs, count = self.client("sqs"), "ApproximateNumberOfMessages"
        found = {
            name: sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[count])["Attributes"][count]
            for name, url in urls.items()
        }
        return {name: messages for name, messages in found.items() if messages != "0"}


@pytest.fixture(scope="module")
def strict_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An emulator that checks signatures, and what roles may do: a permission that is missing shows here."""
    try:
        with emulators.ministack(tmp_path_factory.mktemp("strict") / "log", AUTH="true") as url:
            yield url
    except emulators.EmulatorMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def deployed(strict_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """The stack without the fast path, so that whatever arrives has come through the table's stream.

    When all tests are over, nothing may have been given up on the way.
    """
    try:
        built = sam.build(tmp_path_factory.mktemp("sam") / "build")
    except emulators.EmulatorMissing as missing:
        pytest.skip(str(missing))
    with_batch_actions(built)
    stack = f"t{uuid.uuid4().hex[:8]}"
    outputs = sam.deploy(built, stack, strict_url, **sam.LOCAL, FastPath="off", AlarmEmail="nobody@example.com")
    s3 = boto3.client("s3", endpoint_url=strict_url, region_name=emulators.REGION, **emulators.CREDENTIALS)
    s3.delete_bucket_policy(Bucket=outputs["BucketName"])  # it demands TLS, which the emulator does not speak
    said = re.search(r"shown only now\): (\S+)", bootstrap(strict_url, stack))
    assert said
    place = Deployed(strict_url, {**outputs, "Stack": stack}, sam.reachable(outputs["ApiUrl"], strict_url), said[1])
    yield place
    assert place.dead_letters() == {}
    sam.delete(stack, strict_url)


def with_batch_actions(built: Path) -> None:
    """Name the batch requests of SQS too: AWS allows them by the action of the single one, this emulator does not.

    Source: SQS developer guide, SQS API permissions (read 2026-11-23).
    """
    single = r"^( *- sqs:(?:ChangeMessageVisibility|DeleteMessage|SendMessage))$"
    text, count = re.subn(single, r"\1\n\1Batch", built.read_text(), flags=re.MULTILINE)
    assert count
    built.write_text(text)


def bootstrap(url: str, stack: str) -> str:
    """Run infra/bootstrap. Returns what it prints."""
    command = [sys.executable, str(sam.ROOT / "infra/bootstrap"), "--stack-name", stack, "--deployment", "shop"]
    environment = {**emulators.ENVIRONMENT, "AWS_ENDPOINT_URL": url, "PATH": str(Path(sys.executable).parent)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def registered(deployed: Deployed, deployment: str) -> None:
    definition = {"name": f"w-{deployment}", "task_queue": deployment, "input_schema": {}}
    body = {"definitions": [definition], "deployment_name": deployment, "worker_name": "w"}
    deployed.call("POST", "/v1/workflows/register", body)


def tasks(deployed: Deployed, deployment: str) -> list[dict[str, Any]]:
    body = {"deployment_name": deployment, "worker_id": "w", "queue": "workflow", "limit": 10, "wait_seconds": 1}
    return [one["task"] for one in deployed.call("POST", "/v1/workflows/workers/poll", body)["tasks"]]


def test_api_when_deployed_then_it_answers_through_the_gateway(deployed: Deployed) -> None:
    """The one route leads everything to the function, which knows its version."""
    assert deployed.call("GET", "/v1/health")["status"] == "ok"
    assert deployed.call("GET", "/v1/health")["version"] != "unknown"


def test_bootstrap_when_run_again_then_there_is_still_one_key(deployed: Deployed) -> None:
    """The secret is shown once, and a second run makes no second one."""
    again = bootstrap(deployed.emulator, deployed.outputs["Stack"])
    assert deployed.key not in again
    assert [key["name"] for key in deployed.call("GET", "/v1/keys")["keys"]] == ["first"]


def test_execution_when_started_without_the_fast_path_then_the_stream_brings_its_task(deployed: Deployed) -> None:
    """Table, stream, filter, dispatcher and FIFO queue are connected; nothing but the stream sent this task."""
    registered(deployed, "shop")
    started = deployed.call("POST", "/v1/workflows/w-shop/execute", {"input": {"a": 1}})
    (task,) = wait_until(lambda: tasks(deployed, "shop"), "the workflow task arrives")
    assert task["execution_id"] == started["execution_id"]
    assert task["start"]["input"] == {"a": 1}


def test_queues_when_a_worker_registers_then_they_have_the_dead_letters_of_the_template(deployed: Deployed) -> None:
    """Queues of deployments are not in the template, but what they give up ends in one that is, with its alarm."""
    registered(deployed, "letters")
    sqs = deployed.client("sqs")
    urls = sqs.list_queues(QueueNamePrefix=full_name(deployed.outputs["QueuePrefix"], "letters-"))["QueueUrls"]
    assert len(urls) == 2
    for url in urls:
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        policy = json.loads(attributes["RedrivePolicy"])
        assert policy["deadLetterTargetArn"] == deployed.outputs["TaskDeadLettersArn"]


def test_input_when_large_then_it_goes_through_the_bucket(deployed: Deployed) -> None:
    """Documents over 64 KiB leave a reference in the table; the function's role reads and writes the payloads."""
    registered(deployed, "large")
    text = "x" * 200_000
    started = deployed.call("POST", "/v1/workflows/w-large/execute", {"input": {"text": text}})
    kept = deployed.client("s3").list_objects_v2(Bucket=deployed.outputs["BucketName"]).get("Contents", [])
    assert [one["Size"] for one in kept if one["Size"] > len(text)]
    (task,) = wait_until(lambda: tasks(deployed, "large"), "the workflow task arrives")
    assert task["execution_id"] == started["execution_id"]


def test_timeout_when_due_then_the_timers_queue_and_its_function_end_the_execution(deployed: Deployed) -> None:
    """The stream sends the deadline as a delayed message, and the timers function records that it has passed."""
    definition = {"name": "w-brief", "task_queue": "brief", "input_schema": {}, "execution_timeout": 2}
    body = {"definitions": [definition], "deployment_name": "brief", "worker_name": "w"}
    deployed.call("POST", "/v1/workflows/register", body)
    started = deployed.call("POST", "/v1/workflows/w-brief/execute", {"input": {}})
    path = f"/v1/workflows/executions/{started['execution_id']}"
    wait_until(lambda: deployed.call("GET", path)["status"] == "TIMED_OUT", "the execution times out")


def test_sweep_when_invoked_then_its_role_lets_it_do_its_work(deployed: Deployed) -> None:
    """It reads timers and open runs, which neither the API nor a fresh installation shows to be allowed."""
    registered(deployed, "swept")
    deployed.call("POST", "/v1/workflows/w-swept/execute", {"input": {}})
    answer = deployed.client("lambda").invoke(FunctionName=deployed.outputs["SweepFunctionName"], Payload=b"{}")
    assert "FunctionError" not in answer
    assert json.loads(answer["Payload"].read()) == {}


def test_execution_when_it_expires_then_the_stream_has_the_rest_of_it_deleted(deployed: Deployed) -> None:
    """The table deletes one item, as its time to live would; filter and role let the dispatcher do the rest."""
    definition = {"name": "w-old", "task_queue": "old", "input_schema": {}, "signals": [{"name": "s", "input_schema": {}}]}
    body = {"definitions": [definition], "deployment_name": "old", "worker_name": "w"}
    deployed.call("POST", "/v1/workflows/register", body)
    started = deployed.call("POST", "/v1/workflows/w-old/execute", {"input": {}})
    path = f"/v1/workflows/executions/{started['execution_id']}"
    deployed.call("POST", f"{path}/signals", {"name": "s", "input": {"text": "x" * 123_456}})
    deployed.call("POST", f"{path}/terminate")
    table, bucket = deployed.outputs["TableName"], deployed.outputs["BucketName"]
    dynamodb, s3 = deployed.client("dynamodb"), deployed.client("s3")

    def history() -> list[Any]:
        asked = {":p": {"S": f"H#default#{started['run_id']}"}}
        found: list[Any] = dynamodb.query(
            TableName=table, KeyConditionExpression="pk = :p", ExpressionAttributeValues=asked
        )["Items"]
        return found

    def payload() -> list[int]:
        kept = s3.list_objects_v2(Bucket=bucket).get("Contents", [])
        return [one["Size"] for one in kept if 123_456 < one["Size"] < 124_456]

    assert (len(history()), len(payload())) == (2, 1)
    dynamodb.delete_item(TableName=table, Key={"pk": {"S": f"X#default#{started['execution_id']}"}, "sk": {"S": "X"}})
    wait_until(lambda: not history() and not payload(), "all of it is deleted")
