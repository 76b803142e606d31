"""No log line has what a user sent: neither the programs' own lines, nor tracebacks, nor what Lambda logs by itself."""

import ast
import io
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from levante_core.adapters.error_logs import keep_payloads_out
from levante_core.errors import HandlerFailed, InvalidInput, NotFound, Unavailable, loggable

ROOT = Path(__file__).parents[2]
CANARY = "canary-7f3a9"
PROGRAMS = sorted(path for place in ("core", "functions") for path in (ROOT / place).rglob("*.py"))
LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log"}


class Model(BaseModel):
    number: int


def invalid() -> None:
    Model.model_validate({"number": CANARY})


def undecodable() -> None:
    int(CANARY)


def chained() -> None:
    try:
        undecodable()
    except ValueError as error:
        raise Unavailable("the table is out of reach") from error


def refused() -> None:
    raise InvalidInput.at(("input", "number"), f"{CANARY!r} is not of type 'integer'", "schema.type")


def handled() -> None:
    raise HandlerFailed(f"the query raised: {CANARY}", {"message": CANARY})


RAISING = [invalid, undecodable, chained, refused, handled]


@pytest.fixture
def log() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    """A logger with the handler of a program."""
    written = io.StringIO()
    handler, logger = logging.StreamHandler(written), logging.getLogger("levante.canary")
    keep_payloads_out(handler)
    logger.addHandler(handler)
    yield logger, written
    logger.removeHandler(handler)


@pytest.mark.parametrize("raises", RAISING)
def test_error_when_logged_with_its_traceback_then_it_says_where_but_not_what_was_sent(
    raises: Callable[[], None], log: tuple[logging.Logger, io.StringIO]
) -> None:
    """Messages of libraries quote values; the place and the class are what helps."""
    logger, written = log
    name = ""
    try:
        raises()
    except Exception as error:
        logger.exception("item %s could not be dealt with", "i")
        logger.warning("again", exc_info=True)
        name = type(error).__qualname__
    assert name
    assert CANARY not in written.getvalue()
    assert written.getvalue().startswith(f"item i could not be dealt with\n{name}")
    assert f" {raises.__name__}\n" in written.getvalue()


def test_error_when_other_handlers_log_it_too_then_they_write_all_of_it(log: tuple[logging.Logger, io.StringIO]) -> None:
    """What a program does not log, a developer's own handler in the same process does."""
    logger, written = log
    all_of_it = io.StringIO()
    logger.addHandler(other := logging.StreamHandler(all_of_it))
    try:
        invalid()
    except ValueError:
        logger.exception("failed")
    finally:
        logger.removeHandler(other)
    assert CANARY in all_of_it.getvalue()
    assert CANARY not in written.getvalue()


def test_error_when_it_is_one_of_ours_then_its_message_is_logged(log: tuple[logging.Logger, io.StringIO]) -> None:
    """They say what was wrong, where, and what to do."""
    logger, written = log
    try:
        chained()
    except Unavailable:
        logger.exception("failed")
    assert "Unavailable: the table is out of reach\nValueError\n" in written.getvalue()
    assert loggable(NotFound("there is no execution 'e'")) == "NotFound: there is no execution 'e'"
    assert (
        loggable(InvalidInput.at(("input", "number"), CANARY, "schema.type")) == "InvalidInput: input.number (schema.type)"
    )


HOST = f"""
import logging
from levante_local import cli

def serve(*_):
    logging.getLogger("levante.host").info("not told")
    for name in ("levante.host", "asyncio", "anything"):
        try:
            int({CANARY!r})
        except ValueError:
            logging.getLogger(name).exception("%s failed", name)

cli.serve = serve
cli.dev(["--data", "data"])
"""


@pytest.mark.slow
def test_host_when_anything_in_it_logs_an_error_then_its_message_is_left_out(tmp_path: Path) -> None:
    """Its own parts, the event loop, libraries: one handler writes what all of them say."""
    done = subprocess.run(
        [sys.executable, "-c", HOST], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=50
    )
    assert [line for line in done.stderr.splitlines() if line.startswith("ERROR")] == [
        f"ERROR: {name}: {name} failed" for name in ("levante.host", "asyncio", "anything")
    ]
    assert done.stderr.count("\nValueError\n") == 3
    assert CANARY not in done.stderr + done.stdout
    assert "not told" not in done.stderr


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: str(path.relative_to(ROOT)))
def test_log_calls_when_they_name_an_error_then_as_what_may_be_logged_of_it(path: Path) -> None:
    """`logger.warning("...: %s", error)` writes its message, whatever that quotes: write `loggable(error)`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    errors = {node.name for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler) and node.name}
    errors |= {
        node.arg
        for node in ast.walk(tree)
        if isinstance(node, ast.arg) and node.annotation and "Exception" in ast.unparse(node.annotation)
    }
    assert [ast.unparse(call) for call in _log_calls(tree) if _named(call) & errors] == []


def _log_calls(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=value, attr=level)) if level in LEVELS:
                if "log" in ast.unparse(value).lower():
                    yield node


def _named(call: ast.Call) -> set[str]:
    """Return the names that are arguments, or in these, but for what `loggable` is given."""
    names: set[str] = set()
    waiting: list[ast.AST] = list(call.args)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "loggable":
            continue
        if isinstance(node, ast.Name):
            names.add(node.id)
        waiting += ast.iter_child_nodes(node)
    return names
