"""The command line in a terminal: completion by the shell, colours, and the line that shows progress."""

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pexpect
import pytest

from tests.support.cli import Api
from tests.unit.levante.cli.executing import COMPLETED, EVENTS, ONE, RUNNING

LEVANTE = [sys.executable, "-m", "levante"]
COLOR = re.compile(r"\x1b\[[\d;]*m")
WIPE = "\r\x1b[K"
SHELLS: Mapping[str, tuple[list[str], str]] = {
    "bash": (["--norc", "--noprofile", "-i"], 'eval "$(levante completion bash)"'),
    "zsh": (["-f", "-i"], 'autoload -Uz compinit && compinit -u -D && eval "$(levante completion zsh)"'),
    "fish": (["--no-config", "--private", "-i"], "levante completion fish | source"),
}


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    """An installation with two executions."""
    server = Api()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    rows = [{**COMPLETED, "execution_id": "kite"}, {**RUNNING, "execution_id": "ball", "status": "FAILED"}]
    server.on("GET", "/v1/workflows/runs", (200, {"executions": rows, "next_page_token": None}))
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def environment(api: Api | None = None, **more: str) -> dict[str, str]:
    """The environment of a terminal in which `levante` is found."""
    kept = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR"}}
    server = {"LEVANTE_SERVER_URL": api.url, "LEVANTE_API_KEY": "lev_secret"} if api else {}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**kept, **server, "TERM": "xterm", "PATH": path, **more}


def printed(arguments: list[str], variables: Mapping[str, str], code: int = 0) -> str:
    """Run a command in a terminal. Returns all that it printed there."""
    program, *rest = [*LEVANTE, *arguments]
    child: pexpect.spawn[str] = pexpect.spawn(
        program, rest, env=variables, encoding="utf-8", dimensions=(40, 200), timeout=60
    )
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == code, child.before
    return child.before or ""


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_when_tab_is_pressed_then_the_shell_completes_commands_and_values(shell: str, tmp_path: Path) -> None:
    """As `levante completion --help` says to set it up; what was completed is then run."""
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed: apt-get install {shell}")
    options, setup = SHELLS[shell]
    variables = environment(HOME=str(tmp_path), PS1="ready> ", XDG_CONFIG_HOME=str(tmp_path), XDG_DATA_HOME=str(tmp_path))
    child: pexpect.spawn[str] = pexpect.spawn(
        program, options, env=variables, cwd=str(tmp_path), encoding="utf-8", dimensions=(40, 200), timeout=60
    )
    try:
        child.sendline(f"{setup}; echo set''up")
        child.expect("setup")
        child.sendline("levante executi\ttermi\t--help")
        child.expect("Usage: levante executions terminate")
        child.sendline("levante completion fi\t")
        child.expect("complete --no-files --command levante")
    finally:
        child.close(force=True)


def test_colors_when_in_a_terminal_then_a_status_can_be_seen_at_a_glance(api: Api) -> None:
    """And columns stay aligned, as colours take no room."""
    text = printed(["executions", "list"], environment(api))
    assert "\x1b[32mCOMPLETED\x1b[0m" in text
    assert "\x1b[31mFAILED\x1b[0m" in text
    lines = [line for line in COLOR.sub("", text.rpartition(WIPE)[2]).splitlines() if line]
    places = {line.index(word) for line, word in zip(lines, ("STATUS", "COMPLETED", "FAILED"), strict=True)}
    assert len(places) == 1


def test_colors_when_no_color_is_set_then_there_are_none_but_the_progress_is_still_wiped(api: Api) -> None:
    """https://no-color.org; an empty variable says nothing."""
    text = printed(["executions", "list"], environment(api, NO_COLOR="1"))
    assert "COMPLETED" in text
    assert not COLOR.search(text)
    assert WIPE in text
    assert COLOR.search(printed(["executions", "list"], environment(api, NO_COLOR="")))


@pytest.mark.parametrize("arguments", [["executions", "list"], ["executions", "start", "w", "--wait"]])
def test_output_when_piped_then_it_has_neither_colors_nor_progress(api: Api, arguments: list[str]) -> None:
    """Whoever reads it is a program or a file."""
    start(api)
    done = subprocess.run([*LEVANTE, *arguments], env=environment(api), capture_output=True, text=True, check=True)
    assert done.stdout
    assert "\x1b" not in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(("status", "code", "last"), [("COMPLETED", 0, '{"result": 5}'), ("FAILED", 3, "ended as FAILED")])
def test_progress_when_an_execution_is_waited_for_then_it_is_shown_and_wiped_at_the_end(
    api: Api, status: str, code: int, last: str
) -> None:
    """Nothing of it is left above the result or the error."""
    start(api, status)
    text = printed(["executions", "start", "w", "--wait"], environment(api), code)
    before, _, after = text.rpartition(WIPE)
    assert "waiting for execution e1; Ctrl-C leaves it running" in before
    assert "waiting" not in after
    assert after.strip().endswith(last)


def start(api: Api, status: str = "COMPLETED") -> None:
    """Answer a start, and the questions about the execution that follow."""
    api.on("POST", "/v1/workflows/w/execute", (200, RUNNING))
    api.on("GET", EVENTS, (503, {"detail": "later", "code": "UNAVAILABLE"}))
    api.on("GET", ONE, (200, RUNNING), (200, {**COMPLETED, "status": status}))
