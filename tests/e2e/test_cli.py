"""The command line against a real host and a real worker, as a user types it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import LocalSite, Process, wait_until

HERE = Path(__file__).parent

pytestmark = pytest.mark.timeout(180)  # each command is a process of its own


class Terminal:
    """Runs commands with the key of an installation. What goes on beside the test writes into files."""

    def __init__(self, site: LocalSite) -> None:
        self.site = site
        self.environment = {"LEVANTE_SERVER_URL": site.url, "LEVANTE_API_KEY": site.key}

    def run(self, *arguments: str, code: int = 0, text: str | None = None) -> str:
        """Run a command that ends with this code. Returns what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "levante", *arguments],
            env={**os.environ, **self.environment},
            input=text,
            capture_output=True,
            text=True,
            timeout=self.site.patience_seconds,
            check=False,
        )
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        assert len(done.stderr.splitlines()) <= 1, done.stderr
        return done.stdout

    def json(self, *arguments: str, code: int = 0) -> Any:
        """Run a command with --json. Returns the document that it prints."""
        return json.loads(self.run(*arguments, "--json", code=code))

    def begin(self, name: str, *arguments: str) -> Process:
        """Start a command without waiting for it."""
        command = [sys.executable, "-m", "levante", *arguments]
        return Process(command, self.site.directory / f"{name}.txt", self.environment)


@pytest.fixture
def terminal(local_site: LocalSite) -> Terminal:
    """An installation with a worker that serves `converse`."""
    local_site.start_worker("conversed", HERE)
    local_site.wait_for_workers(1)
    return Terminal(local_site)


def types(lines: str) -> list[str]:
    """Return the types of the events in lines of JSON, and check that their numbers have no gap."""
    events = [event for line in lines.splitlines() if "broker_sequence" in (event := json.loads(line))]
    assert [event["broker_sequence"] for event in events] == list(range(1, len(events) + 1))
    return [str(event["data"]["event_type"]) for event in events]


CONVERSATION = [
    "WORKFLOW_EXECUTION_STARTED",
    "ACTIVITY_TASK_STARTED",
    "ACTIVITY_TASK_COMPLETED",
    "WORKFLOW_EXECUTION_COMPLETED",
]


def test_execution_when_it_is_led_from_the_command_line_then_each_command_does_what_it_says(terminal: Terminal) -> None:
    """Started and followed, talked to, looked at: the whole of a conversation."""
    cli, log = terminal, terminal.site.directory / "start.txt"
    start = [
        "executions",
        "start",
        "converse",
        "--execution-id",
        "e1",
        "--input",
        '{"topic": "kites"}',
        "--follow",
        "--json",
    ]
    started = cli.begin("start", *start)
    wait_until(lambda: log.read_text().count("\n") == 3, "the first events are followed")
    assert started.is_running()

    assert (
        cli.run("executions", "signal", "e1", "say", "--input", "-", text='{"text": "hello"}') == "signal say is accepted\n"
    )
    wait_until(lambda: cli.json("executions", "query", "e1", "heard")["result"][1:] == ["hello"], "the signal is heard")
    assert [run["execution_id"] for run in cli.json("executions", "list", "--status", "running")["executions"]] == ["e1"]
    assert cli.run("executions", "query", "e1", "nothing", code=1) == ""
    assert cli.run("executions", "update", "e1", "end", "--input", '{"text": "bye"}') == "3\n"

    assert started.wait() == 0
    assert types(log.read_text()) == CONVERSATION
    ended = json.loads(log.read_text().splitlines()[-1])
    assert (ended["status"], ended["result"]) == ("COMPLETED", {"result": ["noted: kites", "hello", "bye"]})

    assert types(cli.run("executions", "events", "e1", "--json")) == CONVERSATION
    assert types(cli.run("executions", "events", "e1", "--follow", "--json")) == CONVERSATION
    failed = ["executions", "events", "e1", "--type", "ACTIVITY_TASK_FAILED"]
    assert (cli.run(*failed), cli.run(*failed, "--follow")) == ("", "")
    kinds = [event["kind"] for event in cli.json("executions", "history", "e1")["events"]]
    assert kinds[::6] == ["execution_started", "execution_completed"]
    assert cli.json("executions", "get", "e1")["result"] == ended["result"]
    assert "· activity converse-note" in cli.run("executions", "trace", "e1")
    said = ["executions", "logs", "e1"]
    wait_until(lambda: "somebody said kites" in cli.run(*said), "the log has arrived")
    assert "somebody said kites" in cli.run(*said, "--follow")


def test_execution_when_it_is_canceled_then_whoever_waits_hears_of_it_by_the_exit_code(terminal: Terminal) -> None:
    """3 for an end that is no completion; 4 while it is open; what cannot be canceled is named."""
    cli = terminal
    start = ["executions", "start", "converse", "--execution-id", "e1", "--input", '{"topic": "kites"}']
    assert cli.run(*start, "--follow", "--timeout", "0.5", code=4) != ""
    assert cli.run("executions", "wait", "e1", "--timeout", "0", code=4) == ""
    assert cli.run("executions", "cancel", "e1", "absent", code=1) == "execution e1 is asked to end\n"
    assert cli.json("executions", "wait", "e1", code=3)["status"] == "CANCELED"
    assert cli.run("executions", "terminate", "e1", code=1) == ""


def test_events_when_the_host_is_killed_then_they_are_followed_from_the_last_one_on(terminal: Terminal) -> None:
    """Nothing is told twice, and nothing is left out."""
    cli, site = terminal, terminal.site
    cli.run("executions", "start", "converse", "--execution-id", "e1", "--input", '{"topic": "kites"}')
    log = site.directory / "events.txt"
    following = cli.begin("events", "executions", "events", "e1", "--follow", "--json")
    wait_until(lambda: log.read_text().count("\n") == 3, "the first events are followed")
    assert site.host
    site.host.kill()
    site.start_host()
    site.wait_for_workers(1)
    cli.run("executions", "update", "e1", "end", "--input", '{"text": "bye"}')
    assert following.wait() == 0
    assert types(log.read_text()) == CONVERSATION


def test_events_when_their_reader_presses_control_c_then_it_ends_as_shells_expect(terminal: Terminal) -> None:
    """130, and no traceback."""
    cli = terminal
    cli.run("executions", "start", "converse", "--execution-id", "e1", "--input", '{"topic": "kites"}')
    log = cli.site.directory / "events.txt"
    following = cli.begin("events", "executions", "events", "e1", "--follow", "--json")
    wait_until(lambda: log.read_text().count("\n") == 3, "the first events are followed")
    following.signal(signal.SIGINT)
    assert following.wait() == 130
    assert types(log.read_text()) == CONVERSATION[:3]
    assert log.read_text().count("\n") == 3
