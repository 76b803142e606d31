import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.api.harness import Api

REQUESTS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("official_client_requests.json").read_text())
"""What the official client (3.7.0 and 2.10.1) sends, with our names in it, and how it is answered."""

HEADERS = {"accept": "application/json", "user-agent": "mistral-client-python/3.7.0"}


@pytest.fixture
def stocked(api: Api) -> Api:
    api.register("greet")
    api.register("lenient", input_schema={})
    for execution_id in ("e0", "e1"):
        api.clock.advance(1)
        api.start(execution_id)
    return api


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request_: request_["what"])
def test_request_of_the_official_client_when_sent_then_it_is_answered_as_the_client_expects(
    stocked: Api, request_: dict[str, Any]
) -> None:
    """Success codes are matched exactly; a 422 has a list; a filter that we lack is refused, never ignored."""
    names = {
        "{registration}": stocked.call("GET", "/v1/workflows/registrations").body["workflow_registrations"][0]["id"],
        "{workflow_cursor}": stocked.call("GET", "/v1/workflows", query="limit=1").body["next_cursor"],
        "{run_token}": stocked.call("GET", "/v1/workflows/runs", query="page_size=1").body["next_page_token"],
    }
    path, query = request_["path"], request_["query"]
    for name, value in names.items():
        path, query = path.replace(name, value), query.replace(name, value)
    headers = {**HEADERS, **({"traceparent": request_["body"]["traceparent"]} if "execute" in path else {})}
    answer = stocked.call(request_["method"], path, request_["body"], query=query, headers=headers, key="client")
    assert answer.status == request_["status"], answer
    if answer.status == 204:
        assert answer.body is None
    else:
        assert answer.headers["Content-Type"] == "application/json"
    if answer.status == 422:
        assert all({"loc", "msg", "type"} <= problem.keys() for problem in answer.body["detail"])
