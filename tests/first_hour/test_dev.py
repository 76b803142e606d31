"""`levante dev` as a person uses it, in a terminal of its own: from a file to a result, a change, and Ctrl-C."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests.support.processes import free_port, wait_until

CHECKOUT = """
import asyncio
import levante as workflows


@workflows.activity()
async def charge(amount: int) -> str:
    return f"paid {amount}"


@workflows.workflow.define(name="checkout")
class Checkout:
    @workflows.workflow.entrypoint
    async def run(self, amount: int) -> str:
        return await charge(amount)


if __name__ == "__main__":
    asyncio.run(workflows.run_worker([Checkout]))
"""
SERVES = r"worker \S+ serves checkout for deployment checkout at http://127\.0\.0\.1:\d+"
LEVANTE = f"{sys.executable} -m levante"


class Terminal:
    """A directory with a file, and commands in terminals. No key and no name is in the environment."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.file = directory / "checkout.py"
        self.file.write_text(CHECKOUT)
        unset = {"LEVANTE_API_KEY", "MISTRAL_API_KEY", "DEPLOYMENT_NAME", "WORKER_NAME", "LEVANTE_DATA", "DRAIN_SECONDS"}
        self.environment = {name: value for name, value in os.environ.items() if name not in unset}
        self.environment["LEVANTE_SERVER_URL"] = f"http://127.0.0.1:{self.port}"
        self.children: list[pexpect.spawn[str]] = []

    def run(self, command: str) -> "pexpect.spawn[str]":
        """Start a command."""
        child: pexpect.spawn[str] = pexpect.spawn(
            command, cwd=str(self.directory), env=self.environment, encoding="utf-8", timeout=60, dimensions=(40, 200)
        )
        self.children.append(child)
        return child

    def said(self, command: str) -> str:
        """Run a command to its end, which has to be a success. Returns what it printed."""
        child = self.run(command)
        child.expect(pexpect.EOF)
        child.close()
        text = child.before or ""
        assert child.exitstatus == 0, text
        return "\n".join(line.rpartition("\x1b[K")[2] for line in text.replace("\r\n", "\n").split("\n")).strip()


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """A newcomer's terminal."""
    made = Terminal(tmp_path)
    yield made
    for child in made.children:
        child.close(force=True)


def ended(child: "pexpect.spawn[str]") -> tuple[int | None, str]:
    """Wait for the end. Returns exit code and all that was printed since it was last looked."""
    child.expect(pexpect.EOF)
    child.close()
    return child.exitstatus, child.before or ""


def test_dev_when_a_file_is_named_then_three_commands_lead_to_a_result(terminal: Terminal) -> None:
    """No key to copy, no name to invent; a change is served at once; Ctrl-C ends all of it quietly."""
    dev = terminal.run(f"{LEVANTE} dev checkout.py --port {terminal.port}")
    dev.expect(SERVES)
    start = f"{LEVANTE} executions start checkout --input '{{\"amount\": 3}}' --wait"
    assert terminal.said(start).endswith('{"result": "paid 3"}')
    terminal.file.write_text(CHECKOUT.replace("paid", "PAID"))
    dev.expect("checkout.py changed: the worker starts again")
    dev.expect(SERVES)
    assert terminal.said(start).endswith('{"result": "PAID 3"}')
    dev.sendintr()
    code, text = ended(dev)
    assert (code, [line for line in text.splitlines() if "Traceback" in line or "ERROR" in line]) == (0, [])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_dev_when_it_ends_then_its_worker_does_too(terminal: Terminal, number: signal.Signals) -> None:
    """However it ends: a worker that nobody knows of would go on with old code."""
    log = terminal.directory / "log"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "levante", "dev", "checkout.py", "--port", str(terminal.port)]
        dev = subprocess.Popen(command, cwd=terminal.directory, env=terminal.environment, stdout=out, stderr=out)
    wait_until(lambda: "serves checkout" in log.read_text(), "the worker serves")
    children = Path(f"/proc/{dev.pid}/task/{dev.pid}/children").read_text().split()
    dev.send_signal(number)
    dev.wait(30)
    assert children
    wait_until(lambda: not any(Path("/proc", pid).exists() for pid in children), "the worker is gone")
    assert "Traceback" not in log.read_text()


