"""Frames: what is written has to be read back by any reader of server-sent events, and by the official client."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mistralai.client.models import StreamEventSsePayload

from levante_core.domain.names import Workspace
from levante_core.domain.streams.events import StreamEvent, StreamEventType, StreamUpdate
from levante_core.protocol.stream_messages import StreamProblem
from levante_core.services.streams.publish import Sequenced
from levante_events.frames import KEEP_ALIVE, error_frame, event_frame, retry_frame

SPACE = Workspace("s")
AT_NANOSECONDS = 1767268800_123456_000


def sequenced(value: Any = None, sequence: int = 7) -> Sequenced:
    """Make an event that carries a value, at a place."""
    event = StreamEvent(
        event_id="r:1.0",
        event_timestamp=AT_NANOSECONDS,
        root_workflow_exec_id="root",
        parent_workflow_exec_id=None,
        workflow_exec_id="e",
        workflow_run_id="r",
        workflow_name="w",
        event_type=StreamEventType.WORKFLOW_EXECUTION_COMPLETED,
        attributes={"task_id": "r", "result": {"type": "json", "value": value, "encoding_options": None}, "attempt": 1},
    )
    return Sequenced(sequence, StreamUpdate(stream="workflow", scope="workflow", event=event), 1)


def fields(frame: bytes) -> dict[str, str]:
    """Read one frame as the standard says: lines end with LF, CR or CRLF; a blank line ends the frame."""
    text = frame.decode()
    assert text.endswith("\n\n")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n\n").split("\n")
    assert "" not in lines, "the frame ends before its end"
    return dict(line.split(": ", 1) for line in lines)


def test_event_frame_when_written_then_it_says_what_where_and_when() -> None:
    """The envelope of the contract, section 4; the id is what a reader sends back."""
    frame = fields(event_frame(SPACE, sequenced(3)))
    data = json.loads(frame["data"])
    assert (set(frame), frame["id"]) == ({"id", "data"}, "7")
    assert {name: value for name, value in data.items() if name != "data"} == {
        "stream": "workflow",
        "workflow_context": {
            "namespace": "s",
            "workflow_name": "w",
            "workflow_exec_id": "e",
            "parent_workflow_exec_id": None,
            "root_workflow_exec_id": "root",
        },
        "broker_sequence": 7,
        "timestamp": "2026-01-01T12:00:00.123456Z",
        "metadata": {"scope": "workflow"},
    }
    assert data["data"]["event_timestamp"] == AT_NANOSECONDS
    assert data["data"]["attributes"]["result"]["value"] == 3


def test_event_frame_when_keys_are_null_then_they_are_there() -> None:
    """Older clients require nullable keys."""
    data = json.loads(fields(event_frame(SPACE, sequenced()))["data"])["data"]
    nullable = ("parent_workflow_exec_id", "continued_run_id", "first_execution_run_id", "chain_run_id", "schedule_id")
    assert [data[name] for name in nullable] == [None] * 5
    assert data["attributes"]["result"] == {"type": "json", "value": None, "encoding_options": None}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(value=json_values, sequence=st.integers(1, 10**12 - 1))
def test_event_frame_when_its_value_is_any_json_then_the_official_client_reads_it_back(value: Any, sequence: int) -> None:
    """Line ends, quotes and separators inside of values do not end a line or a frame."""
    frame = fields(event_frame(SPACE, sequenced(value, sequence)))
    payload: Any = StreamEventSsePayload.model_validate_json(frame["data"])
    assert (payload.broker_sequence, frame["id"]) == (sequence, str(sequence))
    assert payload.data.attributes.result.value == value


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "a\n\nevent: error\ndata: x", "a\u2028b\u0085c", "\ufeff", "\x00"])
def test_event_frame_when_a_text_would_end_it_then_it_is_one_frame_all_the_same(text: str) -> None:
    """Nobody writes frames of their own by what they put into a workflow."""
    frame = fields(event_frame(SPACE, sequenced(text)))
    assert json.loads(frame["data"])["data"]["attributes"]["result"]["value"] == text


def test_retry_frame_when_written_then_it_is_in_whole_milliseconds() -> None:
    """As the standard wants it; it has no data, and so is no event."""
    assert retry_frame(1.5) == b"retry: 1500\n\n"
    assert retry_frame(0.0004) == b"retry: 0\n\n"


def test_error_frame_when_written_then_it_has_the_words_of_the_contract() -> None:
    """`event: error`, and why; a message with line ends is still one frame."""
    frame = fields(error_frame(StreamProblem(error="busy\n\ntry again", reason="stream_error")))
    assert set(frame) == {"event", "data"}
    assert (frame["event"], json.loads(frame["data"])) == ("error", {"error": "busy\n\ntry again", "reason": "stream_error"})


def test_keep_alive_when_written_then_it_is_a_comment() -> None:
    """Readers skip lines that begin with a colon."""
    assert KEEP_ALIVE.startswith(b":")
    assert KEEP_ALIVE.endswith(b"\n\n")
    assert KEEP_ALIVE.count(b"\n") == 2
