from typing import Any

import pytest

from tests.integration.api.harness import Api, completed, outcomes

WORKERS = "/v1/workflows/workers"
SCHEDULED = {
    "kind": "activity_scheduled",
    "seq": 1,
    "name": "charge",
    "input": [1],
    "options": {"retry": {"max_attempts": 1}},
}


def activity(api: Api) -> dict[str, Any]:
    """Start an execution that schedules an activity. Returns the activity's delivered task."""
    api.register("greet")
    api.start("e1")
    (delivered,) = api.poll()
    assert outcomes(api.commit(delivered, SCHEDULED)) == ["recorded"]
    (task,) = api.poll("activity")
    return task


def report(task: dict[str, Any], **outcome: Any) -> dict[str, Any]:
    """Write the report of an attempt."""
    return {"token": task["task"]["token"], "receipt": task["receipt"], **outcome}


@pytest.mark.parametrize("key", ["worker", "client", "admin"])
def test_whoami_when_asked_then_namespace_is_the_workspace_of_the_key(api: Api, key: str) -> None:
    """Workers and the client's payload encoding both ask for it."""
    body = api.call("GET", f"{WORKERS}/whoami", key=key).body
    assert body == {
        "scheduler_url": "",
        "namespace": "home",
        "tls": False,
        "features": {"presence": True, "slots": True, "role": key},
    }


