"""One call for several items, split when it fails, so that the one that is to blame stands alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from levante.worker.transport.api import KeyRefused

ItemT = TypeVar("ItemT")
AnswerT = TypeVar("AnswerT")


async def send_apart(
    items: Sequence[ItemT],
    send: Callable[[Sequence[ItemT]], Awaitable[Sequence[AnswerT]]],
    settle: Callable[[ItemT, AnswerT | Exception], None],
    about_all: tuple[type[Exception], ...] = (KeyRefused,),
) -> None:
    """Send items in one call, or in halves if that fails, and settle each as soon as it is known what became of it.

    send: returns one answer per item; a repeat has to be harmless. settle: takes the answer, or why there is none; it must
    not raise. about_all: errors that are no single item's fault. Cost: one call, and about 2 log2(n) more for an item that
    cannot be sent.
    """
    try:
        answers = await send(items)
        if len(answers) != len(items):
            raise RuntimeError(f"{len(answers)} answers came to {len(items)} items")  # noqa: TRY301 - a failure as any other
    except Exception as error:  # noqa: BLE001 - whatever it is, it may be one item's fault
        if len(items) > 1 and not isinstance(error, about_all):
            middle = len(items) // 2
            await asyncio.gather(*(send_apart(half, send, settle, about_all) for half in (items[:middle], items[middle:])))
            return
        for item in items:
            settle(item, error)
        return
    for item, answer in zip(items, answers, strict=True):
        settle(item, answer)
