"""What a Lambda function imports before its first request: modules are counted, as milliseconds depend on the machine."""

import json
import os
import subprocess
import sys
from functools import cache

import pytest

API, DISPATCHER = "levante_api.lambda_function", "levante_dispatcher.lambda_function"

MOST_MODULES = {API: 890, DISPATCHER: 825}
"""Some 70 above what they are, as each Python has its own. The AWS SDK brings half of them."""

HEAVY = {
    "aiohttp": "is for workers",
    "aws_lambda_powertools.event_handler.openapi.models": "is for the OpenAPI document, which few ask for",
    "aws_xray_sdk": "is for traces, which are off",
    "click": "is for the command line",
    "jsonschema_rs": "is for the first input that is checked",
    "levante": "is for workers",
    "levante_local": "is for one machine",
    "pydantic.v1": "is a whole second pydantic",
    "sqlite3": "is for one machine",
}
ENVIRONMENT = {
    "AWS_LAMBDA_FUNCTION_NAME": "f",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "LEVANTE_TABLE": "t",
    "LEVANTE_BUCKET": "b",
    "LEVANTE_QUEUE_PREFIX": "p",
    "LEVANTE_DEAD_LETTER_ARN": "arn:aws:sqs:us-east-1:123456789012:p-dead-letters.fifo",
}


@cache
def imported(module: str) -> frozenset[str]:
    """Return the modules that are there once a fresh interpreter has imported one."""
    code = f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"
    environment = {**{name: value for name, value in os.environ.items() if name == "PATH"}, **ENVIRONMENT}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return frozenset(json.loads(done.stdout))


@pytest.mark.slow
@pytest.mark.parametrize("function", [API, DISPATCHER])
def test_function_when_imported_then_what_is_heavy_and_not_needed_at_once_is_not_there(function: str) -> None:
    """Whoever starts the first execution after a pause waits for every import."""
    assert {name: why for name, why in HEAVY.items() if name in imported(function)} == {}


@pytest.mark.parametrize("function", [API, DISPATCHER])
def test_function_when_imported_then_the_number_of_modules_is_bounded(function: str) -> None:
    """An import that drags in a hundred others is noticed when it is made."""
    assert len(imported(function)) <= MOST_MODULES[function]


@pytest.mark.slow
def test_dispatcher_when_imported_then_it_brings_no_http() -> None:
    """Resolvers and middlewares are the API's."""
    assert not [name for name in imported(DISPATCHER) if name.startswith("aws_lambda_powertools.event_handler")]


@pytest.mark.slow
def test_function_when_its_settings_are_missing_then_it_says_which() -> None:
    """A function that was deployed by hand fails at once, and its log tells why."""
    code = f"import {API}"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "WrongSettings: LEVANTE_TABLE is missing; LEVANTE_BUCKET is missing" in done.stderr
