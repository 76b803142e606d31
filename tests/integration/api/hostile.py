"""A worker that means no good: it has a key of its own, all that it was ever given, and no manners."""

import json
import string
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from tests.integration.api.harness import Answer, Api

WORKERS = "/v1/workflows/workers"
DEPLOYMENTS = ("prod", "other", "prod@1", "prod~s", "", "a" * 200, "../x", "é", "away")
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 10**8, 10**30, 1.5, 1e308, "", "x", "\x00", "\ud800", "💥" * 50, [], [[]], {}, {"a": {}},
    "1.run.W10.AAAA", "1.receipt.W10.AAAA", "0" * 5000, ["x"] * 200,
)  # fmt: skip
EVENTS: tuple[Mapping[str, Any], ...] = (
    {"kind": "activity_scheduled", "seq": 1, "name": "a", "input": {}},
    {"kind": "activity_scheduled", "seq": 2, "name": "a", "input": {}, "owner": "w"},
    {"kind": "activity_completed", "seq": 9, "at": "2026-01-01T00:00:00Z", "result": 1},
    {"kind": "activity_handed_over", "activity": 5, "scheduled_in": 7, "attempt": 2, "failure": {"message": "x"}},
    {"kind": "activity_cancel_requested", "seq": 3, "activity": 1, "is_queued": True},
    {"kind": "timer_started", "seq": 4, "fire_at": "2026-01-01T00:00:00Z"},
    {"kind": "timer_started", "seq": 4, "fire_at": "9999-12-31T23:59:59Z"},
    {"kind": "timer_fired", "seq": 77, "at": "2026-01-01T00:00:00Z"},
    {"kind": "child_scheduled", "seq": 5, "workflow_name": "greet", "execution_id": "child", "input": {"a": 1},
     "close_policy": "terminate"},
    {"kind": "child_scheduled", "seq": 6, "workflow_name": "no such", "execution_id": "é", "input": 1,
     "close_policy": "abandon"},
    {"kind": "child_signaled", "seq": 7, "child": 5, "execution_id": "e1", "name": "x", "input": {}},
    {"kind": "child_cancel_requested", "seq": 8, "child": 99, "execution_id": "nobody"},
    {"kind": "fact_taken", "fact": "00000042"},
    {"kind": "mail_taken", "until": 99},
    {"kind": "update_completed", "seq": 9, "update": 3, "result": None},
    {"kind": "code_failed", "failure": {"message": "x"}},
    {"kind": "patch_recorded", "patch_id": "p"},
    {"kind": "search_keys_changed", "values": {"k": "v"}},
    {"kind": "execution_continued_as_new", "seq": 1, "run_id": "mine", "input": {}},
    {"kind": "execution_completed", "seq": 1, "result": {"a": 1}},
    {"kind": "execution_failed", "seq": 1, "failure": {"message": "x"}},
    {"kind": "execution_terminated", "at": "2026-01-01T00:00:00Z"},
    {"kind": "of a later version", "seq": 1},
)  # fmt: skip
SCHEMAS: tuple[Any, ...] = (
    {}, {"$ref": "#/$defs/x"}, {"$ref": "http://127.0.0.1:9/x"}, {"type": "no such"}, {"properties": 5}, {"pattern": "("},
    {"properties": {"a": {"pattern": "^(a+)+$"}}}, {"uniqueItems": True}, 5, "x", None,
)  # fmt: skip


