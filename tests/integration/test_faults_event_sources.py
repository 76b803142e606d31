"""The models of Lambda's event sources do what AWS documents: the tests of faults rest on them."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from levante.testing.virtual_time import LoopClock, run_in_virtual_time
from levante_core.ports.item_store import Change, Item, Key
from levante_core.ports.queues import OutgoingMessage
from levante_local.queues.queues import InProcessQueues
from tests.support.event_sources import QueueMapping, QueueSource, StreamMapping, StreamSource

pytestmark = pytest.mark.slow

Answer = Callable[[list[str]], Any]
"""What a function answers to the sequence numbers of a batch."""


def failed(*sequences: object) -> dict[str, Any]:
    return {"batchItemFailures": [{"itemIdentifier": sequence} for sequence in sequences]}


def batches_of(answer: Answer, mapping: StreamMapping, partitions: str = "aaaa") -> tuple[list[str], list[str]]:
    """Feed a function, one record per partition named, all at once. Returns its batches and what was given up."""
    batches: list[str] = []

    def handle(event: Any, _: object) -> Any:
        sequences = [record["dynamodb"]["SequenceNumber"] for record in event["Records"]]
        batches.append("".join(sequences))
        return answer(sequences)

    async def scenario() -> list[str]:
        source = StreamSource(handle, mapping)
        keys = [Key(partition, "s") for partition in partitions]
        source.arrive([Change(str(number), key, None, Item(key)) for number, key in enumerate(keys, 1)])
        await served(source.run(), 24 * 3600)
        return [record["dynamodb"]["SequenceNumber"] for record in source.discarded]

    given_up = run_in_virtual_time(scenario())
    return batches, given_up


async def served(running: Coroutine[Any, Any, None], seconds: float) -> None:
    task = asyncio.create_task(running)
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def raise_for(*bad: str) -> Answer:
    def answer(sequences: Sequence[str]) -> None:
        if set(bad) & set(sequences):
            raise ValueError(bad)

    return answer


@pytest.mark.parametrize("answer", [None, {}, {"batchItemFailures": None}, failed()])
def test_batch_when_the_answer_names_no_failure_then_it_is_done(answer: object) -> None:
    """An empty answer, of whatever form, is a complete success."""
    assert batches_of(lambda _: answer, StreamMapping(reports_failures=True)) == (["1234"], [])


def test_batch_when_records_failed_then_it_comes_again_from_the_first_of_them() -> None:
    """The lowest sequence number is the checkpoint: what follows it comes again, whether it failed or not."""
    answers = iter([failed("4", "2"), failed("3"), None])
    assert batches_of(lambda _: next(answers), StreamMapping(reports_failures=True)) == (["1234", "234", "34"], [])


@pytest.mark.parametrize("identifier", ["", None, "unheard of"])
def test_batch_when_the_answer_names_no_record_of_it_then_all_of_it_comes_again(identifier: object) -> None:
    """A failure that cannot be placed is the failure of the whole batch."""
    answers = iter([failed(identifier), None])
    assert batches_of(lambda _: next(answers), StreamMapping(reports_failures=True)) == (["1234", "1234"], [])


def test_batch_when_failures_are_not_reported_by_the_mapping_then_answers_mean_nothing() -> None:
    """Partial answers count only where the mapping asks for them."""
    assert batches_of(lambda _: failed("2"), StreamMapping()) == (["1234"], [])


def test_batch_when_its_function_raises_then_it_is_halved_until_the_culprit_is_alone() -> None:
    """Halving is no retry; the culprit has its retries, and goes to the failure destination alone, before the next."""
    found = batches_of(raise_for("3"), StreamMapping(bisects=True, retries=2))
    assert found == (["1234", "12", "34", "3", "3", "3", "4"], ["3"])


def test_batch_when_its_retries_are_used_up_then_all_of_it_is_given_up_and_the_next_follows() -> None:
    """Without halving, nobody can tell the good records of a batch from the bad one."""
    found = batches_of(raise_for("1"), StreamMapping(batch_size=2, retries=1))
    assert found == (["12", "12", "34"], ["1", "2"])


def test_batch_when_it_fails_beyond_its_age_then_it_is_given_up() -> None:
    """Retries without end end with the age of the records."""
    batches, given_up = batches_of(raise_for("1"), StreamMapping(max_age_seconds=60), "a")
    assert (len(batches), given_up) == (61, ["1"])


def test_lanes_when_one_is_held_up_then_the_other_goes_on_and_each_keeps_its_order() -> None:
    """Batches of one shard may be dealt with beside each other, those of one partition key never."""
    batches, given_up = batches_of(raise_for("1"), StreamMapping(lanes=2, batch_size=1, retries=3), "aaff")
    assert given_up == ["1"]
    assert [one for one in batches if one in "12"] == ["1", "1", "1", "1", "2"]
    assert [one for one in batches if one in "34"] == ["3", "4"]
    assert batches.index("4") < batches.index("2")


def test_message_when_it_failed_then_it_alone_comes_again_after_its_visibility_until_it_is_dead() -> None:
    """Partial answers delete the rest at once; who raises gets all of them again; too many receives end it."""
    received: list[tuple[float, list[str]]] = []

    def handle(event: Any, _: object) -> dict[str, Any]:
        bodies = [record["body"] for record in event["Records"]]
        received.append((asyncio.get_running_loop().time(), bodies))
        if len(received) == 1:
            raise ValueError("at first nothing works")
        return failed(*[record["messageId"] for record in event["Records"] if record["body"] == "bad"])

    async def scenario() -> list[str]:
        queues = InProcessQueues(LoopClock())
        queues.ensure("q")
        queues.send("q", [OutgoingMessage("good"), OutgoingMessage("bad")])
        source = QueueSource(queues, "q", handle, QueueMapping(visibility_seconds=60, most_receives=3))
        await served(source.run(), 3600)
        return source.dead_letters

    assert run_in_virtual_time(scenario()) == ["bad"]
    assert [bodies for _, bodies in received] == [["good", "bad"], ["good", "bad"], ["bad"]]
    assert [at for at, _ in received] == pytest.approx([0, 60, 120], abs=0.01)
