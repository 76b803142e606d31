import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from levante_core.errors import NotFound
from levante_core.ports.queues import OutgoingMessage, Queues, ReceivedMessage
from tests.contract.aws_adapters import QueuesAndTime

FIFO = "tasks.fifo"
STANDARD = "timers"
VISIBILITY_SECONDS = 5


@pytest.fixture
def queues(queues_and_time: QueuesAndTime) -> Queues:
    queues_and_time.queues.ensure(FIFO)
    queues_and_time.queues.ensure(STANDARD)
    return queues_and_time.queues


def to(group: str, body: str) -> OutgoingMessage:
    return OutgoingMessage(body, group, f"{group}-{body}")


def receive(queues: Queues, queue: str = FIFO, limit: int = 10) -> list[ReceivedMessage]:
    return queues.receive(queue, limit=limit, wait_seconds=0, visibility_seconds=VISIBILITY_SECONDS)


def bodies(messages: Sequence[ReceivedMessage]) -> list[str]:
    return [message.body for message in messages]


def receipts(messages: Sequence[ReceivedMessage]) -> list[str]:
    return [message.receipt for message in messages]


class TestBothKinds:
    @pytest.mark.parametrize("queue", [FIFO, STANDARD])
    def test_receive_after_send_returns_the_message(self, queues: Queues, queue: str) -> None:
        """A message arrives once, whole, and is then invisible."""
        sent = to("g", "ß {}") if queue == FIFO else OutgoingMessage("ß {}")
        queues.send(queue, [sent])
        (message,) = receive(queues, queue)
        assert (message.body, message.receive_count, message.group) == ("ß {}", 1, sent.group)
        assert message.sent_at.utcoffset() is not None
        assert receive(queues, queue) == []

    @pytest.mark.parametrize("queue", [FIFO, STANDARD])
    def test_attendance_when_somebody_holds_a_message_then_that_is_known_or_nothing_is(
        self, queues: Queues, queue: str
    ) -> None:
        """A queue that cannot tell says so, rather than that nobody is there."""
        assert queues.is_attended(queue) in {False, None}
        queues.send(queue, [to("g", "a") if queue == FIFO else OutgoingMessage("a")])
        assert queues.is_attended(queue) in {False, None}
        (message,) = receive(queues, queue)
        assert queues.is_attended(queue) in {True, None}
        queues.delete(queue, [message.receipt])
        assert queues.is_attended(queue) in {False, None}

    @pytest.mark.parametrize("queue", [FIFO, STANDARD])
    def test_backlog_when_messages_come_and_go_then_they_are_counted(self, queues: Queues, queue: str) -> None:
        """What waits and what is in flight are told apart; a queue that cannot tell an age says nothing of it."""
        empty = queues.backlog(queue)
        assert (empty.waiting, empty.in_flight, empty.oldest_sent_at) == (0, 0, None)
        queues.send(queue, [to(group, group) if queue == FIFO else OutgoingMessage(group) for group in "abc"])
        (message, *_) = receive(queues, queue, limit=1)
        counted = queues.backlog(queue)
        assert (counted.waiting, counted.in_flight) == (2, 1)
        assert counted.oldest_sent_at in {message.sent_at, None}
        queues.delete(queue, [message.receipt])
        assert queues.backlog(queue).in_flight == 0

    def test_consumer_of_when_a_group_has_a_message_in_flight_then_it_is_who_holds_it_if_that_can_be_known(
        self, queues: Queues
    ) -> None:
        """A queue that cannot tell names nobody."""
        queues.send(FIFO, [to("g", "a"), to("h", "b")])
        assert queues.consumer_of(FIFO, "g") is None
        (message,) = queues.receive(FIFO, limit=1, wait_seconds=0, visibility_seconds=VISIBILITY_SECONDS, consumer="c")
        assert queues.consumer_of(FIFO, "g") in {"c", None}
        assert queues.consumer_of(FIFO, "h") is None
        queues.delete(FIFO, [message.receipt])
        assert queues.consumer_of(FIFO, "g") is None

    @pytest.mark.parametrize("queue", [FIFO, STANDARD])
    def test_receive_when_visibility_ended_returns_it_again(
        self, queues: Queues, queues_and_time: QueuesAndTime, queue: str
    ) -> None:
        """A worker that died loses its message to another one, who can tell from the count."""
        queues.send(queue, [to("g", "a") if queue == FIFO else OutgoingMessage("a")])
        (first,) = receive(queues, queue)
        queues_and_time.let_pass(VISIBILITY_SECONDS - 1)
        assert receive(queues, queue) == []
        queues_and_time.let_pass(2)
        (second,) = receive(queues, queue)
        assert (second.body, second.receive_count, second.sent_at) == ("a", 2, first.sent_at)
        assert second.receipt != first.receipt

    @pytest.mark.parametrize("queue", [FIFO, STANDARD])
    def test_delete_when_held_removes_the_message_for_good(
        self, queues: Queues, queues_and_time: QueuesAndTime, queue: str
    ) -> None:
        """What was dealt with never comes back; deleting again is harmless."""
        queues.send(queue, [to("g", "a") if queue == FIFO else OutgoingMessage("a")])
        held = receipts(receive(queues, queue))
        queues.delete(queue, held)
        queues.delete(queue, held)
        queues_and_time.let_pass(VISIBILITY_SECONDS + 1)
        assert receive(queues, queue) == []

    @pytest.mark.parametrize("queue", [FIFO, STANDARD])
    def test_extend_when_held_prolongs_from_now(self, queues: Queues, queues_and_time: QueuesAndTime, queue: str) -> None:
        """A worker that is still working keeps its message, as often as it says so."""
        queues.send(queue, [to("g", "a") if queue == FIFO else OutgoingMessage("a")])
        held = receipts(receive(queues, queue))
        for _ in range(3):
            queues_and_time.let_pass(VISIBILITY_SECONDS - 1)
            assert queues.extend(queue, held, VISIBILITY_SECONDS) == []
        assert receive(queues, queue) == []
        queues_and_time.let_pass(VISIBILITY_SECONDS + 1)
        assert len(receive(queues, queue)) == 1

    @pytest.mark.parametrize("queue", [FIFO, STANDARD])
    def test_extend_when_zero_hands_back_at_once(self, queues: Queues, queue: str) -> None:
        """A worker that is told to stop lets others carry on right away."""
        queues.send(queue, [to("g", "a") if queue == FIFO else OutgoingMessage("a")])
        assert queues.extend(queue, receipts(receive(queues, queue)), 0) == []
        assert [message.receive_count for message in receive(queues, queue)] == [2]

    @pytest.mark.parametrize("queue", [FIFO, STANDARD])
    def test_receipt_when_received_again_since_is_lost(
        self, queues: Queues, queues_and_time: QueuesAndTime, queue: str
    ) -> None:
        """An old owner can neither prolong nor delete what a new one holds."""
        queues.send(queue, [to("g", "a") if queue == FIFO else OutgoingMessage("a")])
        stale = receipts(receive(queues, queue))
        queues_and_time.let_pass(VISIBILITY_SECONDS + 1)
        (current,) = receive(queues, queue)
        assert queues.extend(queue, stale, 3600) == stale
        assert queues.extend(queue, stale, 0) == stale
        queues.delete(queue, stale)
        assert receive(queues, queue) == []
        assert queues.extend(queue, [current.receipt], 0) == []
        assert bodies(receive(queues, queue)) == ["a"]

    def test_extend_when_some_receipts_are_lost_prolongs_the_others(self, queues: Queues) -> None:
        """Each receipt is answered for itself."""
        queues.send(FIFO, [to("g", "a"), to("h", "b")])
        one, other = receipts(receive(queues))
        queues.delete(FIFO, [one])
        assert queues.extend(FIFO, [one, other], VISIBILITY_SECONDS) == [one]

    def test_ensure_when_repeated_keeps_the_messages(self, queues: Queues) -> None:
        """Creating a queue that is there changes nothing."""
        queues.send(FIFO, [to("g", "a")])
        queues.ensure(FIFO)
        assert bodies(receive(queues)) == ["a"]

    def test_queues_when_they_have_other_names_share_nothing(self, queues: Queues) -> None:
        """Receipts, deduplication and messages belong to one queue."""
        queues.ensure("more.fifo")
        queues.send(FIFO, [to("g", "a")])
        queues.send("more.fifo", [to("g", "a")])
        (message,) = receive(queues)
        queues.delete(FIFO, [message.receipt])
        assert bodies(receive(queues, "more.fifo")) == ["a"]

    def test_any_call_when_the_queue_was_never_made_raises_not_found(self, queues: Queues) -> None:
        """A queue is made on purpose: a wrong name must not swallow messages."""
        with pytest.raises(NotFound, match="nobody"):
            queues.send("nobody", [OutgoingMessage("a")])
        with pytest.raises(NotFound, match="nobody"):
            receive(queues, "nobody")

    @pytest.mark.parametrize("queue", [FIFO, STANDARD])
    def test_receive_when_many_receivers_race_gives_each_message_to_one(self, queues: Queues, queue: str) -> None:
        """No two receivers hold one message."""
        sent = [f"m{number}" for number in range(200)]
        messages = [to(f"g{number % 20}", body) for number, body in enumerate(sent)]
        queues.send(queue, messages if queue == FIFO else [OutgoingMessage(body) for body in sent])

        def work(_: int) -> list[str]:
            done: list[str] = []
            while received := receive(queues, queue, limit=3):
                done += bodies(received)
                queues.delete(queue, receipts(received))
            return done

        with ThreadPoolExecutor(8) as pool:
            done = [body for share in pool.map(work, range(8)) for body in share]
        done += work(0)  # a group may have been blocked when the last worker looked
        assert Counter(done) == Counter(sent)


