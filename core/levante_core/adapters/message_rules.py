"""What a queue of each kind takes, for every adapter of the port Queues to refuse the rest in the same words."""

from levante_core.ports.queues import MAX_DELAY_SECONDS, OutgoingMessage

FIFO_SUFFIX = ".fifo"


def is_fifo(queue: str) -> bool:
    """Tell the kind of a queue by its name."""
    return queue.endswith(FIFO_SUFFIX)


def check_message(queue: str, message: OutgoingMessage) -> None:
    """Check a message before it is sent. Raises: ValueError for one that a queue of this kind does not take."""
    if is_fifo(queue):
        if message.group is None or message.deduplication_id is None or message.delay_seconds:
            raise ValueError(f"{queue} is a FIFO queue: its messages need a group and a deduplication id, and take no delay")
    elif message.group is not None or message.deduplication_id is not None:
        raise ValueError(f"{queue} is a standard queue: its messages take neither group nor deduplication id")
    if not 0 <= message.delay_seconds <= MAX_DELAY_SECONDS:
        raise ValueError(f"delay of {message.delay_seconds} s: a queue delays by 0 to {MAX_DELAY_SECONDS} s")