def test_dev_when_the_file_is_broken_then_it_says_where_and_goes_on_once_it_is_mended(terminal: Terminal) -> None:
    """Nobody has to start it again."""
    terminal.file.write_text("import levante\nraise ValueError('typo')\n")
    dev = terminal.run(f"{LEVANTE} dev checkout.py --port {terminal.port}")
    dev.expect(r"importing 'checkout' failed: ValueError: typo \(\S+checkout.py:2")
    terminal.file.write_text(CHECKOUT)
    dev.expect(SERVES)


def test_script_when_it_is_run_by_itself_then_it_finds_the_host_and_says_what_it_does(terminal: Terminal) -> None:
    """`python checkout.py`, with a key and a deployment of nobody's making; Ctrl-C while the host is away ends it, too."""
    dev = terminal.run(f"{LEVANTE} dev --port {terminal.port}")
    dev.expect("where commands, clients and workers on this machine find it")
    script = terminal.run(f"{sys.executable} checkout.py")
    script.expect(SERVES)
    dev.sendintr()
    assert ended(dev)[0] == 0
    script.expect("could not be reached|the host is stopping")
    script.sendintr()
    code, text = ended(script)
    assert (code, "Traceback" in text) == (0, False)


def test_script_when_the_host_was_never_there_then_ctrl_c_ends_it(terminal: Terminal) -> None:
    """And it had said what it could not reach."""
    terminal.environment["LEVANTE_API_KEY"] = "lev_0123456789abcdef"
    script = terminal.run(f"{sys.executable} checkout.py")
    script.expect("could not be reached")
    script.sendintr()
    code, text = ended(script)
    assert (code, "Traceback" in text) == (0, False)


def test_start_when_the_code_fails_then_whoever_waits_learns_it_and_ctrl_c_prints_the_id(terminal: Terminal) -> None:
    """Within two seconds or so, with the line that failed; a fix lets it go on."""
    terminal.file.write_text(CHECKOUT.replace("return await charge(amount)", "return {}['total']"))
    dev = terminal.run(f"{LEVANTE} dev checkout.py --port {terminal.port}")
    dev.expect(SERVES)
    start = f"{LEVANTE} executions start checkout --execution-id c1 --input '{{\"amount\": 3}}' --wait"
    waiting = terminal.run(start)
    waiting.expect(r"workflow code fails: KeyError: 'total' \(\S+checkout.py:15 in run\); fix it and restart the worker")
    waiting.sendintr()
    code, text = ended(waiting)
    assert (code, "execution c1 goes on: see `levante executions get c1`" in text) == (130, True)
    assert "code_failing" in terminal.said(f"{LEVANTE} executions list --stuck")
    terminal.file.write_text(CHECKOUT)
    assert terminal.said(f"{LEVANTE} executions wait c1 --timeout 60").endswith('{"result": "paid 3"}')


def test_key_when_it_is_lost_or_given_away_then_one_command_shows_it_or_makes_another(terminal: Terminal) -> None:
    """The one before is refused from then on; the worker beside the host is started with the new one next time."""
    dev = terminal.run(f"{LEVANTE} dev --port {terminal.port}")
    dev.expect("where commands, clients and workers on this machine find it")
    first = terminal.said(f"{LEVANTE} keys local")
    assert first.startswith("lev_")
    second = terminal.said(f"{LEVANTE} keys local --renew")
    assert second not in {"", first}
    assert terminal.said(f"{LEVANTE} keys local") == second
    assert "local" in terminal.said(f"{LEVANTE} keys list")
    terminal.environment["LEVANTE_API_KEY"] = first
    refused = terminal.run(f"{LEVANTE} keys list")
    refused.expect("was revoked")
