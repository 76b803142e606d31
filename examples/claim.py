"""Somebody fills in a form, and somebody else confirms it: people in the middle of a workflow.

    python examples/claim.py

The workflow asks and waits, for days if need be. A client finds out what is asked, shows the form that its JSON schema
describes, and submits the answer; one that does not fit is refused, and the form stays open.
"""

import time
from typing import Any

from mistralai.client import Mistral
from mistralai.client.errors import SDKError
from pydantic import BaseModel

import levante as workflows
from levante import conversational as talk
from levante import workflow


class Claim(talk.FormInput):
    """What somebody has spent."""

    about: str = talk.TextField(description="What for")
    amount: float = talk.NumberField(minimum=0.01, maximum=10_000)
    kind: str = talk.SingleChoice(options=[("trip", "A trip"), ("meal", "A meal"), "other"], prefilled_value="trip")


class Payment(BaseModel):
    """What became of a claim."""

    is_paid: bool
    amount: float


@workflows.activity()
async def pay(amount: float, number: str) -> None:
    """Pay once: the bank knows the number."""
    print(f"   paid: {amount:.2f} (payment {number[:4]})", flush=True)


@workflow.define(name="claim")
class ExpenseClaim(workflows.InteractiveWorkflow):
    """One claim, from the form to the payment."""

    @workflow.entrypoint
    async def run(self, who: str) -> Payment:
        """Return what became of it."""
        claim = await self.wait_for_input(Claim, label=f"What have you spent, {who}?")
        question = f"Pay {claim.amount:.2f} to {who} for {claim.about}?"
        answer = await self.wait_for_input(
            talk.AcceptDeclineConfirmation(question, accept_label="Pay", decline_label="Do not"), label="Confirmation"
        )
        if not talk.is_accepted(answer):
            return Payment(is_paid=False, amount=claim.amount)
        await pay(claim.amount, str(workflow.uuid4()))
        await talk.send_assistant_message("It is on its way.")
        return Payment(is_paid=True, amount=claim.amount)


def drive(client: Mistral) -> None:
    """Play ann, who fills in the form, and bob, who confirms."""
    executions = client.workflows.executions
    execution_id = client.workflows.execute_workflow(workflow_identifier="claim", input={"who": "ann"}).execution_id

    def asked() -> dict[str, Any]:
        while True:
            pending = executions.query_workflow_execution(execution_id=execution_id, name="__get_pending_inputs").result
            if pending["pending_inputs"]:
                return dict(pending["pending_inputs"][0])
            time.sleep(0.05)

    def submit(value: dict[str, Any]) -> None:
        given = {"task_id": question["task_id"], "input": value}
        executions.update_workflow_execution(execution_id=execution_id, name="__submit_input", input=given)

    question = asked()
    print(f"1. ann is asked: {question['label']}")
    for name, field in question["input_schema"]["properties"].items():
        print(f"   {name}: {field.get('x-field', field.get('type'))}")
    try:
        submit({"about": "a train", "amount": -5, "kind": "trip"})
    except SDKError as error:
        print(f"2. she mistypes, and is told so ({error.status_code})")
    submit({"about": "a train", "amount": 42.5, "kind": "trip"})

    question = asked()
    print(f"3. bob is asked: {question['label']}")
    submit({"choice": "accept"})
    print(f"4. {client.workflows.wait_for_workflow_completion(execution_id, polling_interval=1).result}")


if __name__ == "__main__":
    from running import example  # type: ignore[import-not-found]  # beside this file, where Python looks when it is run

    with example(__file__) as site:
        drive(site.client)