class TestWaiting:
    def test_receive_when_nothing_comes_returns_nothing_in_the_end(self, queues: Queues) -> None:
        """A wait of no time is an answer at once."""
        assert receive(queues) == []

    @pytest.mark.parametrize("what_frees", ["send", "hand back", "delete before it"])
    def test_receive_when_it_waits_gets_what_becomes_available(self, queues: Queues, what_frees: str) -> None:
        """A long poll ends with the first message, whatever made that available."""
        held = []
        if what_frees != "send":
            queues.send(FIFO, [to("g", "a"), to("g", "b")])
            held = receipts(receive(queues, limit=1))
        received: list[ReceivedMessage] = []

        def wait() -> None:
            received.extend(queues.receive(FIFO, limit=1, wait_seconds=20, visibility_seconds=VISIBILITY_SECONDS))

        receiver = threading.Thread(target=wait)
        receiver.start()
        if what_frees == "send":
            queues.send(FIFO, [to("g", "a")])
        elif what_frees == "hand back":
            queues.extend(FIFO, held, 0)
        else:
            queues.delete(FIFO, held)
        receiver.join(10)
        assert bodies(received) == (["b"] if what_frees == "delete before it" else ["a"])


class TestFifo:
    def test_receive_when_a_group_is_in_flight_gives_out_no_more_of_it(self, queues: Queues) -> None:
        """The queue is the lock of an execution: one consumer at a time."""
        queues.send(FIFO, [to("g", "1"), to("g", "2"), to("h", "1")])
        first = receive(queues, limit=1)
        assert [(message.group, message.body) for message in first] == [("g", "1")]
        assert [(message.group, message.body) for message in receive(queues)] == [("h", "1")]
        queues.send(FIFO, [to("g", "3")])
        assert receive(queues) == []
        queues.delete(FIFO, receipts(first))
        assert bodies(receive(queues)) == ["2", "3"]

    def test_receive_when_all_of_a_group_is_in_flight_gives_out_nothing_sent_to_it_since(self, queues: Queues) -> None:
        """A new task for an execution waits for the worker that holds the execution."""
        queues.send(FIFO, [to("g", "1")])
        (held,) = receive(queues)
        queues.send(FIFO, [to("g", "2")])
        assert receive(queues) == []
        queues.extend(FIFO, [held.receipt], 0)
        assert bodies(receive(queues)) == ["1", "2"]

    def test_receive_when_there_are_several_of_a_group_returns_them_together_in_order(self, queues: Queues) -> None:
        """One consumer may take more than one message of a group."""
        queues.send(FIFO, [to("g", str(number)) for number in range(5)])
        assert bodies(receive(queues, limit=3)) == ["0", "1", "2"]
        assert receive(queues) == []

    def test_receive_when_part_of_what_was_held_came_back_waits_for_the_rest(self, queues: Queues) -> None:
        """A group is free when nothing of it is held, and it starts again where it was."""
        queues.send(FIFO, [to("g", str(number)) for number in range(4)])
        zero, one, two = receive(queues, limit=3)
        queues.extend(FIFO, [two.receipt], 0)
        queues.extend(FIFO, [zero.receipt], 0)
        assert receive(queues) == []
        queues.delete(FIFO, [one.receipt])
        assert [(message.body, message.receive_count) for message in receive(queues)] == [("0", 2), ("2", 2), ("3", 1)]

    def test_receive_when_visibility_ended_returns_the_head_of_the_group_first(
        self, queues: Queues, queues_and_time: QueuesAndTime
    ) -> None:
        """Order within a group survives a lost consumer."""
        queues.send(FIFO, [to("g", "1"), to("g", "2"), to("g", "3")])
        receive(queues, limit=1)
        queues.send(FIFO, [to("g", "4")])
        queues_and_time.let_pass(VISIBILITY_SECONDS + 1)
        assert bodies(receive(queues)) == ["1", "2", "3", "4"]

    def test_receive_when_one_group_is_always_busy_serves_the_others_too(self, queues: Queues) -> None:
        """Groups get their turn: one with a thousand messages starves nobody."""
        queues.send(FIFO, [to("busy", str(number)) for number in range(50)])
        queues.send(FIFO, [to("quiet", "x")])
        groups = []
        for _ in range(3):
            received = receive(queues, limit=2)
            groups += [message.group for message in received]
            queues.delete(FIFO, receipts(received))
        assert "quiet" in groups

    def test_send_when_repeated_within_five_minutes_is_dropped(self, queues: Queues, queues_and_time: QueuesAndTime) -> None:
        """The fast path and the stream may both send: one message arrives, even when the first was dealt with."""
        queues.send(FIFO, [to("g", "a"), to("g", "a")])
        received = receive(queues)
        assert bodies(received) == ["a"]
        queues.delete(FIFO, receipts(received))
        queues_and_time.let_pass(299)
        queues.send(FIFO, [OutgoingMessage("same id, other body", "g", "g-a")])
        assert receive(queues) == []

    def test_send_when_repeated_after_five_minutes_is_accepted(self, queues: Queues, queues_and_time: QueuesAndTime) -> None:
        """Five minutes count from the first acceptance; a repeat does not prolong them."""
        queues.send(FIFO, [to("g", "a")])
        queues.delete(FIFO, receipts(receive(queues)))
        queues_and_time.let_pass(200)
        queues.send(FIFO, [to("g", "a")])
        queues_and_time.let_pass(101)
        queues.send(FIFO, [to("g", "a")])
        assert bodies(receive(queues)) == ["a"]

    @pytest.mark.parametrize(
        "message",
        [
            OutgoingMessage("a"),
            OutgoingMessage("a", "g"),
            OutgoingMessage("a", None, "d"),
            OutgoingMessage("a", "g", "d", 1),
        ],
        ids=["neither", "no id", "no group", "delay"],
    )
    def test_send_when_the_message_is_not_for_a_fifo_queue_is_refused(
        self, queues: Queues, message: OutgoingMessage
    ) -> None:
        """FIFO queues need group and deduplication id and take no delay; nothing of a bad call is sent."""
        with pytest.raises(ValueError, match="FIFO"):
            queues.send(FIFO, [to("g", "good"), message])
        assert receive(queues) == []


