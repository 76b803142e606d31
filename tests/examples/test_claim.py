"""examples/claim.py: a form, a confirmation, and a payment."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from examples.claim import ExpenseClaim, Payment, pay

from levante.testing import Execution, WorkflowEnvironment
from levante_core.errors import HandlerFailed

pytestmark = pytest.mark.levante
CLAIM = {"about": "a train", "amount": 42.5, "kind": "trip"}


class Bank:
    """Pays once per number."""

    def __init__(self) -> None:
        self.paid: dict[str, float] = {}

    async def pay(self, amount: float, number: str) -> None:
        self.paid[number] = amount


async def asked(execution: Execution) -> dict[str, Any]:
    """Wait until something is asked; return it."""
    while not (pending := (await execution.query("__get_pending_inputs"))["pending_inputs"]):
        await asyncio.sleep(1)
    return dict(pending[0])


async def answer(execution: Execution, value: dict[str, Any]) -> None:
    await execution.update("__submit_input", task_id=(await asked(execution))["task_id"], input=value)


@pytest.mark.parametrize(("choice", "is_paid"), [("accept", True), ("decline", False)])
async def test_claim_when_it_is_answered_then_it_is_paid_or_not(
    mode: Mapping[str, Any], choice: str, *, is_paid: bool
) -> None:
    """Days may pass between question and answer, and the form that does not fit stays open."""
    bank = Bank()
    async with WorkflowEnvironment([ExpenseClaim], activities=[pay], mocks={pay: bank.pay}, **mode) as environment:
        execution = await environment.start(ExpenseClaim, {"who": "ann"})
        question = await asked(execution)
        assert question["label"] == "What have you spent, ann?"
        assert question["input_schema"]["properties"]["amount"]["x-field"] == "number"
        await asyncio.sleep(600)
        with pytest.raises(HandlerFailed, match="amount"):
            await answer(execution, {**CLAIM, "amount": -5})
        await answer(execution, CLAIM)
        assert (await asked(execution))["label"] == "Confirmation"
        await answer(execution, {"choice": choice})
        assert await execution.result() == Payment(is_paid=is_paid, amount=42.5)
        assert list(bank.paid.values()) == ([42.5] if is_paid else [])
        (await execution.history()).replay(ExpenseClaim)