class HostileWorker:
    """Makes calls at random, of what it has got and of what it makes up. Every choice comes from one seed."""

    def __init__(self, api: Api, seed: int, key: str = "worker") -> None:
        self._api = api
        self._key = key
        self._random = Random(seed)  # noqa: S311 - makes trouble, keeps no secrets
        self._tokens = ["x"]
        self._receipts = ["x"]
        self._tasks: list[Any] = [{}]
        self._calls: Mapping[str, Callable[[], Any]] = {
            "/v1/workflows/register": self._registration,
            f"{WORKERS}/heartbeat": self._heartbeat,
            f"{WORKERS}/leave": self._heartbeat,
            f"{WORKERS}/queue-access": lambda: {"deployment_name": self._deployment()},
            f"{WORKERS}/poll": self._poll,
            f"{WORKERS}/load": self._load,
            f"{WORKERS}/commits": self._commits,
            f"{WORKERS}/activity-checks": lambda: {"task": self._task(), "receive_count": self._pick((1, 2, 99))},
            f"{WORKERS}/activity-reports": self._reports,
            f"{WORKERS}/activity-heartbeats": lambda: {"token": self._token(), "details": [self._pick(ODD)]},
            f"{WORKERS}/activity-deferrals": lambda: {"token": self._token(), "timeout_seconds": self._pick((1, 0, 1e9))},
            f"{WORKERS}/rate-permits": self._permit,
            f"{WORKERS}/query-answers": lambda: {"token": self._token(), "answers": [{"query_id": self._word()}]},
            f"{WORKERS}/task-events": self._task_events,
            f"{WORKERS}/logs": self._logs,
            f"{WORKERS}/leases": self._leases,
            f"{WORKERS}/workflow-task-failures": self._failure,
            "/v1/workflows/activities/complete": lambda: {"task_token": self._token(), "result": self._pick(ODD)},
            "/v1/workflows/activities/fail": lambda: {"task_token": self._token(), "message": self._word()},
        }

    def call(self) -> tuple[str, Any, Answer]:
        """Make a call. Returns where, with what, and the answer."""
        path = self._pick((*self._calls, f"{WORKERS}/poll", f"{WORKERS}/commits", f"{WORKERS}/load"))
        body = self._calls[path]()
        if self._random.random() < 0.25:
            body = self._spoilt(body)
        answer = self._api.call("POST", path, json.dumps(body), key=self._key)
        self._learn(answer.body)
        return path, body, answer

    # --- what it says -------------------------------------------------------------------------------------------------

    def _registration(self) -> Any:
        spec = {"name": self._pick(("greet", "mine", "")), "task_queue": "q", "input_schema": self._pick(SCHEMAS)}
        return {"definitions": [spec], "deployment_name": self._deployment(), "worker_name": self._pick(("w1", "", "💥"))}

    def _heartbeat(self) -> Any:
        return {"workflow_registration_refs": [], "deployment_name": self._deployment(), "worker_name": "w1"}

    def _poll(self) -> Any:
        queue, limit = self._pick(("workflow", "activity")), self._pick((1, 10, 100))
        name = self._pick(("prod", "prod", self._deployment()))
        return {"deployment_name": name, "worker_id": self._word(), "queue": queue, "limit": limit, "wait_seconds": 0}

    def _load(self) -> Any:
        after = {"after": self._token()} if self._random.random() < 0.3 else {}
        return {"token": self._token(), "after_index": self._pick((0, 0, 1, 5, 99_999_998)), **after}

    def _commits(self) -> Any:
        return {"commits": [self._commit() for _ in range(self._pick((1, 1, 3)))]}

    def _commit(self) -> Any:
        events = [dict(self._pick(EVENTS)) for _ in range(self._pick((1, 1, 2, 5)))]
        batch = {"index": self._pick((1, 1, 2, 3, 7, 99_999_999)), "commit_id": self._word(), "events": events}
        return {"token": self._token(), "batch": batch, "mail_taken": self._pick((0, 0, 5)), "done": [self._receipt()]}

    def _reports(self) -> Any:
        failure = {"failure": {"message": self._word()}} if self._random.random() < 0.5 else {"result": self._pick(ODD)}
        return {"reports": [{"token": self._token(), "receipt": self._receipt(), **failure}]}

    def _permit(self) -> Any:
        limit = {"time_window_in_sec": self._pick((1, 0, 1e9)), "max_execution": self._pick((1, 0, 10**9))}
        return {"deployment_name": self._deployment(), "activity_name": self._word(), "rate_limit": limit}

    def _task_events(self) -> Any:
        event = {"task_id": "t", "task_type": "t", "phase": self._pick(("started", "in_progress", "no such"))}
        reports = [{"number": self._pick((1, 2, 10**8)), "at": "2026-01-01T00:00:00Z", "event": event}]
        after = self._pick((None, 0, 5, 10**9))
        publication = {"token": self._token(), "activity_name": "a", "publisher": "p", "events": reports, "after": after}
        return {"publications": [publication]}

    def _logs(self) -> Any:
        line = {"at": "2026-01-01T00:00:00Z", "level": "INFO", "logger": "x", "message": self._word(), "execution_id": "e1"}
        name = self._deployment()
        return {"deployment_name": name, "worker_name": self._word(), "batch_id": self._word(), "lines": [line]}

    def _leases(self) -> Any:
        back = [{"receipt": self._receipt(), "token": self._token()}] if self._random.random() < 0.4 else []
        name, queue = self._pick(("prod", self._deployment())), self._pick(("workflow", "activity"))
        named = {"extend": [self._receipt()], "done": [self._receipt()], "hand_back": back}
        return {"deployment_name": name, "queue": queue, **named}

    def _failure(self) -> Any:
        failure = {"message": self._word()}
        attempt = self._pick((1, 50, 10**8))
        return {"token": self._token(), "receipt": self._receipt(), "attempt": attempt, "failure": failure}

    # --- what it says it with -----------------------------------------------------------------------------------------

    def _pick(self, choices: Any) -> Any:
        return self._random.choice(choices)

    def _deployment(self) -> str:
        return str(self._pick(DEPLOYMENTS))

    def _word(self) -> str:
        letters = string.ascii_letters + "/#~@.:-_ é\x00"
        return "".join(self._random.choices(letters, k=self._pick((1, 8, 40, 300))))

    def _token(self) -> str:
        return self._bent(str(self._pick(self._tokens)))

    def _receipt(self) -> str:
        return self._bent(str(self._pick(self._receipts)))

    def _task(self) -> Any:
        task = dict(self._pick(self._tasks))
        if self._random.random() < 0.5:
            task |= {"execution_id": "e2", "attempt": self._pick((1, 2, 3)), "token": self._token()}
        return task

    def _bent(self, text: str) -> str:
        """Mostly leave a text as it is."""
        if self._random.random() < 0.7:
            return text
        parts = text.split(".")
        self._random.shuffle(parts)
        mixed, longer = ".".join(parts), f"{text}.attempt.W10.AAAA"
        return str(self._pick((text[:-4], text + "A", mixed, text.swapcase(), "2" + text[1:], longer)))

    def _spoilt(self, value: Any) -> Any:
        """Put something odd in some place, but for how long a poll waits: that is time of the test."""
        if isinstance(value, dict) and value and self._random.random() < 0.9:
            name = self._pick(sorted(value.keys() - {"wait_seconds"}))
            return {**value, name: self._spoilt(value[name])}
        if isinstance(value, list) and value and self._random.random() < 0.9:
            return [self._spoilt(value[0]), *value[1:]]
        return self._pick(ODD)

    def _learn(self, body: Any) -> None:
        """Remember every token, receipt and task of an answer."""
        if isinstance(body, dict):
            for name, value in body.items():
                if name == "token" and value:
                    self._tokens.append(value)
                elif name == "receipt":
                    self._receipts.append(value)
                elif name == "task" and value:
                    self._tasks.append(value)
                self._learn(value)
        elif isinstance(body, list):
            for one in body:
                self._learn(one)
