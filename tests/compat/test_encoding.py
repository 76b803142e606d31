"""Our encoding and the official client's own, in both its major versions: either reads what the other writes."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from levante.encoding import (
    DecryptionFailed,
    EncodingSettings,
    EncryptedStr,
    PayloadCodec,
    PayloadContext,
    decode_event_payload,
    encode_event_payload,
    is_encoded,
)
from tests.support.processes import LocalSite

ROOT = Path(__file__).parent.parent.parent
CLIENT_2 = Path(os.environ.get("LEVANTE_CLIENT_2_PYTHON") or ROOT / ".venv-client-2" / "bin" / "python")
NAMESPACE = "team ns/!'()*~é"
HERE = PayloadContext(namespace=NAMESPACE, execution_id="exec-1")
MAIN, SECONDARY, AES_128 = "0f" * 32, "1e" * 32, "2d" * 16

ENCRYPTION = {
    "none": None,
    "full": {"mode": "full", "main_key": MAIN},
    "partial": {"mode": "partial", "main_key": MAIN},
    "rotated": {"mode": "full", "main_key": SECONDARY, "secondary_key": MAIN},
    "short key": {"mode": "full", "main_key": AES_128},
}
VALUES = {
    "object": {"name": "Ada", "count": 3, "ratio": 0.1, "on": True, "none": None, "tags": ["a", "b"], "empty": [{}, []]},
    "text": 'héllo ✓ 😀 \u2028 \x00 \\ "',
    "number": 42,
    "large number": 10**30,
    "list": [1, [2, [3]]],
    "fields": {
        "user": "Ada",
        "ssn": EncryptedStr(data="été 😀").model_dump(),
        "deep": [{"list": [EncryptedStr(data="").model_dump()]}],
        "outer": {**EncryptedStr(data="outer").model_dump(), "extra": EncryptedStr(data="no field").model_dump()},
    },
    "long": {"text": "fathom " * 400, "ssn": EncryptedStr(data="12-34 " * 400).model_dump()},
}


class Peer:
    """The official client's encoding in an environment of its own."""

    def __init__(self, python: Path) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        self._process = subprocess.Popen(
            [str(python), "-m", "tests.compat.encoding_peer"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
        )

    def __call__(self, do: str, **arguments: Any) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the other environment ended"
        answer = json.loads(line)
        assert answer["error"] is None, f"in the other environment:\n{answer['error']}"
        return answer["value"]

    def close(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(timeout=20)


@pytest.fixture(scope="module", params=["3.7.0", "2.10.1"])
def peer(request: pytest.FixtureRequest) -> Iterator[Peer]:
    python = Path(sys.executable) if request.param == "3.7.0" else CLIENT_2
    if not python.exists():
        pytest.fail(f"no environment with the official client {request.param}: {python} is not there", pytrace=False)
    peer = Peer(python)
    try:
        assert peer("version") == request.param
        yield peer
    finally:
        peer.close()


def configs(
    directory: Path, encryption: str, *, compress_from: int | None = None, offload_from: int | None = None
) -> tuple[dict[str, Any], PayloadCodec]:
    """Describe one configuration to both sides; blobs are files that both see."""
    chosen: dict[str, Any] = {"payload_encryption": ENCRYPTION[encryption]}
    if compress_from is not None:
        chosen["payload_compression"] = {"min_size_bytes": compress_from}
    theirs, ours = dict(chosen), dict(chosen)
    if offload_from is not None:
        s3 = {"storage_provider": "s3", "bucket_name": str(directory)}
        files = {"storage_provider": "directory", "directory": str(directory)}
        theirs["payload_offloading"] = {"storage_config": s3, "min_size_bytes": offload_from}
        ours["payload_offloading"] = {"storage_config": files, "min_size_bytes": offload_from}
    return theirs, PayloadCodec(EncodingSettings.model_validate(ours))


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("encryption", ENCRYPTION)
@pytest.mark.parametrize(
    "sizes", [{}, {"compress_from": 1000}, {"offload_from": 20}, {"compress_from": 1000, "offload_from": 20}]
)
def test_payload_when_one_side_encodes_then_the_other_decodes(
    peer: Peer, tmp_path: Path, value: Any, encryption: str, sizes: dict[str, int]
) -> None:
    """Every combination is read in both directions, and both do the same in the same order."""
    theirs, ours = configs(tmp_path, encryption, **sizes)
    sent_by_client = peer("encode", config=theirs, value=value, namespace=NAMESPACE, execution_id=HERE.execution_id)
    assert ours.decode(sent_by_client, HERE) == value
    sent_by_us = ours.encode(value, HERE)
    if not is_encoded(sent_by_us):
        assert (sent_by_us, sent_by_client["encoding_options"]) == (value, [])
        return
    assert peer("decode", config=theirs, value=sent_by_us) == value
    assert sent_by_us.keys() == sent_by_client.keys()
    assert sent_by_us["encoding_options"] == sent_by_client["encoding_options"]


@pytest.mark.parametrize("writer", ["full", "rotated"])
def test_payload_when_keys_rotate_then_a_side_with_both_keys_reads_either(peer: Peer, tmp_path: Path, writer: str) -> None:
    """Main and secondary keys mean the same on both sides."""
    (their_writer, our_writer), (their_reader, our_reader) = configs(tmp_path, writer), configs(tmp_path, "rotated")
    sent = peer("encode", config=their_writer, value="x", namespace=NAMESPACE, execution_id="exec-1")
    assert our_reader.decode(sent, HERE) == "x"
    assert peer("decode", config=their_reader, value=our_writer.encode("x", HERE)) == "x"


def test_payload_when_the_client_has_another_key_then_decryption_failed(peer: Peer, tmp_path: Path) -> None:
    """The client's ciphertext is told from a damaged payload."""
    theirs, _ = configs(tmp_path, "rotated")
    _, ours = configs(tmp_path, "full")
    sent = peer("encode", config=theirs, value="x", namespace=NAMESPACE, execution_id="exec-1")
    with pytest.raises(DecryptionFailed):
        ours.decode(sent, HERE)


def test_blob_when_both_sides_offload_one_payload_then_it_is_kept_once(peer: Peer, tmp_path: Path) -> None:
    """Both name blobs by namespace, execution and content, quoted alike."""
    theirs, ours = configs(tmp_path, "none", offload_from=0)
    sent = peer("encode", config=theirs, value=[1, 2], namespace=NAMESPACE, execution_id="exec-1")
    assert ours.encode([1, 2], HERE) == sent
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("encryption", ENCRYPTION)
@pytest.mark.parametrize("compress_from", [None, 1000])
def test_event_when_one_side_encodes_then_the_other_decodes(
    peer: Peer, tmp_path: Path, value: Any, encryption: str, compress_from: int | None
) -> None:
    """Payloads of stream events are read in both directions."""
    theirs, ours = configs(tmp_path, encryption, compress_from=compress_from)
    published = encode_event_payload(ours, {"type": "json", "value": value})
    assert peer("decode_event", config=theirs, payload=published)["value"] == value
    sent = peer("encode_event", config=theirs, value=value)
    if sent["encoding_options"]:
        assert decode_event_payload(ours, sent, HERE)["value"] == value


@pytest.mark.parametrize("encryption", ["full", "partial"])
def test_patch_when_we_encode_it_then_the_client_reads_its_operations(peer: Peer, tmp_path: Path, encryption: str) -> None:
    """Patches come back with all operations, those in plain beside those that were encrypted."""
    steps = [
        {"op": "replace", "path": "/name", "value": "Ada"},
        {"op": "add", "path": "/ssn", "value": EncryptedStr(data="12-34").model_dump()},
        {"op": "append", "path": "/notes/data", "value": " more"},
        {"op": "replace", "path": "/notes/data", "value": "other"},
    ]
    theirs, ours = configs(tmp_path, encryption)
    payload = {"type": "json_patch", "value": steps}
    published = encode_event_payload(ours, payload, encrypted_at={"/notes"})
    for secret in ("12-34", " more", "other"):
        assert secret not in json.dumps(published)
    assert peer("decode_event", config=theirs, payload=published)["value"] == steps


class EchoService(ThreadingHTTPServer):
    """The API's answers to one client, and a worker that decodes inputs and gives them back, encoded by our codec.

    bodies: what was sent, by the last part of the path. inputs: what the worker decoded.
    """

    def __init__(self, codec: PayloadCodec) -> None:
        super().__init__(("127.0.0.1", 0), EchoHandler)
        self.codec = codec
        self.bodies: dict[str, Any] = {}
        self.inputs: list[Any] = []
        self.result: Any = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def work(self, input_: Any, execution_id: str) -> Any:
        """Do as a worker: decode, run, encode."""
        context = PayloadContext(namespace=NAMESPACE, execution_id=execution_id)
        value = self.codec.decode(input_, context)
        self.inputs.append(value)
        return self.codec.encode({"echo": value}, context)


class EchoHandler(BaseHTTPRequestHandler):
    server: EchoService

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        *_, subject, verb = self.path.split("/")
        self.server.bodies[verb] = body
        if verb == "execute":
            self.server.result = self.server.work(body["encoded_input"], body["execution_id"])
            self._answer(self._execution(body["execution_id"]))
        else:
            self._answer({"query_name": "echo", "result": self.server.work(body["input"], subject)})

    def do_GET(self) -> None:
        path, _, _ = self.path.partition("?")
        if path.endswith("/events/list"):
            self._answer({"events": [self._completed()], "next_cursor": None})
        else:
            self._answer(self._execution(path.rpartition("/")[2]))

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _execution(self, execution_id: str) -> dict[str, Any]:
        names = {"workflow_name": "echo", "execution_id": execution_id, "root_execution_id": execution_id}
        times = {"start_time": "2026-11-23T10:00:00Z", "end_time": "2026-11-23T10:00:01Z"}
        return {**names, **times, "status": "COMPLETED", "result": self.server.result}

    def _completed(self) -> dict[str, Any]:
        payload = encode_event_payload(self.server.codec, {"type": "json", "value": {"echo": self.server.inputs[0]}})
        absent = ("parent_workflow_exec_id", "continued_run_id", "first_execution_run_id", "chain_run_id", "schedule_id")
        return {
            **dict.fromkeys(absent),
            "event_id": "e1",
            "event_timestamp": 1,
            "root_workflow_exec_id": "x",
            "workflow_exec_id": "x",
            "workflow_run_id": "r",
            "workflow_name": "echo",
            "event_type": "WORKFLOW_EXECUTION_COMPLETED",
            "attributes": {"task_id": "t", "result": payload},
        }

    def _answer(self, value: Any) -> None:
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.mark.parametrize("encryption", ["full", "partial"])
@pytest.mark.parametrize("sizes", [{}, {"compress_from": 1000, "offload_from": 20}])
def test_client_when_it_drives_a_worker_that_uses_our_codec_then_it_sees_plain_values_and_the_service_none(
    peer: Peer, tmp_path: Path, encryption: str, sizes: dict[str, int]
) -> None:
    """configure_workflow_encoding alone is enough: execution, result, query and events."""
    theirs, ours = configs(tmp_path, encryption, **sizes)
    value = {"text": "fathom " * 400, "ssn": EncryptedStr(data="12-34").model_dump()}
    with EchoService(ours) as service:
        thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            seen = peer("converse", config=theirs, url=service.url, namespace=NAMESPACE, value=value)
        finally:
            service.shutdown()
            thread.join()
    assert service.inputs == [value, value]
    assert [seen[place] for place in ("result", "answer", "event")] == [{"echo": value}] * 3
    assert service.bodies["execute"]["input"] is None
    assert service.bodies["execute"]["execution_id"] == seen["execution_id"]
    assert is_encoded(service.bodies["execute"]["encoded_input"])
    assert is_encoded(service.bodies["queries"]["input"])
    assert "12-34" not in json.dumps(service.bodies) + json.dumps(service.result)


@pytest.fixture(scope="module", params=["full", "partial"])
def sealed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, LocalSite]]:
    """A mode, and a host with a worker whose payloads are encrypted in that mode."""
    site = LocalSite(tmp_path_factory.mktemp("sealed"))
    try:
        site.start_host()
        prefix = "TEMPORAL_PAYLOAD_ENCRYPTION__"
        site.start_worker("sealed", Path(__file__).parent, **{f"{prefix}MODE": request.param, f"{prefix}MAIN_KEY": MAIN})
        site.wait_for_workers(1)
        yield request.param, site
    finally:
        site.close()


