"""What the files under infra/ promise one another and the code."""

import configparser
import importlib.util
import math
import re
import tomllib
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from levante.worker.settings import WorkerSettings
from levante_core.adapters.sqs.client import full_name
from levante_core.domain.names import Workspace
from levante_core.domain.worker_pool import WorkerPool
from levante_core.protocol.workers import TaskQueue
from levante_core.services.dispatch.sender import queue_name
from levante_core.storage.catalogue import Role
from tests.support.place import Place
from tests.support.sam import load_template, of_type

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ECS = load_template(ROOT / "infra/ecs.yaml")
SPACE = Workspace("default")


# --- artifacts --------------------------------------------------------------------------------------------------------


FUNCTIONS, WHEEL, BUILD = (
    "functions/requirements.txt",
    "worker_runtime/requirements.txt",
    "worker_runtime/build-requirements.txt",
)
EXTRAS = [line for extra in PROJECT["project"]["optional-dependencies"].values() for line in extra]
WANTED = {
    FUNCTIONS: PROJECT["dependency-groups"]["functions"],
    WHEEL: [*PROJECT["project"]["dependencies"], *EXTRAS],
    BUILD: PROJECT["build-system"]["requires"],
}
"""What each file of pins is made from."""


def pins(path: str) -> dict[NormalizedName, str]:
    lines = (ROOT / path).read_text().splitlines()
    found = [re.fullmatch(r"([A-Za-z0-9._-]+)==(\S+)( ; .+?)?( \\)?", line) for line in lines]
    return {canonicalize_name(match[1]): match[2] for match in found if match}


@pytest.mark.parametrize("path", WANTED)
def test_pins_when_compared_with_the_project_then_every_version_is_one_that_it_allows(path: str) -> None:
    """What is installed is what the tests ran on: versions have one source, which the pins only narrow."""
    lines = [*PROJECT["project"]["dependencies"], *EXTRAS, *PROJECT["build-system"]["requires"]]
    allowed = {canonicalize_name(one.name): one.specifier for one in map(Requirement, lines)}
    pinned = pins(path)
    assert {canonicalize_name(Requirement(line).name) for line in WANTED[path]} <= pinned.keys()
    assert {name: version for name, version in pinned.items() if name in allowed and version not in allowed[name]} == {}


@pytest.mark.parametrize("path", WANTED)
def test_pins_when_compared_with_what_they_need_then_each_is_needed_and_none_is_missing(path: str) -> None:
    """A file of pins is closed: a dependency that was dropped is not installed for ever. Versions here are much the same."""
    pinned, waiting = pins(path), [Requirement(line) for line in WANTED[path]]
    reached: set[NormalizedName] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in reached or name not in pinned:
            continue
        reached.add(name)
        with suppress(PackageNotFoundError):  # hatchling and what it needs are in no environment of the tests
            waiting += _needed(requirement)
    only_there = {"aws-xray-sdk", "wrapt"}  # what the tracer needs; no environment of the tests has it
    assert path == BUILD or pinned.keys() - reached - only_there == set()


def _needed(requirement: Requirement) -> list[Requirement]:
    needs = map(Requirement, requires(requirement.name) or [])
    extras = ["", *requirement.extras]
    return [one for one in needs if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in extras)]


def test_group_when_read_then_it_names_packages_of_the_project_and_no_versions() -> None:
    """A second list of versions would drift from the first."""
    group = [Requirement(line) for line in PROJECT["dependency-groups"]["functions"]]
    assert [str(one.specifier) for one in group] == [""] * len(group)
    assert {one.name for one in group} <= {Requirement(line).name for line in PROJECT["project"]["dependencies"]}


@pytest.mark.parametrize("path", WANTED)
def test_pins_when_installed_then_each_is_checked(path: str) -> None:
    """Installing refuses what has another hash."""
    packages = [package for package in re.split(r"\n(?=[a-z])", (ROOT / path).read_text()) if "==" in package]
    assert len(packages) == len(pins(path))
    assert all("--hash=sha256:" in package for package in packages)


def test_pins_of_functions_when_read_then_the_aws_sdk_is_the_runtimes() -> None:
    """boto3 stays out of the artifacts."""
    assert not {"boto3", "botocore"} & pins(FUNCTIONS).keys()


# --- the first key ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bootstrap() -> ModuleType:
    pytest.importorskip("boto3")
    spec = importlib.util.spec_from_file_location("bootstrap", ROOT / "infra/bootstrap/__main__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_first_key_when_there_is_none_then_an_admin_is_made_and_only_a_hash_is_kept(
    place: Place, bootstrap: ModuleType
) -> None:
    """The secret that is printed is the only copy."""
    keys = place.engine.api_keys
    secret = bootstrap.first_key(keys, SPACE)
    assert keys.authenticate(secret).role is Role.ADMIN
    (kept,) = keys.list(SPACE)
    assert secret not in repr(kept)


