"""The worker's own lines, beside whatever logging the program has."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pydantic import SecretStr

from levante.worker.logs.console import own_lines
from levante.worker.logs.taps import tap
from levante.worker.settings import WorkerSettings

OWN, USERS = logging.getLogger("levante.worker"), logging.getLogger("shop")


def settings(**given: Any) -> WorkerSettings:
    """Return settings of a worker."""
    return WorkerSettings(api_key=SecretStr("k"), deployment_name="d", worker_name="w", **given)


@contextmanager
def unset_logging() -> Iterator[logging.Logger]:
    """Give the root logger as a program finds it that has not set up logging: pytest has handlers of its own."""
    root, own = logging.getLogger(), logging.getLogger("levante")
    handlers, level = root.handlers, own.level
    root.handlers = []
    try:
        yield root
    finally:
        root.handlers = handlers
        own.setLevel(level)


def test_lines_when_the_program_has_no_logging_then_the_worker_speaks_and_the_last_resort_stays(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`python checkout.py` shows that the worker serves, and the warnings of its own code as Python does."""
    with unset_logging(), own_lines(settings()):
        OWN.info("worker w serves x")
        USERS.info("not seen: the level is WARNING")
        USERS.warning("mind the gap")
    OWN.info("not seen any more")
    own, users = capsys.readouterr().err.splitlines()
    assert own.endswith(" INFO levante.worker: worker w serves x")
    assert users == "mind the gap"


def test_lines_when_logging_is_set_up_before_or_later_then_each_comes_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In the program's own form."""
    with unset_logging() as root, own_lines(settings(log_level="warning")):
        OWN.warning("first")
        logging.basicConfig(format="mine: %(message)s")
        assert root.handlers
        OWN.warning("second")
        OWN.info("not seen: LOG_LEVEL says so")
        USERS.warning("third")
    first, *others = capsys.readouterr().err.splitlines()
    assert first.endswith("first")
    assert others == ["mine: second", "mine: third"]


def test_lines_when_the_program_handles_those_of_levante_then_no_handler_is_added(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whoever has looked that far wants it so."""
    mine = logging.NullHandler()
    logging.getLogger("levante").addHandler(mine)
    try:
        with unset_logging(), own_lines(settings()):
            OWN.warning("quiet")
    finally:
        logging.getLogger("levante").removeHandler(mine)
    assert capsys.readouterr().err == ""


def test_lines_when_the_format_is_json_then_each_is_an_object(capsys: pytest.CaptureFixture[str]) -> None:
    """As LOG_FORMAT asks."""
    with unset_logging(), own_lines(settings(log_format="json")):
        OWN.info("hello")
    assert json.loads(capsys.readouterr().err)["message"] == "hello"


def test_tap_when_records_are_logged_then_it_sees_them_and_nothing_changes_for_the_program(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Filters of loggers count, so that what they keep out is not seen; two taps do not disturb each other."""
    seen: list[logging.LogRecord] = []
    seen_by_other: list[logging.LogRecord] = []
    before = logging.Logger.callHandlers

    def is_open(record: logging.LogRecord) -> bool:
        return "secret" not in record.getMessage()

    USERS.addFilter(is_open)
    try:
        with unset_logging() as root:
            with tap(seen.append):
                with tap(seen_by_other.append):
                    USERS.warning("one")
                USERS.warning("a secret")
                USERS.warning("two")
                assert root.handlers == []
            USERS.warning("three")
    finally:
        USERS.removeFilter(is_open)
    assert [record.getMessage() for record in seen] == ["one", "two"]
    assert [record.getMessage() for record in seen_by_other] == ["one"]
    assert capsys.readouterr().err.splitlines() == ["one", "two", "three"]
    assert logging.Logger.callHandlers is before