@pytest.mark.slow
def test_client_when_it_drives_a_real_worker_with_encryption_then_it_sees_all_and_the_host_nothing(
    peer: Peer, tmp_path: Path, sealed: tuple[str, LocalSite]
) -> None:
    """Input, signal, query, update, result and events, with nothing but configure_workflow_encoding and two variables."""
    mode, site = sealed
    theirs, _ = configs(tmp_path, mode)
    text = f"fathom {uuid4().hex}"
    seen = peer("drive", config=theirs, url=site.url, key=site.key, text=text)
    assert seen["closed"] == f"closed with {text} updated"
    letters = [f"sealed: {text}", f"{text} 12-34", f"{text} signalled", f"{text} updated"]
    assert sorted(seen["result"]["result"]) == sorted(letters)
    shown = json.dumps([event["attributes"] for event in seen["events"]])
    assert f"sealed: {text}" in shown
    assert '"op": "append"' in shown
    assert '"value": ", and more"' in shown
    kept = b"".join(file.read_bytes() for file in site.directory.rglob("*") if file.is_file())
    if mode == "full":
        assert text.encode() not in kept
    else:
        assert f'"data":"{text}'.encode() not in kept


@pytest.mark.slow
def test_guide_when_its_snippets_run_one_after_the_other_then_they_hold() -> None:
    """What docs/encoding.md shows works, the official client's part included."""
    guide = (ROOT / "docs" / "encoding.md").read_text(encoding="utf-8")
    snippets = re.findall(r"^```python\n(.*?)^```", guide, flags=re.DOTALL | re.MULTILINE)
    assert len(snippets) > 5
    names: dict[str, Any] = {"__name__": "guide"}
    for snippet in snippets:
        exec(compile(snippet, "docs/encoding.md", "exec"), names)  # noqa: S102 - our own page
    with names["client"]:
        assert names["open_memory"](None).put("k", b"") is None
