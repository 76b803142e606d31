"""The official client's own encoding, in the environment that this is started in: one line of JSON in, one out.

Requests are `{"do": NAME, "config": {...}, ...}` for a function of this module. Its blob store is replaced by files, named
as those of our directory store: what it keeps in and reads from S3 needs libraries that pin another boto3 than ours.
"""

import asyncio
import base64
import hashlib
import json
import sys
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from mistralai.client import Mistral
from mistralai.client._version import __version__
from mistralai.extra.workflows import WorkflowEncodingConfig, configure_workflow_encoding
from mistralai.extra.workflows.encoding import PayloadEncoder, payload_encoder
from mistralai.extra.workflows.encoding.models import EncodedPayloadOptions, WorkflowContext
from mistralai.extra.workflows.encoding.storage.blob_storage import BlobStorage

STORE = "mistralai.extra.workflows.encoding.payload_encoder.get_blob_storage"


class Files(BlobStorage):
    """Blobs as files named by the hash of their key."""

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)

    def _path(self, key: str) -> Path:
        return self._directory / hashlib.sha256(key.encode()).hexdigest()

    async def upload_blob(self, key: str, content: bytes) -> str:
        self._path(key).write_bytes(content)
        return key

    async def get_blob(self, key: str) -> bytes:
        return self._path(key).read_bytes()

    async def get_blob_properties(self, key: str) -> dict[str, Any] | None:
        return {"size": self._path(key).stat().st_size} if self._path(key).exists() else None

    async def delete_blob(self, key: str) -> None:
        self._path(key).unlink()

    async def blob_exists(self, key: str) -> bool:
        return self._path(key).exists()


@asynccontextmanager
async def files(config: Any) -> AsyncIterator[BlobStorage]:
    """Open the store; the settings carry its directory as the name of the bucket."""
    yield Files(config.bucket_name)


def version() -> str:
    """Tell which client this is."""
    return str(__version__)


def encode(config: dict[str, Any], value: Any, namespace: str, execution_id: str) -> Any:
    """Encode a payload as the client does before it sends it."""
    context = WorkflowContext(namespace=namespace, execution_id=execution_id)
    return asyncio.run(encoder(config).encode_network_input(value, context)).model_dump(mode="json")


def decode(config: dict[str, Any], value: Any) -> Any:
    """Decode a payload as the client does with results."""
    assert encoder(config).check_is_payload_encoded(value)
    return asyncio.run(encoder(config).decode_network_result(value))


def encode_event(config: dict[str, Any], value: Any) -> Any:
    """Encode the value of an event payload."""
    content, options = asyncio.run(encoder(config).encode_event_payload_content(json.dumps(value)))
    return {
        "type": "json",
        "value": base64.b64encode(content).decode(),
        "encoding_options": [EncodedPayloadOptions(option).value for option in options],
    }


def decode_event(config: dict[str, Any], payload: Any) -> Any:
    """Decode an event payload as the client does when it lists or streams events."""
    return asyncio.run(encoder(config).decode_event_payload(payload))


def converse(config: dict[str, Any], url: str, namespace: str, value: Any) -> Any:
    """Drive a server through the client with encoding switched on: start, read, ask and list events."""
    with Mistral(api_key="key", server_url=url, timeout_ms=20_000) as client:
        chosen = WorkflowEncodingConfig.model_validate(config)
        asyncio.run(configure_workflow_encoding(chosen, client=client, namespace=namespace))
        started: Any = client.workflows.execute_workflow(workflow_identifier="echo", input=value)
        executions = client.workflows.executions
        found: Any = executions.get_workflow_execution(execution_id=started.execution_id)
        answer: Any = executions.query_workflow_execution(execution_id=started.execution_id, name="echo", input=value)
        events: Any = client.workflows.events.get_workflow_events(root_workflow_exec_id=started.execution_id)
        return {
            "execution_id": started.execution_id,
            "result": found.result,
            "answer": answer.result,
            "event": events.events[0].attributes.result.value,
        }


def drive(config: dict[str, Any], url: str, key: str, text: str) -> Any:
    """Drive a real worker through the client with encoding switched on."""
    with Mistral(api_key=key, server_url=url, timeout_ms=20_000) as client:
        chosen = WorkflowEncodingConfig.model_validate(config)
        asyncio.run(configure_workflow_encoding(chosen, client=client))
        value = {"text": text, "ssn": {"field_type": "__encrypted_str__", "data": f"{text} 12-34"}}
        started: Any = client.workflows.execute_workflow(workflow_identifier="sealed", input=value)
        executions, here = client.workflows.executions, {"execution_id": started.execution_id}
        executions.signal_workflow_execution(**here, name="add", input={"text": f"{text} signalled"})
        shown: Any = executions.query_workflow_execution(**here, name="show", input={"above": 0})
        closed: Any = executions.update_workflow_execution(**here, name="close", input={"text": f"{text} updated"})
        pause: Any = 0.02
        ended: Any = client.workflows.wait_for_workflow_completion(started.execution_id, pause, 1500)
        events: Any = client.workflows.events.get_workflow_events(root_workflow_exec_id=started.execution_id)
        return {
            "shown": shown.result,
            "closed": closed.result,
            "result": ended.result,
            "events": [json.loads(event.model_dump_json()) for event in events.events],
        }


def encoder(config: dict[str, Any]) -> PayloadEncoder:
    """Build the client's encoder."""
    return PayloadEncoder(encoding_config=WorkflowEncodingConfig.model_validate(config))


FUNCTIONS = {
    function.__name__: function for function in (version, encode, decode, encode_event, decode_event, converse, drive)
}


def main() -> None:
    """Answer until the input ends."""
    assert hasattr(payload_encoder, "get_blob_storage")
    with mock.patch(STORE, files):
        for line in sys.stdin:
            request = json.loads(line)
            try:
                answer = {"value": FUNCTIONS[request.pop("do")](**request), "error": None}
            except Exception:  # noqa: BLE001 - a failure is what is reported
                answer = {"value": None, "error": traceback.format_exc()}
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
