"""Payload encoding end to end: plain in workflow code and activities, encoded in everything that the service keeps."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

import levante as workflows
from levante import workflow
from levante.encoding import (
    BlobStorageSettings,
    CompressionSettings,
    EncodingSettings,
    EncryptedStr,
    EncryptionMode,
    EncryptionSettings,
    OffloadableField,
    OffloadingSettings,
    PayloadCodec,
    PayloadContext,
    is_encoded,
)
from levante.worker.payloads import Payloads
from levante_core.domain.names import ExecutionId
from levante_core.errors import InvalidInput
from levante_local.greenlets import call
from tests.support.direct import WORKSPACE, Installation

SECRET = "the-launch-code-is-4711"
KEY, OTHER_KEY = "0f" * 32, "1e" * 32
SEEN: list[Any] = []


class Order(BaseModel):
    """What is ordered; the card is for nobody's eyes."""

    card: EncryptedStr
    note: str = ""


class Notice(BaseModel):
    """What a custom task tells."""

    text: str
    card: EncryptedStr


@workflows.activity(name="encoded-echo")
async def echo(order: Order) -> Order:
    """Return what came."""
    return order


@workflows.activity(name="encoded-queued", rate_limit=workflows.RateLimit(time_window_in_sec=1, max_execution=1000))
async def echo_over_the_queue(order: Order) -> Order:
    """Fail once, leaving a heartbeat, then return what came."""
    SEEN.append(workflows.activity.heartbeat_details())
    workflows.activity_heartbeat({"card": order.card.model_dump()}, SECRET)
    if len(SEEN) == 1:
        raise RuntimeError("once")
    return order


@workflows.activity(name="encoded-long")
async def long_text(size: int) -> str:
    """Return a text that compresses well."""
    return SECRET + "x" * size


@workflows.activity(name="encoded-write")
async def write(field: OffloadableField[str]) -> OffloadableField[str]:
    """Read a field, and write another one."""
    return OffloadableField(value=field.get_value() + "!")


@workflow.define(name="encoded-child")
class Child:
    """Returns its input."""

    @workflow.entrypoint
    async def run(self, order: Order) -> Order:
        """See the class."""
        return order