def test_first_key_when_there_is_one_then_no_second_is_made(place: Place, bootstrap: ModuleType) -> None:
    """Running it again changes nothing."""
    assert bootstrap.first_key(place.engine.api_keys, SPACE)
    assert bootstrap.first_key(place.engine.api_keys, SPACE) is None
    assert len(place.engine.api_keys.list(SPACE)) == 1


def test_first_key_when_it_was_revoked_then_another_is_made(place: Place, bootstrap: ModuleType) -> None:
    """Who lost the first key, or whose first key leaked, gets a new one."""
    keys = place.engine.api_keys
    bootstrap.first_key(keys, SPACE)
    (first,) = keys.list(SPACE)
    keys.revoke(SPACE, first.key_id)
    assert keys.authenticate(bootstrap.first_key(keys, SPACE)).key_id != first.key_id


@pytest.mark.parametrize(("option", "name"), [("--workspace", "a#b"), ("--workspace", ""), ("--deployment", "a b")])
def test_bootstrap_when_a_name_is_not_allowed_then_it_says_so_and_calls_nobody(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: str, name: str
) -> None:
    """A key for a workspace that no request can reach would be of no use, and its secret would be lost."""
    called: list[str] = []
    monkeypatch.setattr(bootstrap.boto3, "client", lambda service, **_: called.append(service))
    assert bootstrap.main([option, name]) == 1
    assert called == []
    assert f"bootstrap: {option.strip('-')}" in capsys.readouterr().err


