"""Workflows that each show one line of the programming model: many at once, children, and what is done from outside."""

import asyncio
from datetime import timedelta
from typing import Any

from pydantic import BaseModel

import levante as workflows
from levante import GetItemFromIndexParams, workflow
from tests.behaviour.driving import left_at
from tests.behaviour.programs import echo, echo_over_the_queue

ITEMS = list("abcde")


class Customer(BaseModel):
    """Who orders."""

    id: str
    label: str | None = None


class Parcel(BaseModel):
    """What is sent."""

    grams: int


@workflows.activity(name="behaviour-twice")
async def twice(value: str) -> str:
    """Call another activity, which runs inside this one."""
    return await echo(value) + await echo(value)


@workflows.activity(name="behaviour-after")
async def item_after(previous: str | None) -> str | None:
    """Return the item that follows on another one."""
    return ITEMS[0] if previous is None else next(iter(ITEMS[ITEMS.index(previous) + 1 :]), None)


@workflows.activity(name="behaviour-at")
async def item_at(params: GetItemFromIndexParams) -> str:
    """Return the item at a place."""
    return ITEMS[params.idx]


@workflows.activity(name="behaviour-sign", start_to_close_timeout=timedelta(hours=1))
async def sign(name: str) -> str:
    """Leave the token where whoever signs looks for it."""
    place = left_at(name)
    place.with_suffix(".part").write_text(workflows.activity.info().task_token)
    place.with_suffix(".part").rename(place)
    workflows.activity.complete_later()


@workflow.define(name="behaviour-parallel")
class Parallel:
    """§3: a list, a chain of items, and items at places."""

    @workflow.entrypoint
    async def run(self, form: str) -> list[str]:
        """See the class."""
        run = workflows.execute_activities_in_parallel
        match form:
            case "list":
                return list(await run(twice, items=ITEMS, max_concurrent_scheduled_tasks=2))
            case "chain":
                return list(await run(twice, get_item_from_prev_item_activity=item_after))
            case _:
                return list(await run(twice, get_item_from_index_activity=item_at, n_items=len(ITEMS)))


@workflow.define(name="behaviour-listener")
class Listener:
    """Waits for a word, or for the end of its parent."""

    def __init__(self) -> None:
        self.word = ""

    @workflow.entrypoint
    async def run(self) -> str:
        """See the class."""
        await workflow.wait_condition(lambda: bool(self.word))
        return await echo_over_the_queue(self.word)

    @workflow.signal()
    def tell(self, word: str) -> None:
        """Tell the word."""
        self.word = word


@workflow.define(name="behaviour-handles")
class Handles:
    """§4: the handle of a child signals it, cancels it, and is awaited."""

    @workflow.entrypoint
    async def run(self) -> list[str]:
        """See the class."""
        handle = await workflow.execute_workflow(Listener, wait=False)
        given_up = await workflow.execute_workflow(Listener, wait=False)
        handle.signal("tell", {"word": "hello"})
        given_up.cancel()
        found = [str(await handle)]
        try:
            await given_up
        except asyncio.CancelledError:
            found.append("given up")
        return found


@workflow.define(name="behaviour-leaver")
class Leaver:
    """§4: what becomes of children whose parent ends first."""

    @workflow.entrypoint
    async def run(self) -> dict[str, str]:
        """Return the ids of the children, by policy."""
        started: dict[str, str] = {}
        for policy in workflows.ParentClosePolicy:
            child = f"{workflows.get_execution_id()}-{policy.name.lower().replace('_', '-')}"
            await workflow.execute_workflow(Listener, wait=False, execution_id=child, parent_close_policy=policy)
            started[policy.name] = child
        handle = await workflow.execute_workflow(Listener, wait=False)
        return {**started, "none": handle.execution_id}


@workflow.define(name="behaviour-told")
class Notified:
    """§4: what was signalled is kept by a reset, and taken again."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    @workflow.entrypoint
    async def run(self) -> list[str]:
        """See the class."""
        first = await echo("first")
        await workflow.wait_condition(lambda: len(self.notes) >= 2)
        await asyncio.sleep(0.1)
        return [first, *self.notes]

    @workflow.signal()
    async def note(self, text: str) -> None:
        """Note what an activity says."""
        self.notes.append(await echo_over_the_queue(text))


@workflow.define(name="behaviour-sought", search_keys=["id", "label"])
class Sought:
    """§1 and §4: executions are found by their input, and by what their code adds."""

    @workflow.entrypoint
    async def run(self, customer: Customer) -> str:
        """See the class."""
        workflow.add_search_keys({"state": "new", "open": "yes"})
        name = await echo_over_the_queue(customer.id)
        workflow.add_search_keys({"state": "done"})
        workflow.delete_search_keys(["open"])
        return name


@workflow.define(name="behaviour-signing", execution_timeout=timedelta(days=1))
class Signing:
    """§2: an activity is completed from outside, with the token of its attempt."""

    @workflow.entrypoint
    async def run(self) -> str:
        """See the class."""
        return await sign(str(workflows.get_execution_id()))


@workflow.define(name="behaviour-shapes")
class Shapes:
    """§1: an input is the first of the models that it fits."""

    @workflow.entrypoint
    async def run(self, what: Customer | Parcel | None = None) -> list[str]:
        """See the class."""
        return [type(what).__name__, await echo(what.model_dump_json() if what else "")]


@workflow.define(name="behaviour-tools")
class Tools:
    """§2: what else asyncio has works as ever, in the same order on every replay."""

    @workflow.entrypoint
    async def run(self) -> list[Any]:
        lock, two, queue, both = asyncio.Lock(), asyncio.Semaphore(2), asyncio.Queue[str](), asyncio.Barrier(2)

        async def put(letter: str) -> None:
            async with lock:
                queue.put_nowait(await echo(letter))

        async def meet(letter: str) -> str:
            async with two:
                await echo_over_the_queue(letter)
                await both.wait()
            return letter

        await asyncio.gather(*(put(letter) for letter in "abc"))
        met = await asyncio.gather(*(meet(letter) for letter in "wxyz"))
        echoes = [echo(letter) for letter in "de"]
        found = sorted([await one for one in asyncio.as_completed(echoes)])
        kept = asyncio.ensure_future(echo_over_the_queue("kept"))
        try:
            async with asyncio.timeout(0):
                await asyncio.shield(kept)
        except TimeoutError:
            found.append(await kept)
        return [queue.get_nowait() for _ in "abc"] + met + found