@workflow.define(name="encoded", execution_timeout=timedelta(minutes=5))
class Everything:
    """Sends its order everywhere where a payload goes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    @workflow.entrypoint
    async def run(self, order: Order, rounds: int = 1) -> list[str]:
        """See the class."""
        first = await echo(order)
        second = await echo_over_the_queue(first)
        third = await workflow.execute_workflow(Child, second)
        async with workflows.task("order", Notice(text=third.note, card=third.card)) as task:
            await task.update_state({"text": third.note + SECRET})
            await task.update_state({"card": EncryptedStr(data=SECRET * 2)})
        await workflow.wait_condition(lambda: len(self.notes) == 2)
        if rounds:
            workflow.continue_as_new({"order": third.model_dump(mode="json"), "rounds": rounds - 1})
        return [third.card.data, third.note, *self.notes]

    @workflow.signal(name="tell")
    def tell(self, note: Order) -> None:
        """Note it."""
        self.notes.append(note.card.data)

    @workflow.update(name="add")
    async def add(self, note: Order) -> Order:
        """Note it, and return it."""
        self.notes.append(note.card.data)
        return note

    @workflow.query(name="notes")
    def show(self, wanted: Order) -> list[str]:
        """Return what was wanted, and all notes."""
        return [wanted.card.data, *self.notes]


@workflow.define(name="encoded-large")
class Large:
    """Passes large values on."""

    @workflow.entrypoint
    async def run(self, size: int) -> str:
        """See the class."""
        return await long_text(size)


@workflow.define(name="encoded-field")
class Fields:
    """Passes on a field whose value it does not have."""

    @workflow.entrypoint
    async def run(self, text: str) -> OffloadableField[str]:
        """See the class."""
        written = await write(OffloadableField(value=text))
        assert written.blob_ref
        return await write(written)


@workflow.define(
    name="encoded-scheduled", schedules=[workflows.Schedule(input={"text": SECRET}, schedule_id="sealed", max_executions=9)]
)
class Scheduled:
    """Is started by a schedule, and goes on in a second run."""

    @workflow.entrypoint
    async def run(self, text: str, more: int = 1) -> str:
        """See the class."""
        if more:
            workflow.continue_as_new({"text": text + "!", "more": 0})
        return text


WORKFLOWS = [Everything, Child, Large, Fields, Scheduled]
ACTIVITIES: list[Any] = [echo, echo_over_the_queue, long_text, write]


def encryption(mode: EncryptionMode, key: str = KEY) -> EncryptionSettings:
    return EncryptionSettings(mode=mode, main_key=SecretStr(key))


def offloading(path: Path, least: int = 0) -> OffloadingSettings:
    store = BlobStorageSettings(storage_provider="directory", directory=str(path / "blobs"))
    return OffloadingSettings(min_size_bytes=least, storage_config=store)


MODES: dict[str, Callable[[Path], EncodingSettings]] = {
    "full": lambda _path: EncodingSettings(payload_encryption=encryption(EncryptionMode.FULL)),
    "partial": lambda _path: EncodingSettings(payload_encryption=encryption(EncryptionMode.PARTIAL)),
    "compressed": lambda _path: EncodingSettings(payload_compression=CompressionSettings(min_size_bytes=0)),
    "offloaded": lambda path: EncodingSettings(payload_offloading=offloading(path)),
    "all": lambda path: EncodingSettings(
        payload_encryption=encryption(EncryptionMode.FULL),
        payload_compression=CompressionSettings(min_size_bytes=0),
        payload_offloading=offloading(path),
    ),
}


class Caller:
    """Calls as a client that encodes."""

    def __init__(self, place: Installation, settings: EncodingSettings, execution_id: str) -> None:
        self.place = place
        self.id = ExecutionId(execution_id)
        self._codec = PayloadCodec(settings)
        self._context = PayloadContext(namespace=str(WORKSPACE), execution_id=execution_id)

    def sent(self, value: Any) -> Any:
        """Encode, whether anything is to be done or not."""
        return self._codec.encode(value, self._context)

    def got(self, value: Any) -> Any:
        """Decode."""
        return self._codec.decode(value, self._context)

    async def start(self, name: str, value: Any) -> None:
        """Start the execution."""
        await self.place.start(name, self.sent(value), execution_id=self.id)

    async def result(self) -> Any:
        """Wait for the result."""
        ending = (await self.place.result(self.id)).ending
        assert ending is not None
        assert ending.failure is None, ending.failure
        return self.got(ending.result)["result"]

    async def run_id(self) -> str:
        """Tell which run is the latest one."""
        return str((await call(self.place.engine.executions.get, WORKSPACE, self.id)).key.run_id)

    async def ask(self, what: Callable[..., Any], name: str, value: Any, *more: Any) -> Any:
        """Send a signal, a query or an update."""
        return self.got(await call(what, WORKSPACE, self.id, name, self.sent(value), *more))


def order(card: str, note: str = "") -> dict[str, Any]:
    return {"card": EncryptedStr(data=card).model_dump(), "note": note}


def with_workers(
    path: Path, settings: EncodingSettings, scenario: Callable[[Caller], Coroutine[Any, Any, None]], **given: Any
) -> None:
    SEEN.clear()

    async def within() -> None:
        place = Installation(path)
        payloads = Payloads(settings, str(WORKSPACE))
        async with place.running(), place.worker(WORKFLOWS, ACTIVITIES, payloads=payloads, **given):
            await scenario(Caller(place, settings, "e-1"))

    asyncio.run(within())


def kept_in(path: Path) -> bytes:
    """Return all that the service keeps."""
    return b"".join(file.read_bytes() for file in path.rglob("*") if file.is_file() and "blobs" not in file.parts)


async def go_everywhere(caller: Caller) -> None:
    """Send the secret wherever a payload goes."""
    engine = caller.place.engine
    await caller.start("encoded", {"order": order(SECRET, "a note"), "rounds": 1})
    for is_last in (False, True):
        run_id = await caller.run_id()
        await caller.ask(engine.messages.signal, "tell", order(SECRET + " signalled"))
        assert await caller.ask(engine.queries.ask, "notes", order(SECRET), 10) == [SECRET, SECRET + " signalled"]
        answer = await caller.ask(engine.messages.update, "add", order(SECRET + " updated"), 10)
        assert answer["card"]["data"] == SECRET + " updated"
        while not is_last and await caller.run_id() == run_id:
            await asyncio.sleep(0.01)
    assert await caller.result() == [SECRET, "a note", SECRET + " signalled", SECRET + " updated"]
    assert SEEN[0] == ()
    card, text = SEEN[1]
    assert (card["card"]["data"], text) == (SECRET, SECRET)


@pytest.mark.parametrize("mode", MODES)
def test_schedule_when_code_declares_it_then_its_input_is_encoded_and_workers_agree_on_it(mode: str, tmp_path: Path) -> None:
    """For no execution in particular, and never offloaded; a second worker finds nothing to change."""

    async def scenario(caller: Caller) -> None:
        schedules = caller.place.engine.schedules
        while not await call(lambda: list(schedules.all(WORKSPACE))):
            await asyncio.sleep(0.01)
        made = await call(schedules.get, WORKSPACE, "sealed")
        assert is_encoded(made.definition.input) == (mode in {"full", "all"})
        payloads = Payloads(MODES[mode](tmp_path), str(WORKSPACE))
        registrations = caller.place.api.calls["/register"]
        async with caller.place.worker(WORKFLOWS, ACTIVITIES, payloads=payloads, worker_name="second"):
            while caller.place.api.calls["/register"] == registrations:
                await asyncio.sleep(0.01)
            assert (await call(schedules.get, WORKSPACE, "sealed")).version == made.version
        await call(schedules.trigger, WORKSPACE, "sealed", None)
        (fired,) = (await call(schedules.get, WORKSPACE, "sealed")).state.recent
        started = Caller(caller.place, MODES[mode](tmp_path), fired.execution_id)
        assert await started.result() == SECRET + "!"

    with_workers(tmp_path, MODES[mode](tmp_path), scenario)


@pytest.mark.broad
@pytest.mark.parametrize("cached", [0, 10])
@pytest.mark.parametrize("mode", MODES)
def test_payloads_when_encoded_then_code_sees_plain_values_and_the_service_does_not(
    mode: str, cached: int, tmp_path: Path
) -> None:
    """Inputs, results, messages, answers, heartbeats and custom tasks; live, and replayed at every task."""
    with_workers(tmp_path, MODES[mode](tmp_path), go_everywhere, max_cached_workflows=cached)
    kept = kept_in(tmp_path)
    if mode in {"full", "all"}:
        assert SECRET.encode() not in kept
    if mode == "partial":
        assert b"a note" in kept
        assert f'"data":"{SECRET}'.encode() not in kept


@pytest.mark.parametrize("mode", ["full", "partial"])
def test_stream_when_payloads_are_encoded_then_its_events_are_too(mode: str, tmp_path: Path) -> None:
    """Clients decode what has encoding_options."""
    settings = MODES[mode](tmp_path)

    async def scenario(caller: Caller) -> None:
        await go_everywhere(caller)
        events = caller.place.engine.streams
        await call(events.publish, WORKSPACE, caller.id)
        stream_events = [one.update.event for one in await call(lambda: list(events.read(WORKSPACE, caller.id, 1)))]
        payloads = [
            one.attributes[name]
            for one in stream_events
            for name in ("input", "result", "payload")
            if name in one.attributes
        ]
        assert len(payloads) > 10
        assert SECRET.encode() not in repr(payloads).encode() or mode == "partial"
        encoded = [payload for payload in payloads if payload["encoding_options"]]
        assert len(encoded) == len(payloads) if mode == "full" else len(encoded) > 8
        patches = [payload for payload in payloads if payload["type"] == "json_patch"]
        assert len(patches) == 4
        assert all(SECRET * 2 not in repr(patch) for patch in patches)

    with_workers(tmp_path, settings, scenario)


def test_plain_input_when_the_worker_encodes_then_it_is_taken_and_the_result_is_encoded(tmp_path: Path) -> None:
    """A caller without a key can start, and cannot read."""

    async def scenario(caller: Caller) -> None:
        await caller.place.start("encoded-child", order("plain"), execution_id="e-1")
        ending = (await caller.place.result("e-1")).ending
        assert ending is not None
        assert is_encoded(ending.result)
        assert caller.got(ending.result)["card"]["data"] == "plain"

    with_workers(tmp_path, MODES["full"](tmp_path), scenario)


@pytest.mark.parametrize(("mode", "completes"), [("compressed", True), ("offloaded", True), ("full", False)])
def test_large_result_when_it_becomes_small_then_it_goes_through_and_else_fails_at_once(
    mode: str, *, completes: bool, tmp_path: Path
) -> None:
    """What counts is what is sent; an attempt whose result is too large is not made again."""

    async def scenario(caller: Caller) -> None:
        await caller.start("encoded-large", {"size": 3_000_000})
        ending = (await caller.place.result(caller.id)).ending
        assert ending is not None
        if completes:
            assert caller.got(ending.result)["result"].startswith(SECRET)
        else:
            assert ending.failure is not None
            assert "the result of encoded-long has" in ending.failure.message

    with_workers(tmp_path, MODES[mode](tmp_path), scenario)


def test_fields_when_offloadable_then_workflow_code_passes_references_on(tmp_path: Path) -> None:
    """Activities see values, and nobody else does."""
    settings = EncodingSettings(activity_attributes_offloading=offloading(tmp_path))

    async def scenario(caller: Caller) -> None:
        await caller.start("encoded-field", {"text": "text"})
        ending = (await caller.place.result(caller.id)).ending
        assert ending is not None
        assert ending.failure is None, ending.failure
        result: Any = ending.result
        assert result["blob_ref"]
        assert result["value"] is None
        assert b"text!" not in kept_in(tmp_path)
        blobs = [file.read_bytes() for file in (tmp_path / "blobs").rglob("*") if file.is_file()]
        assert b'"text!!"' in blobs

    with_workers(tmp_path, settings, scenario)


def test_worker_when_it_has_another_key_then_the_execution_waits_for_one_that_has_it(tmp_path: Path) -> None:
    """Nothing is lost or half done, and the history says what is wrong."""
    settings = MODES["full"](tmp_path)
    wrong = EncodingSettings(payload_encryption=encryption(EncryptionMode.FULL, OTHER_KEY))

    async def within() -> None:
        place = Installation(tmp_path)
        async with place.running():
            caller = Caller(place, settings, "e-1")
            async with place.worker(WORKFLOWS, ACTIVITIES, payloads=Payloads(wrong, str(WORKSPACE))):
                await caller.start("encoded-child", order(SECRET))
                while not (why := (await place.history("e-1"))["workflow_task_failure"]):
                    await asyncio.sleep(0.05)
                assert why["failure"]["type"] == "DecryptionFailed"
                assert SECRET not in repr(why)
            async with place.worker(WORKFLOWS, ACTIVITIES, payloads=Payloads(settings, str(WORKSPACE))):
                ending = (await place.result("e-1")).ending
                assert ending is not None
                assert caller.got(ending.result)["card"]["data"] == SECRET

    asyncio.run(within())


def test_update_when_it_is_refused_then_the_failure_is_plain(tmp_path: Path) -> None:
    """Failures are not encoded (docs/encoding.md): callers without a key can read what went wrong."""

    async def scenario(caller: Caller) -> None:
        await caller.start("encoded", {"order": order(SECRET), "rounds": 0})
        engine = caller.place.engine
        with pytest.raises(InvalidInput, match="card"):
            await caller.ask(engine.messages.update, "add", {"wrong": 1}, 10)
        await call(engine.closing.terminate, WORKSPACE, caller.id)

    with_workers(tmp_path, MODES["full"](tmp_path), scenario)