def test_outputs_when_the_stack_is_another_one_then_the_error_says_what_is_missing(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key in a table of somebody else's would be of no use."""

    class Stacks:
        def describe_stacks(self, **_: str) -> dict[str, Any]:
            return {"Stacks": [{"Outputs": [{"OutputKey": "ApiUrl", "OutputValue": "https://x"}]}]}

    monkeypatch.setattr(bootstrap.boto3, "client", lambda *_args, **_options: Stacks())
    with pytest.raises(LookupError, match="BucketName, QueuePrefix, TableName, TaskDeadLettersArn"):
        bootstrap.stack_outputs("other", None)


def test_outputs_when_the_template_is_read_then_it_has_all_that_bootstrap_asks_for(bootstrap: ModuleType) -> None:
    """The two are deployed apart and must not drift apart."""
    outputs = dict.fromkeys(load_template()["Outputs"], "x")
    assert bootstrap.settings_of(outputs).table == "x"
    assert {"ApiUrl", "TaskDeadLettersArn"} <= outputs.keys()


# --- workers ----------------------------------------------------------------------------------------------------------

DRAINS = 2
"""How often a stopping worker waits for DRAIN_SECONDS: for its activities, then for runs that are being advanced."""


def test_unit_when_the_worker_is_stopped_then_it_has_time_to_drain() -> None:
    """Who is killed in the middle loses leases, and others wait for these to end."""
    unit = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(ROOT / "infra/levante-worker.service")
    service = unit["Service"]
    drain = WorkerSettings.model_fields["drain_seconds"].default
    assert float(service["TimeoutStopSec"]) > DRAINS * drain
    assert service["KillSignal"] == "SIGTERM"
    assert service["DynamicUser"] == service["NoNewPrivileges"] == "yes"


@pytest.mark.parametrize("name", ["levante-host.service", "levante-worker.service"])
def test_unit_when_something_in_it_is_taken_over_then_it_can_do_little(name: str) -> None:
    """A program that others call, or that runs others' code, has no rights beyond its own directory."""
    service = _service(name)
    assert service["DynamicUser"] == service["NoNewPrivileges"] == "yes"
    assert (service["ProtectSystem"], service["Restart"]) == ("strict", "always")


def test_unit_of_the_backup_when_it_runs_then_it_copies_the_directory_of_the_host() -> None:
    """The one has the data where the other expects it."""
    data = re.search(r"--data (\S+)", _service("levante-host.service")["ExecStart"])
    copied = re.search(r"--data (\S+)", _service("levante-backup.service")["ExecStart"])
    assert data
    assert copied
    assert data[1] == copied[1] == f"/var/lib/{_service('levante-host.service')['StateDirectory']}"


def _service(name: str) -> Any:
    unit = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(ROOT / "infra" / name)
    return unit["Service"]


def _container() -> dict[str, Any]:
    (task,) = of_type(ECS, "AWS::ECS::TaskDefinition").values()
    (container,) = task["ContainerDefinitions"]
    return dict(container)


def test_task_when_stopped_then_it_has_time_to_drain() -> None:
    """As above, within what Fargate allows. Source: ECS API, ContainerDefinition, stopTimeout (read 2026-11-23)."""
    container = _container()
    drain = next(float(one["Value"]) for one in container["Environment"] if one["Name"] == "DRAIN_SECONDS")
    assert DRAINS * drain < container["StopTimeout"] <= 120


def test_task_when_started_then_its_key_comes_from_a_secret_and_nobody_can_reach_it() -> None:
    """No key in clear, no open port, no root."""
    container = _container()
    assert [one["Name"] for one in container["Secrets"]] == ["LEVANTE_API_KEY"]
    assert "LEVANTE_API_KEY" not in {one["Name"] for one in container["Environment"]}
    assert "PortMappings" not in container
    assert container["ReadonlyRootFilesystem"] is True
    assert container["User"] in (ROOT / "worker_runtime/Dockerfile").read_text()
    (group,) = of_type(ECS, "AWS::EC2::SecurityGroup").values()
    assert "SecurityGroupIngress" not in group


def test_task_when_checked_then_it_is_what_the_image_says() -> None:
    """ECS does not look at the image's own health check."""
    check = _container()["HealthCheck"]
    (said,) = re.findall(r"HEALTHCHECK (.*) CMD \[(.*)\]", (ROOT / "worker_runtime/Dockerfile").read_text())
    options = dict(re.findall(r"--(\S+?)=(\d+)", said[0]))
    named = {"interval": "Interval", "timeout": "Timeout", "start-period": "StartPeriod", "retries": "Retries"}
    assert {named[name]: int(value) for name, value in options.items()} == {
        name: value for name, value in check.items() if name != "Command"
    }
    assert check["Command"] == ["CMD", *re.findall(r'"([^"]+)"', said[1])]


def test_service_when_it_has_nothing_to_do_then_it_goes_down_to_none_and_comes_back() -> None:
    """Nothing runs when nothing happens, and any task that waits where no worker runs starts one."""
    assert ECS["Parameters"]["MinWorkers"]["Default"] == 0
    alarms = of_type(ECS, "AWS::CloudWatch::Alarm")
    more, idle = (alarms[name]["Metrics"][0]["Expression"] for name in ("MoreAlarm", "IdleAlarm"))
    for tasks, running, expected in [(1, 0, 1.0), (0, 0, 0.0), (100, 1, 2.0), (50, 2, 0.5)]:
        values = {"runs": tasks - tasks // 2, "activities": tasks // 2, "running": running}
        assert _evaluated(more["Fn::Sub"].replace("${TasksPerWorker}", "50"), values) == pytest.approx(expected)
    held = {"runs": 0, "activities": 0, "heldruns": 1, "heldactivities": 0}
    assert _evaluated(idle, held) == 1


class Sample(float):
    """A number of CloudWatch's: divided by zero it is missing, and no error."""

    def __add__(self, other: float) -> "Sample":
        return Sample(float(self) + other)

    def __truediv__(self, other: float) -> "Sample":
        return Sample(float(self) / other if other else math.nan)


def _evaluated(expression: str, values: dict[str, int]) -> float:
    """Do the arithmetic of a metric expression where no sample is missing."""
    functions = {"IF": lambda condition, yes, no: yes if condition else no, "FILL": lambda value, _: value}
    samples = {name: Sample(value) for name, value in values.items()}
    return float(eval(expression, {"__builtins__": {}}, {**functions, **samples}))  # noqa: S307 - our own file


def test_oldest_task_when_it_waits_too_long_then_the_alarm_tells_whom_the_services_own_alarms_tell() -> None:
    """Both templates take the same parameters, and an alarm that tells nobody is a picture."""
    service = load_template()
    for name in ("AlarmTopicArn", "AlarmEmail"):
        assert ECS["Parameters"][name] == service["Parameters"][name]
    for name in ("HasAlarmTopic", "HasAlarmEmail"):
        assert ECS["Conditions"][name] == service["Conditions"][name]
    alarms = of_type(service, "AWS::CloudWatch::Alarm")
    actions = of_type(ECS, "AWS::CloudWatch::Alarm")["OldestTaskAlarm"]["AlarmActions"]
    assert actions == alarms["TimersAgeAlarm"]["AlarmActions"]
    assert of_type(ECS, "AWS::SNS::Topic").keys() == {"AlarmTopic"}


@pytest.mark.parametrize("queue", list(TaskQueue))
def test_queue_names_when_printed_then_the_service_takes_them(queue: TaskQueue) -> None:
    """What bootstrap prints are the parameters of ecs.yaml."""
    parameter = {TaskQueue.WORKFLOW: "WorkflowQueueName", TaskQueue.ACTIVITY: "ActivityQueueName"}[queue]
    name = full_name("levante", queue_name(SPACE, WorkerPool.parse("shop"), queue))
    assert re.fullmatch(ECS["Parameters"][parameter]["AllowedPattern"], name)
