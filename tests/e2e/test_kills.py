"""Everything that takes a while is in flight when processes are killed; all ends as it would have without."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_crashes import HERE
from tests.support.processes import LocalSite, Refused, Site, wait_until


@dataclass(frozen=True)
class Held:
    """An execution of `constructs.Construct`, and the file in which its activities leave a trace."""

    site: Site
    execution: str
    trace: Path

    def lines(self) -> list[str]:
        """Return the trace."""
        return self.trace.read_text().splitlines() if self.trace.exists() else []

    def has(self, kind: str) -> bool:
        """Tell whether the history has such an event."""
        return any(event["kind"] == kind for event in self.site.history(self.execution)["events"])

    def call(self, path: str, body: Any = None) -> Any:
        """Post to the execution."""
        return self.site.call("POST", f"/v1/workflows/executions/{self.execution}/{path}", body)

    def until(self, holds: Callable[[], Any]) -> Any:
        """Wait until something holds."""
        return wait_until(holds, f"{self.execution} has come so far", self.site.patience_seconds)


def _nothing(_: Held) -> None:
    """Leave it alone."""


def has(kind: str) -> Callable[[Held], Any]:
    """Wait for an event."""
    return lambda held: held.until(lambda: held.has(kind))


def traced(count: int) -> Callable[[Held], Any]:
    """Wait for lines of the trace."""
    return lambda held: held.until(lambda: len(held.lines()) >= count)


def reset(held: Held) -> None:
    """Let it begin anew while it sleeps."""
    held.until(lambda: held.has("timer_started"))
    held.call("reset", {"event_id": 1})


def cancel(held: Held) -> None:
    """Ask it to end, and wait until it cleans up."""
    held.until(lambda: held.has("timer_started"))
    held.call("cancel")
    held.until(held.lines)


def call_update(held: Held) -> Future[Any]:
    """Call the update until it answers, always as the same one, and wait until its handler is at work."""

    def ask() -> Any:
        try:
            path = f"/v1/workflows/executions/{held.execution}/updates"
            body = {"name": "tell", "input": {"trace": str(held.trace)}}
            return held.site.call("POST", path, body, headers={"Idempotency-Key": "once"})
        except OSError:  # the host is gone
            return None
        except Refused as refused:
            if refused.status < 500:
                raise
            return None

    answer = ThreadPoolExecutor(1).submit(held.until, ask)
    held.until(lambda: len(held.lines()) >= 2)
    return answer


def signal(held: Held) -> None:
    """Say what it waits for."""
    held.call("signals", {"name": "hear", "input": {"text": "heard"}})


def sign(held: Held) -> None:
    """Complete the activity with the token that was given away last."""
    body = {"task_token": held.lines()[-1], "result": "signed"}
    assert held.site.call("POST", "/v1/workflows/activities/complete", body)["is_accepted"]


def pending_inputs(held: Held) -> Any:
    """Ask what is asked for; nothing while no worker answers: the lease of a killed one may outlast what the API waits."""
    try:
        return held.call("queries", {"name": "__get_pending_inputs"})["result"]["pending_inputs"]
    except Refused as refused:
        if refused.status != HTTPStatus.GATEWAY_TIMEOUT:
            raise
        return []


def submit(held: Held) -> None:
    """Answer what it asks."""
    (asked,) = held.until(partial(pending_inputs, held))
    given = {"task_id": asked["task_id"], "input": {"text": "said"}}
    held.call("updates", {"name": "__submit_input", "input": given})


def let_go(held: Held) -> None:
    """Let the activity end that waits for that."""
    Path(f"{held.trace}.enough").touch()


@dataclass(frozen=True)
class Construct:
    """What is run, how it comes to be in flight, what it returns, and what is done once the processes are there again."""

    method: str
    begin: Callable[[Held], Any]
    result: Any
    end: Callable[[Held], Any] = _nothing


CONSTRUCTS = {
    "timer": Construct("timer", has("timer_started"), "slept"),
    "child": Construct("child", has("child_scheduled"), "slept"),
    "signal": Construct("message", has("activity_completed"), "heard", signal),
    "update handler": Construct("message", call_update, "done"),
    "retry back-off": Construct("back_off", traced(1), "tried again"),
    "heartbeat": Construct("heartbeat", traced(15), ["row", 17]),
    "long activity": Construct("patience", traced(15), "was let go", let_go),
    "sticky session": Construct("sticky_session", traced(1), "stuck to it"),
    "continue-as-new": Construct("continue_as_new", traced(3), "came round"),
    "reset": Construct("timer", reset, "slept"),
    "cancellation": Construct("cancellation", cancel, "done"),
    "completion from outside": Construct("completion", traced(1), "signed", sign),
    "input": Construct("form", has("task_published"), "said", submit),
}


SHORT = {"timer", "child", "reset", "retry back-off"}
"""Begun last, as they may have ended by the time when all are in flight."""


def kill_worker(site: Site) -> None:
    """Kill the only worker, and start another one."""
    site.workers[-1].kill()
    site.start_worker("constructs", HERE)


def kill_host(site: LocalSite) -> None:
    """Kill the host, and start it again; the worker stays."""
    assert site.host
    site.host.kill()
    site.start_host()


def check(site: Site, directory: Path, kill: Callable[[], None], names: set[str]) -> None:
    """Start all, kill when everything is in flight, and compare how all ended."""
    site.start_worker("constructs", HERE)
    site.wait_for_workers(1)

    def begin(name: str) -> tuple[Held, Any]:
        trace = directory / name.replace(" ", "-")
        given = {"name": CONSTRUCTS[name].method, "trace": str(trace), "rounds": site.rounds}
        held = Held(site, site.start("construct", given), trace)
        return held, CONSTRUCTS[name].begin(held)

    with ThreadPoolExecutor(len(names)) as pool:
        begun = dict(zip(names - SHORT, pool.map(begin, names - SHORT), strict=True))
        begun |= dict(zip(names & SHORT, pool.map(begin, names & SHORT), strict=True))
        still_open = {name for name, (held, _) in begun.items() if site.status(held.execution) == "RUNNING"}
        kill()
        for name, (held, _) in begun.items():
            CONSTRUCTS[name].end(held)
        results = {
            name: site.wait_for_result(held.execution, 2 * site.patience_seconds)["result"]
            for name, (held, _) in begun.items()
        }
    assert results == {name: CONSTRUCTS[name].result for name in names}
    assert begun["update handler"][1].result(timeout=site.patience_seconds)["result"] == "heard that it is done"
    assert still_open >= names - SHORT


@pytest.mark.timeout(900)
def test_constructs_when_their_worker_is_killed_in_the_middle_then_they_end_the_same(site: Site, tmp_path: Path) -> None:
    """Invariants 3 and 7: a worker that comes after it takes everything up.

    Of a lost session one machine tells only in its second minute: that is tested in virtual time.
    """
    names = set(CONSTRUCTS) - ({"sticky session"} if isinstance(site, LocalSite) else set())
    check(site, tmp_path, partial(kill_worker, site), names)


@pytest.mark.timeout(300)
def test_constructs_when_the_host_is_killed_in_the_middle_then_they_end_the_same(
    local_site: LocalSite, tmp_path: Path
) -> None:
    """Invariant 10: whatever was acknowledged is there when it comes again.

    What runs on the worker goes on: the activity that ends once an attempt before it has died would never do so.
    """
    check(local_site, tmp_path, partial(kill_host, local_site), set(CONSTRUCTS) - {"heartbeat"})
