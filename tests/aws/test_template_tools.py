"""What the real tools say about `template.yaml` and its neighbours, and what `sam build` makes of it."""

import subprocess
from pathlib import Path

import pytest

from tests.support import emulators, sam

pytestmark = [pytest.mark.emulators, pytest.mark.timeout(900)]

MOST_BYTES = 30_000_000
FUNCTIONS = {
    "ApiFunction": "levante_api.lambda_function",
    "EventsFunction": "levante_events.lambda_app",
    "StreamFunction": "levante_dispatcher.lambda_function",
    "TimersFunction": "levante_dispatcher.lambda_function",
    "SweepFunction": "levante_dispatcher.lambda_function",
}


@pytest.fixture(scope="module", autouse=True)
def tools() -> None:
    try:
        sam.install_tools()
    except emulators.EmulatorMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module", params=["default", "local"])
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What `sam build` makes for AWS, and for an emulator on this machine."""
    into = tmp_path_factory.mktemp(request.param) / "build"
    return request.param, sam.build(into, config=request.param).parent


@pytest.mark.parametrize("template", ["template.yaml", "infra/ecs.yaml"])
def test_templates_when_linted_then_cfn_lint_has_nothing_to_say(template: str) -> None:
    """Warnings count: cfn-lint fails on them."""
    assert sam.run("cfn-lint", template) == ""


def test_template_when_validated_then_sam_accepts_it() -> None:
    """The transform, and the lint that SAM does on its result."""
    assert "is a valid SAM Template" in sam.run("sam", "validate", "--lint")


def test_dockerfile_when_linted_then_hadolint_has_nothing_to_say() -> None:
    """Exceptions are in the file, with their reasons."""
    assert sam.run("hadolint", "worker_runtime/Dockerfile") == ""


def test_artifacts_when_built_then_each_is_small(built: tuple[str, Path]) -> None:
    """Small artifacts start fast. The AWS SDK comes with the runtime."""
    _, place = built
    for function in FUNCTIONS:
        files = [path for path in (place / function).rglob("*") if path.is_file()]
        assert 0 < sum(path.stat().st_size for path in files) < MOST_BYTES
        assert not {"boto3", "botocore"} & {path.name for path in (place / function).iterdir()}


def test_artifacts_when_built_then_their_libraries_are_for_the_architecture_of_the_function(
    built: tuple[str, Path],
) -> None:
    """One parameter decides what the functions run on and what they are built for."""
    config, place = built
    machine = {"default": b"\xb7", "local": b"\x3e"}[config]
    libraries = [path for function in FUNCTIONS for path in (place / function).rglob("*.so")]
    assert libraries
    # The machine of an ELF file, at offset 18: 0xB7 is AArch64, 0x3E x86-64. Source: elf(5) (read 2026-11-23).
    assert {path.read_bytes()[18:19] for path in libraries} == {machine}
    functions = sam.of_type(sam.load_template(place / "template.yaml"), "AWS::Serverless::Function")
    assert {function["CodeUri"] for function in functions.values()} == set(FUNCTIONS)


def test_artifacts_when_built_again_then_they_are_the_same(built: tuple[str, Path], tmp_path: Path) -> None:
    """Who builds the same commit gets the same bytes, so what is deployed can be told from its source."""
    config, place = built
    if config != "default":
        pytest.skip("once is enough: a build takes half a minute")
    again = sam.build(tmp_path / "again", config=config).parent
    for function in FUNCTIONS:
        assert _files(again / function) == _files(place / function)


def _files(place: Path) -> dict[str, tuple[float, bytes]]:
    found = [path for path in place.rglob("*") if path.is_file()]
    return {str(path.relative_to(place)): (path.stat().st_mtime, path.read_bytes()) for path in found}


@pytest.mark.parametrize("function", sorted(FUNCTIONS))
def test_artifacts_when_imported_then_everything_they_need_is_there(built: tuple[str, Path], function: str) -> None:
    """The artifact and what the runtime has, which here is the emulator's environment: nothing of this checkout."""
    config, place = built
    if config != "local":
        pytest.skip("its libraries are for another machine")
    python = emulators.install_ministack()
    code = (
        f"import sys; sys.path.insert(0, {str(place / function)!r})\n"
        f"import {FUNCTIONS[function]}, jsonschema_rs, aws_xray_sdk.core\n"
        "jsonschema_rs.Draft202012Validator({'type': 'object'}).validate({})\n"
        f"outside = [m for m in sys.modules if m.startswith('levante') and not "
        f"sys.modules[m].__file__.startswith({str(place)!r})]\n"
        "assert outside == [], outside\n"
    )
    environment = {
        **emulators.ENVIRONMENT,
        "AWS_LAMBDA_FUNCTION_NAME": function,
        "LEVANTE_TABLE": "t",
        "LEVANTE_BUCKET": "b",
        "LEVANTE_QUEUE_PREFIX": "p",
        "LEVANTE_DEAD_LETTER_ARN": "arn:aws:sqs:us-east-1:123456789012:p-dead-letters.fifo",
    }
    done = subprocess.run(
        [str(python), "-I", "-B", "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
