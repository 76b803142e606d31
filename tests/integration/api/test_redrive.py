import pytest

from levante_core.services.dispatch import redrive
from tests.integration.api.harness import Api


def lose(api: Api) -> int:
    """Take all workflow tasks off the queue for good. Returns how many there were."""
    tasks = api.poll()
    request = {"deployment_name": "prod", "queue": "workflow", "done": [task["receipt"] for task in tasks]}
    assert api.call("POST", "/v1/workflows/workers/leases", request, key="worker").status == 200
    return len(tasks)


def test_redrive_when_messages_were_lost_then_every_open_execution_has_its_task_again(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Queues are disposable. A long redrive is done in parts, each of which says where the next one begins."""
    monkeypatch.setattr(redrive, "REDRIVE_PAGE", 2)
    api.register("greet")
    ids = {f"e{number}" for number in range(9)}
    for execution_id in ids:
        api.start(execution_id)
    assert lose(api) == 9
    body: dict[str, str] = {}
    count = calls = 0
    while True:
        answer = api.call("POST", "/v1/redrive", body).body
        count, calls = count + answer["executions"], calls + 1
        if answer["next"] is None:
            break
        body = {"after": answer["next"]}
    assert (count, calls > 1) == (9, True)
    assert {task["task"]["execution_id"] for task in api.poll()} == ids


def test_redrive_when_asked_for_by_another_workspace_then_it_finds_nothing(api: Api) -> None:
    """Invariant 9: an admin redrives the executions of one workspace."""
    api.register("greet")
    api.start("e1")
    lose(api)
    after, count = None, 0
    while True:
        answer = api.call("POST", "/v1/redrive", {"after": after}, key="stranger").body
        count, after = count + answer["executions"], answer["next"]
        if after is None:
            break
    assert count == 0
    assert api.poll() == []


@pytest.mark.parametrize("key", ["client", "worker"])
def test_redrive_when_the_key_is_no_admins_then_403(api: Api, key: str) -> None:
    """It is for operators."""
    assert api.call("POST", "/v1/redrive", {}, key=key).status == 403


@pytest.mark.parametrize("after", ["", "x", "8:", "-1:", "0:nonsense"])
def test_redrive_when_the_place_is_none_then_422(api: Api, after: str) -> None:
    """Only `next` of an answer says where to go on."""
    answer = api.call("POST", "/v1/redrive", {"after": after})
    assert answer.status == 422
    assert "after" in answer.body["detail"][0]["loc"]