def test_whoami_when_queues_can_be_reached_then_workers_hear_of_it(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """They ask for access once they have registered: a deployment that nobody has registered has no queues."""
    monkeypatch.setattr(api.engine.tasks, "_access", object())
    body = api.call("GET", f"{WORKERS}/whoami", key="worker").body
    assert body["features"] == {"presence": True, "slots": True, "role": "worker", "queues": True}
    answer = api.call("POST", f"{WORKERS}/queue-access", {"deployment_name": "prod"}, key="worker")
    assert (answer.status, answer.body["code"]) == (404, "WF_1100")


def test_queue_access_when_queues_are_reached_through_the_api_alone_then_there_is_none(api: Api) -> None:
    """A worker learns that it has to poll."""
    answer = api.call("POST", f"{WORKERS}/queue-access", {"deployment_name": "prod"}, key="worker")
    assert (answer.status, answer.body) == (200, {"access": None})


def test_register_when_repeated_then_ids_stay_in_the_order_of_the_definitions(api: Api) -> None:
    """A worker that restarts registers again."""
    first, second = api.register("b", "a"), api.register("b", "a")
    assert first == second
    refs = first["workflow_registration_refs"]
    assert [ref["workflow_registration_id"] for ref in refs] == first["workflow_registration_ids"]
    names = [api.call("GET", f"/v1/workflows/{ref['workflow_id']}").body["workflow"]["name"] for ref in refs]
    assert names == ["b", "a"]
    assert (first["has_conflicts"], first["warnings"]) == (False, [])


def test_register_when_another_active_deployment_serves_it_then_a_warning_names_it(api: Api) -> None:
    """Two owners are allowed, and pointed out."""
    api.register("greet")
    body = api.register("greet", deployment="beta", worker="w2")
    assert body["has_conflicts"]
    assert "prod" in body["warnings"][0]


def test_register_when_others_of_the_deployment_serve_something_else_then_a_warning_names_it(api: Api) -> None:
    """Each of them gets the tasks of all; no caller has to do anything about it."""
    api.register("greet", "part")
    assert api.register("greet", "part", worker="w2")["warnings"] == []
    body = api.register("greet", worker="w3")
    (warning,) = body["warnings"]
    assert "other workers of deployment 'prod' serve part, which this one does not" in warning
    assert not body["has_conflicts"]
    api.clock.advance(80)
    assert api.register("greet", worker="w3")["warnings"] == [], "the others are gone"


def test_worker_when_it_leaves_then_it_is_active_no_longer_and_the_others_are(api: Api) -> None:
    """Of two that serve the same, and of the last one; it may come back, and a repeat is harmless."""

    def active() -> tuple[list[bool], bool]:
        deployment = api.call("GET", "/v1/workflows/deployments/prod").body
        return [one["is_active"] for one in deployment["workers"]], deployment["is_active"]

    refs = api.register("greet")["workflow_registration_refs"]
    api.register("greet", worker="w2")
    leave = {"workflow_registration_refs": refs, "deployment_name": "prod", "worker_name": "w1"}
    for _ in range(2):
        assert api.call("POST", f"{WORKERS}/leave", leave, key="worker").body == {}
        assert active() == ([False, True], True)
    api.call("POST", f"{WORKERS}/leave", {**leave, "worker_name": "w2"}, key="worker")
    assert active() == ([False, False], False)
    assert api.call("GET", f"/v1/workflows/{refs[0]['workflow_id']}").body["workflow"]["active"] is False
    api.register("greet")
    assert active() == ([True, False], True)


def test_heartbeat_when_the_worker_is_unknown_then_it_is_asked_to_register(api: Api) -> None:
    """all_active False is how a worker learns that it has to register again."""
    refs = api.register("greet")["workflow_registration_refs"]
    request = {"workflow_registration_refs": refs, "deployment_name": "prod", "worker_name": "w1"}
    assert api.call("POST", f"{WORKERS}/heartbeat", request, key="worker").body == {"all_active": True}
    unknown = {**request, "worker_name": "w9"}
    assert api.call("POST", f"{WORKERS}/heartbeat", unknown, key="worker").body == {"all_active": False}


def test_poll_when_an_execution_was_started_then_its_task_comes_once_with_its_start(api: Api) -> None:
    """A task on lease is nobody else's."""
    api.register("greet")
    api.start("e1")
    (delivered,) = api.poll()
    assert delivered["receive_count"] == 1
    assert delivered["task"]["kind"] == "workflow_task"
    assert delivered["task"]["start"]["input"] == {"a": 1}
    assert api.poll() == []


def test_commits_when_recorded_then_their_leases_end_and_when_not_then_they_stay(api: Api) -> None:
    """A lease ends with the work that is recorded, and with nothing else."""
    api.register("greet")
    for execution_id in ("e1", "e2"):
        api.start(execution_id)
    delivered = {one["task"]["execution_id"]: one for one in api.poll()}
    assert outcomes(api.commit(delivered["e1"], SCHEDULED)) == ["recorded"]
    early = {**SCHEDULED, "name": "other"}
    late = api.call(
        "POST",
        f"{WORKERS}/commits",
        {
            "commits": [
                {
                    "token": delivered["e2"]["task"]["token"],
                    "batch": {"index": 1, "commit_id": commit_id, "events": [early]},
                    "done": [delivered["e2"]["receipt"]] if commit_id == "second" else [],
                }
                for commit_id in ("first", "second")
            ]
        },
    )
    assert outcomes(late) == ["recorded", "conflict"]
    receipts = [delivered["e1"]["receipt"], delivered["e2"]["receipt"]]
    request = {"deployment_name": "prod", "queue": "workflow", "extend": receipts}
    assert api.call("POST", f"{WORKERS}/leases", request, key="worker").body == {"lost": receipts[:1]}


def test_load_when_asked_from_an_index_then_what_follows_comes(api: Api) -> None:
    """A worker asks for what its cache lacks."""
    task = activity(api)["task"]
    address = {"token": api.run_token(task, 2)}
    everything = api.call("POST", f"{WORKERS}/load", address, key="worker").body
    assert (everything["status"], everything["start"]["workflow_name"]) == ("RUNNING", "greet")
    assert [batch["index"] for batch in everything["batches"]] == [1]
    assert api.call("POST", f"{WORKERS}/load", {**address, "after_index": 1}, key="worker").body["batches"] == []
    assert everything["token"] == address["token"], "whoever has loaded a run may commit what follows"
    beyond = api.call("POST", f"{WORKERS}/load", {**address, "after_index": 2}, key="worker")
    assert (beyond.status, beyond.body["detail"][0]["loc"]) == (422, ["body", "after_index"])


def test_activity_report_when_repeated_then_it_is_stale_and_its_lease_ends_all_the_same(api: Api) -> None:
    """An outcome is recorded at most once; a late report is answered with success and changes nothing."""
    task = activity(api)
    assert api.call("POST", f"{WORKERS}/activity-checks", {"task": task["task"]}).body["task"]["work"]["name"] == "charge"
    body = {"reports": [report(task, result={"paid": True})]}
    first = api.call("POST", f"{WORKERS}/activity-reports", body, key="worker")
    second = api.call("POST", f"{WORKERS}/activity-reports", body, key="worker")
    assert (first.body, second.body) == ({"results": [{"stale": False}]}, {"results": [{"stale": True}]})
    request = {"deployment_name": "prod", "queue": "activity", "extend": [task["receipt"]]}
    assert api.call("POST", f"{WORKERS}/leases", request, key="worker").body == {"lost": [task["receipt"]]}
    assert api.call("POST", f"{WORKERS}/activity-checks", {"task": task["task"]}).body == {"task": None}
    (woken,) = api.poll()
    assert woken["task"]["fact"]["input"]["result"] == {"paid": True}


def test_leases_when_a_task_is_handed_back_then_it_comes_again_and_does_not_count_as_lost(api: Api) -> None:
    """A rolling deploy costs no attempt."""
    api.register("greet")
    api.start("e1")
    (delivered,) = api.poll()
    back = {"receipt": delivered["receipt"], "token": delivered["task"]["token"]}
    request = {"deployment_name": "prod", "queue": "workflow", "hand_back": [back]}
    assert api.call("POST", f"{WORKERS}/leases", request, key="worker").body == {"lost": []}
    (again,) = api.poll()
    assert again["receive_count"] == 1


@pytest.mark.parametrize("change", [{"workspace": "away"}, {"deployment_name": "other"}])
def test_leases_when_a_handed_back_task_is_not_the_callers_then_422_and_nothing_is_sent(
    api: Api, change: dict[str, str]
) -> None:
    """No worker puts a message into the queues of another workspace or deployment."""
    request = {
        "definitions": [{"name": "greet", "task_queue": "prod", "input_schema": {}}],
        "deployment_name": "prod",
        "worker_name": "w",
    }
    assert api.call("POST", "/v1/workflows/register", request, key="stranger").status == 200
    api.register("greet")
    api.start("e1")
    (delivered,) = api.poll()
    back = {"receipt": delivered["receipt"], "token": api.run_token({**delivered["task"], **change})}
    leases = {"deployment_name": "prod", "queue": "workflow", "hand_back": [back]}
    answer = api.call("POST", f"{WORKERS}/leases", leases, key="worker")
    assert answer.status == 422
    assert answer.body["detail"][0]["loc"][-1] == "token"
    poll = {"deployment_name": "prod", "worker_id": "w", "queue": "workflow", "wait_seconds": 0}
    assert api.call("POST", f"{WORKERS}/poll", poll, key="stranger").body == {"tasks": []}


def test_workflow_task_failure_when_reported_then_the_run_stays_open_and_its_history_says_why(api: Api) -> None:
    """Code that cannot go on is not the execution's end."""
    api.register("greet")
    api.start("e1")
    (delivered,) = api.poll()
    task = delivered["task"]
    request = {
        "token": task["token"],
        "receipt": delivered["receipt"],
        "attempt": 1,
        "failure": {"message": "history has another activity here", "type": "NonDeterminism"},
    }
    answer = api.call("POST", f"{WORKERS}/workflow-task-failures", request, key="worker")
    assert answer.body == {"retry_in_seconds": 1.0}
    history = api.call("GET", "/v1/workflows/executions/e1/history").body
    assert (history["status"], history["workflow_task_failure"]["failure"]["type"]) == ("RUNNING", "NonDeterminism")


@pytest.mark.slow
def test_commit_when_a_batch_could_never_be_right_then_it_says_so_and_nothing_is_written(api: Api) -> None:
    """Nothing follows a closing event."""
    api.register("greet")
    api.start("e1")
    (delivered,) = api.poll()
    answer = api.commit(delivered, completed(None), SCHEDULED)
    assert outcomes(answer) == ["impossible"]
    assert "follows the closing event" in answer.body["results"][0]["problem"]
    assert len(api.call("GET", "/v1/workflows/executions/e1/history").body["events"]) == 1


def deferral(task: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Write that an attempt goes on elsewhere."""
    return {"token": task["task"]["token"], "timeout_seconds": seconds}


@pytest.mark.parametrize("key", ["client", "worker"])
def test_activity_when_it_goes_on_elsewhere_then_its_token_ends_it_once(api: Api, key: str) -> None:
    """Another workspace's key does not; a repeat is told that nobody waits any more."""
    task = activity(api)
    assert api.call("POST", f"{WORKERS}/activity-deferrals", deferral(task, 60), key="worker").body == {"is_wanted": True}
    body = {"task_token": task["task"]["token"], "result": {"signed": True}}
    assert api.call("POST", "/v1/workflows/activities/complete", body, key="stranger").status == 422
    for accepted in (True, False):
        answer = api.call("POST", "/v1/workflows/activities/complete", body, key=key)
        assert (answer.status, answer.body) == (200, {"is_accepted": accepted})
    (delivered,) = api.poll()
    assert delivered["task"]["fact"]["input"]["result"] == {"signed": True}


def test_activity_when_it_fails_elsewhere_then_the_workflow_is_told_why(api: Api) -> None:
    """What the API is told is the failure that the workflow sees."""
    task = activity(api)
    api.call("POST", f"{WORKERS}/activity-deferrals", deferral(task, 60), key="worker")
    beat = {"task_token": task["task"]["token"], "details": [1]}
    assert api.call("POST", "/v1/workflows/activities/heartbeat", beat).body == {"is_wanted": True}
    body = {"task_token": task["task"]["token"], "message": "no pen", "type": "NoPen", "details": ["blue"]}
    assert api.call("POST", "/v1/workflows/activities/fail", body).body == {"is_accepted": True}
    assert api.call("POST", "/v1/workflows/activities/heartbeat", beat).body == {"is_wanted": False}
    (delivered,) = api.poll()
    failure = delivered["task"]["fact"]["input"]["failure"]
    assert (failure["type"], failure["message"], failure["details"]) == ("NoPen", "no pen", ["blue"])


@pytest.mark.parametrize("what", ["complete", "fail", "heartbeat"])
@pytest.mark.parametrize("token", ["", "made-up", "e30", "é"])
def test_token_when_it_is_none_then_422_names_it(api: Api, what: str, token: str) -> None:
    """A part of a token is none."""
    body = {"task_token": token, **({"message": "x"} if what == "fail" else {})}
    answer = api.call("POST", f"/v1/workflows/activities/{what}", body)
    assert answer.status == 422
    assert answer.body["detail"][0]["loc"] == ["body", "task_token"]
