"""The API does what its OpenAPI document says, whatever it is sent: requests are made of the document by schemathesis.

`make fuzz-api` does the same for as long as LEVANTE_FUZZ_SECONDS says, each time with other requests.
"""

import os
from collections.abc import Iterator
from itertools import chain
from typing import Any

import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from levante_api.openapi.document import TAGS
from tests.integration.api.described import Installation, with_known
from tests.integration.api.harness import SECRETS
from tests.support.forms import is_full

SECONDS = int(os.environ.get("LEVANTE_FUZZ_SECONDS", "0"))
"""How long to go on; 0 for a few requests of every kind, the same each time; the full form meets all limits of fields."""

CHECKS = {
    # Who waits for a result or an answer and gets none in time is told so; the document says where that may be.
    "not_a_server_error": {"expected-statuses": ["2xx", "3xx", "4xx", "504"]},
    # What a valid request meets is a matter of state: ids that are in use, schemas of workflows, cursors that are gone.
    "positive_data_acceptance": {"enabled": False},
    # `PUT /v1/workflows/runs` changes the workflow called `runs`: the header is right, the document has a pattern there.
    "allow_header_conformance": {"enabled": False},
}
ROUTES = {"deployments", "executions", "registrations", "runs", "schedules"}
"""What workflows cannot be asked for by, whatever they are called: listings are there."""
BOUNDED: dict[str, Any] = {
    "seed": 1,
    "generation": {"max-examples": 2, "deterministic": True, "database": "none"},
    "phases": {"stateful": {"enabled": False}, "coverage": {"enabled": is_full()}},
}
LONG: dict[str, Any] = {"max-time": SECONDS, "generation": {"max-examples": 100_000, "database": "none"}}


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    made = Installation(tmp_path_factory.mktemp("described"))
    yield made
    made.close()


def failures(installation: Installation, settings: dict[str, Any], tag: str | None = None) -> list[str]:
    """Call the operations of a tag, or all of them. Returns what is not as described, with the request that shows it."""
    headers = {"Authorization": f"Bearer {SECRETS['admin']}"}
    settings = {**settings, "checks": CHECKS, "headers": headers, "cache": {"enabled": False}}
    described = with_known(installation.document, installation.known)
    schema = schemathesis.openapi.from_dict(described, config=SchemathesisConfig.from_dict(settings))
    schema.app = installation
    chosen = schema.include(tag=tag) if tag else schema
    chosen.hook("filter_path_parameters")(_is_a_path)
    found: dict[tuple[str | None, str, str], str] = {}
    called: set[str | None] = set()
    for happened in from_schema(chosen).execute():
        match happened:
            case events.ScenarioFinished() | events.FuzzScenarioFinished():
                called.add(happened.recorder.label)
                for check in chain.from_iterable(happened.recorder.checks.values()):
                    if (info := check.failure_info) is not None:
                        shown = f"{info.failure.title}: {info.failure.message}\n{info.code_sample}"
                        found.setdefault((happened.recorder.label, check.name, info.failure.title), shown)
            case events.NonFatalError():
                found[happened.label, "error", type(happened.value).__name__] = str(happened.value)
            case events.FatalError():
                raise happened.exception
    assert called, "no operation was called"
    return [f"{label}, {name}: {shown}" for (label, name, _), shown in found.items()]


def _is_a_path(context: Any, path_parameters: dict[str, Any] | None) -> bool:
    """Leave out ids that would end the path, as the client does not encode them, and those that are paths of others."""
    values = [str(value) for value in (path_parameters or {}).values()]
    return not any("#" in value or value in ROUTES for value in values)


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 300)
@pytest.mark.parametrize("tag", [None] if SECONDS else TAGS)
def test_operations_when_called_with_all_that_they_describe_then_they_answer_as_described(
    installation: Installation, tag: str | None
) -> None:
    """No 5xx, no status, type or field that is not described, nothing malformed let in, and nobody without a key."""
    found = failures(installation, LONG if SECONDS else BOUNDED, tag)
    assert not found, "\n\n".join(found)
