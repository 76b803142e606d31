"""Traces are sent beside the work: a collector holds up nobody."""

import threading
from contextlib import suppress

import pytest

from levante_core.adapters.otlp_http import MOST_WAITING, MOST_WAITING_BYTES, Background
from tests.support.processes import wait_until


def test_sender_when_the_collector_is_slow_then_callers_do_not_wait_until_too_many_do() -> None:
    """What cannot be sent in time is dropped; the API shows it all the same."""
    go_on = threading.Event()
    sent: list[bytes] = []

    def slow(body: bytes) -> None:
        go_on.wait(30)
        sent.append(body)

    send = Background(slow, 0)
    for number in range(MOST_WAITING):
        send(str(number).encode())
    with pytest.raises(OSError, match="slow"):
        send(b"one too many")
    go_on.set()
    wait_until(lambda: len(sent) == MOST_WAITING, "all that waited is sent")
    assert sent == [str(number).encode() for number in range(MOST_WAITING)]


def test_sender_when_a_request_fails_then_the_next_call_says_so() -> None:
    """Nobody waits for the answer, so its failure is told later; the export pauses then."""

    def broken(_: bytes) -> None:
        raise OSError("the collector answered 503")

    send = Background(broken, 0)
    send(b"first")
    heard: list[str] = []

    def is_reported() -> bool:
        try:
            send(b"next")
        except OSError as error:
            heard.append(str(error))
        return bool(heard)

    wait_until(is_reported, "a later call hears of it")
    assert heard == ["the collector answered 503"]


def test_sender_when_what_waits_has_many_bytes_then_no_more_is_kept() -> None:
    """A few large requests take as much memory as many small ones."""
    go_on = threading.Event()
    send = Background(lambda _: (go_on.wait(30), None)[1], 0)
    quarter = bytes(MOST_WAITING_BYTES // 4)
    for _ in range(4):
        send(quarter)
    with pytest.raises(OSError, match="slow: 4 requests of 33,554,432 bytes wait"):
        send(b"x")
    go_on.set()


def test_sender_when_callers_wait_a_little_then_they_hear_of_a_failure_or_of_the_time() -> None:
    """A Lambda function that has answered stands still, so it waits: not for long."""
    go_on = threading.Event()

    def slow(_: bytes) -> None:
        go_on.wait(30)

    send = Background(slow, 0.01)
    with pytest.raises(OSError, match="longer than"):
        send(b"x")
    go_on.set()
    done: list[bytes] = []
    quick = Background(done.append, 30)
    quick(b"y")
    assert done == [b"y"]
    with suppress(OSError):
        send(b"z")
