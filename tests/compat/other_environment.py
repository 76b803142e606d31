"""Scenarios in an environment of their own."""

import json
import os
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parent.parent.parent


class OtherEnvironment:
    """Runs scenarios in another interpreter, which is started when it is first needed and after one that hung."""

    def __init__(self, python: Path, url: str, key: str, log: Path) -> None:
        self._command = [str(python), "-m", "tests.compat.run_scenarios", url, key]
        self._log = log
        self._process: subprocess.Popen[str] | None = None
        self.hello: dict[str, Any] = {}

    def run(self, name: str) -> None:
        """Run one scenario. Raises: AssertionError with its traceback."""
        try:
            answer = self._ask(name)
        except BaseException:  # an interrupted scenario may answer later, to the wrong question
            self.stop()
            raise
        assert answer["name"] == name
        if not answer["ok"]:
            raise AssertionError(f"in the other environment:\n{answer['error']}")

    def start(self) -> None:
        """Start the interpreter if it is not running. Sets `hello` to what it says of itself."""
        if self._process is not None:
            return
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=ROOT,
                env=environment,
            )
        self.hello = self._read()

    def stop(self) -> None:
        """Stop the interpreter."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            for pipe in (process.stdin, process.stdout):
                with suppress(BrokenPipeError):
                    _open(pipe).close()
            process.wait()

    def _ask(self, name: str) -> dict[str, Any]:
        self.start()
        assert self._process
        pipe = _open(self._process.stdin)
        pipe.write(name + "\n")
        pipe.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process
        line = _open(self._process.stdout).readline()
        assert line, f"the other environment ended: {self._log.read_text()[-2000:]}"
        answer: dict[str, Any] = json.loads(line)
        return answer


def _open(pipe: IO[str] | None) -> IO[str]:
    assert pipe
    return pipe
