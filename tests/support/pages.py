"""Pages of the docs as Sybil reads them: their Python is executed, and their commands are typed into terminals.

A page says what a reader does with a block: "`name.py`:" above one names the file to save it in, and these comments are for
the tests alone:

    <!-- skip: next "reason" -->    the next block is not run, for this reason
    <!-- terminal: host -->         the last command of the next block goes on; what follows is typed into another terminal
"""

import ast
import asyncio
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from types import ModuleType
from unittest import SkipTest

from sybil import Document, Example
from sybil.parsers.abstract.codeblock import AbstractCodeBlockParser
from sybil.parsers.markdown import SkipParser
from sybil.parsers.markdown.lexers import FencedCodeBlockLexer

from tests.support.processes import wait_until

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
INSTALLS = "LEVANTE_TEST_INSTALL"
"""Set where a page's own commands make the environment that the rest of it runs in."""
PORT = "8700"
SHELL = "shell"
_FILE = re.compile(r"`([\w-]+\.py)`:\s*$")
_TERMINAL = re.compile(r"<!-- terminal: (\w+) -->\s*$")
_VARYING = [
    (re.compile(r"(?:\\\.){3}"), ".*"),
    (re.compile(r"\d{4}\\-\d\d\\-\d\dT\d\d:\d\d:\d\dZ"), r"[\\d-]{10}T[\\d:]{8}Z"),
]
"""What differs each time, in a line that is escaped as a pattern."""

Evaluate = Callable[[Example], None]


def parse(page: Path, *, python: Evaluate, console: Evaluate | None = None) -> Document:
    """Read a page: its comments, its blocks of Python, and its sessions where they are wanted."""
    evaluators = {"python": python, **({"console": console} if console else {})}
    blocks = (
        AbstractCodeBlockParser(
            [FencedCodeBlockLexer(language, {"language": "arguments", "source": "source"})], language, run
        )
        for language, run in evaluators.items()
    )
    document = Document.parse(str(page), SkipParser(), *blocks)
    document.namespace["installs"] = INSTALLS in os.environ
    return document


def evaluate(document: Document, *, without: Collection[str] = ()) -> int:
    """Evaluate all blocks of a page in their order, but those of some files.

    Returns how many were skipped, each for a reason that the page gives.
    """
    skipped = 0
    for example in document.examples():
        if file_of(example) in without:
            continue
        try:
            example.evaluate()
        except SkipTest:
            skipped += 1
    return skipped


def file_of(example: Example) -> str | None:
    """Return the name of the file that the page wants a block to be saved in."""
    match = _FILE.search(example.document.text, 0, example.start)
    return match[1] if match else None


class Module:
    """The namespace of a page's Python, as that of a module. `await` may be used as in `python -m asyncio`."""

    def __init__(self, page: Path) -> None:
        self.module = ModuleType(f"page_{re.sub(r'[^a-z]', '_', page.stem)}")
        sys.modules[self.module.__name__] = self.module

    def __call__(self, example: Example) -> None:
        """Execute one block after those before it."""
        source = "\n" * (example.line + example.parsed.line_offset) + str(example.parsed)
        code = compile(source, example.path, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        begun = eval(code, self.module.__dict__)  # noqa: S307 - our own pages
        if inspect.iscoroutine(begun):
            asyncio.run(begun)

    def close(self) -> None:
        """Forget the module."""
        del sys.modules[self.module.__name__]


class Terminals:
    """The terminals that a reader of one page has open, all in one directory.

    Only the port is another than printed.
    """

    def __init__(self, directory: Path, port: int, path: str) -> None:
        self.directory = directory
        self._port = port
        self._environment = {
            **{
                name: value for name, value in os.environ.items() if not name.startswith(("LEVANTE_", "MISTRAL_", "PYTEST_"))
            },
            "LEVANTE_SERVER_URL": f"http://127.0.0.1:{port}",
            "PATH": path,
            "PYTHONUNBUFFERED": "1",
        }
        self._open: dict[str, _Terminal] = {}

    def save(self, example: Example) -> None:
        """Save a block in its file."""
        name = file_of(example)
        assert name, f"{example.path}:{example.line}: a block of Python that belongs to no file"
        (self.directory / name).write_text(self._as_typed(str(example.parsed)), encoding="utf-8")

    def type(self, example: Example) -> None:
        """Type the commands of a block, and compare what they print."""
        match = _TERMINAL.search(example.document.text, 0, example.start)
        name = match[1] if match else SHELL
        if match and SHELL in self._open:
            self._open[name] = self._open.pop(SHELL)
        if name not in self._open:
            self._open[name] = _Terminal(self.directory, f"{name}-{len(self._open)}", self._environment)
        terminal = self._open[name]
        commands = _commands(str(example.parsed))
        for number, (command, printed) in enumerate(commands, 1):
            stays = match is not None and number == len(commands)
            terminal.run(self._as_typed(command), [line.replace(PORT, str(self._port)) for line in printed], stays=stays)

    def close(self) -> None:
        """End all that runs in them."""
        for terminal in self._open.values():
            terminal.close()

    def _as_typed(self, text: str) -> str:
        return text.replace("levante dev", f"levante dev --port {self._port}").replace(f":{PORT}", f":{self._port}")


class _Terminal:
    def __init__(self, directory: Path, name: str, environment: dict[str, str]) -> None:
        self._log = directory / f".{name}.log"
        with self._log.open("wb") as out:
            self._shell = subprocess.Popen(
                ["bash", "--norc"],  # noqa: S607 - whichever is there
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=directory,
                env=environment,
                start_new_session=True,
                text=True,
            )
        self._typed = 0

    def output(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def run(self, command: str, printed: list[str], *, stays: bool) -> None:
        """Type a command. Wait until it has ended well, unless it stays, and has printed these lines in this order."""
        assert self._shell.stdin
        before = len(self.output())
        self._typed += 1
        ended = f"<ended {self._typed}: "
        self._shell.stdin.write(command + "\n" if stays else f'{command}\necho "\n{ended}$?>"\n')
        self._shell.stdin.flush()
        if not stays:
            wait_until(lambda: ended in self.output(), f"{command!r} ends: {self.output()[before:]}")
            assert f"{ended}0>" in self.output(), f"{command!r} failed:\n{self.output()[before:]}"
        pattern = re.compile(r"^.*".join(_pattern(line) for line in printed), re.DOTALL | re.MULTILINE)
        try:
            wait_until(lambda: pattern.search(self.output(), before), "it is printed")
        except AssertionError:
            expected = "\n".join(printed)
            raise AssertionError(f"{command!r} was to print\n{expected}\nand printed\n{self.output()[before:]}") from None

    def close(self) -> None:
        os.killpg(self._shell.pid, 9)
        assert self._shell.stdin
        self._shell.stdin.close()
        self._shell.wait()


def _commands(session: str) -> list[tuple[str, list[str]]]:
    """Divide a session into its commands and the lines that each of them prints."""
    commands: list[tuple[str, list[str]]] = []
    lines = iter(session.splitlines())
    for line in lines:
        if line.startswith("$ "):
            command = line[2:]
            while command.endswith("\\"):
                command += "\n" + next(lines)
            commands.append((command, []))
        elif line.strip():
            commands[-1][1].append(line)
    return commands


def _pattern(line: str) -> str:
    pattern = re.escape(line.rstrip())
    for varying, instead in _VARYING:
        pattern = varying.sub(instead, pattern)
    return rf"{pattern}\s*?$\n?".replace(".*", r"[^\n]*")
