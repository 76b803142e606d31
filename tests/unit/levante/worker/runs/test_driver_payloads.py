"""Holding a run whose payloads are encrypted: plain inside the worker, and nowhere else."""

from levante.encoding import EncryptionMode
from levante.worker.payloads import Payloads
from levante_core.protocol import Fact
from tests.support.worker_context import Held
from tests.unit.levante.encoding.harness import settings
from tests.unit.levante.worker.runs.flows import RAN, Basket
from tests.unit.levante.worker.runs.holding import holding, signal

ENCRYPTING = Payloads(settings(EncryptionMode.FULL), "s")
SECRET = "what nobody else may read"


async def sent(held: Held, number: int, name: str = "add", item: str | None = SECRET) -> Fact:
    """Record a signal as a client sends it."""
    told = signal(number, held.now, name, item)
    value = await ENCRYPTING.encoded(told.input, "e", "a signal")
    return held.api.fact(f"M{number:08d}", told.model_copy(update={"input": value}))


def test_payloads_when_they_are_encrypted_then_the_code_sees_them_plain_and_history_does_not() -> None:
    """The input, what comes with messages, and what is loaded are decoded; all that is recorded is encoded."""

    async def scenario(held: Held) -> None:
        value = await ENCRYPTING.encoded({"first": SECRET}, "e", "the input")
        held.api.start = held.api.start.model_copy(update={"input": value})
        await held.begin(await sent(held, 1))
        assert RAN == [SECRET]
        held.forget()
        await sent(held, 2)
        await held.advance(is_trusted=False)
        await held.advance(await sent(held, 3, "close", None))
        end = held.api.events[-1].model_dump()
        assert end["kind"] == "execution_completed"
        assert await ENCRYPTING.decoded(end["result"], "e") == {"result": [SECRET] * 3}
        assert SECRET not in "".join(commit.model_dump_json() for commit in held.api.commits)

    holding(Basket, payloads=ENCRYPTING)(scenario)