class TestStandard:
    def test_receive_when_a_message_is_delayed_waits_for_it(self, queues: Queues, queues_and_time: QueuesAndTime) -> None:
        """A delayed message is invisible until its time, and the count starts there."""
        queues.send(STANDARD, [OutgoingMessage("late", delay_seconds=900), OutgoingMessage("soon", delay_seconds=10)])
        assert receive(queues, STANDARD) == []
        queues_and_time.let_pass(11)
        assert bodies(receive(queues, STANDARD)) == ["soon"]
        queues_and_time.let_pass(890)
        received = {message.body: message.receive_count for message in receive(queues, STANDARD)}
        assert received == {"late": 1, "soon": 2}

    def test_receive_when_one_is_in_flight_gives_out_the_others(self, queues: Queues) -> None:
        """Messages of a standard queue do not wait for one another."""
        queues.send(STANDARD, [OutgoingMessage("same"), OutgoingMessage("same")])
        assert len(receive(queues, STANDARD, limit=1)) == 1
        assert len(receive(queues, STANDARD, limit=1)) == 1

    @pytest.mark.parametrize(
        "message",
        [
            OutgoingMessage("a", group="g"),
            OutgoingMessage("a", deduplication_id="d"),
            OutgoingMessage("a", delay_seconds=901),
            OutgoingMessage("a", delay_seconds=-1),
        ],
        ids=["group", "id", "too long", "negative"],
    )
    def test_send_when_the_message_is_not_for_a_standard_queue_is_refused(
        self, queues: Queues, message: OutgoingMessage
    ) -> None:
        """Standard queues take neither group nor id, and delay by fifteen minutes at most."""
        with pytest.raises(ValueError, match=r"standard|delay"):
            queues.send(STANDARD, [message])
        assert receive(queues, STANDARD) == []
