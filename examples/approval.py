"""An expense waits for somebody's decision, with a reminder and an end to the waiting.

    python examples/approval.py

The decision is an update, so whoever decides learns at once whether it counts. Withdrawing is a signal: nobody waits for an
answer to it. Reminder and end are timeouts of the wait, and hold however long they are and whatever happens to the worker.
"""

import time
from datetime import timedelta
from enum import StrEnum

from mistralai.client import Mistral
from pydantic import BaseModel, Field

import levante as workflows
from levante import workflow


class State(StrEnum):
    """Where an expense has got to."""

    WAITING = "waiting"
    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


class Expense(BaseModel):
    """What is to be approved, and by whom. remind_after: the start; expire_after: the reminder."""

    title: str
    cents: int = Field(gt=0)
    approver: str
    remind_after: timedelta = timedelta(days=1)
    expire_after: timedelta = timedelta(days=6)


class Decision(BaseModel):
    """What became of an expense. by: who decided; nobody did when it was withdrawn or has expired."""

    state: State
    by: str | None = None
    reminders: int = 0


@workflows.activity()
async def notify(person: str, text: str) -> None:
    """Tell somebody something. It may happen twice, and one e-mail more does no harm."""
    print(f"   e-mail to {person}: {text}", flush=True)


@workflow.define(name="approval", execution_timeout=timedelta(days=30))
class Approval:
    """One expense, from the request to the decision."""

    def __init__(self) -> None:
        self.decision = Decision(state=State.WAITING)

    @workflow.entrypoint
    async def run(self, expense: Expense) -> Decision:
        """Return what was decided."""
        await notify(expense.approver, f"please decide on {expense.title}")
        if not await self.is_decided_within(expense.remind_after):
            self.decision.reminders += 1
            await notify(expense.approver, f"{expense.title} still waits for you")
            if not await self.is_decided_within(expense.expire_after):
                self.decision.state = State.EXPIRED
        await notify("accounting", f"{expense.title} is {self.decision.state}")
        return self.decision

    async def is_decided_within(self, time: timedelta) -> bool:
        """Wait for a decision, but not longer than that."""
        try:
            await workflow.wait_condition(lambda: self.decision.state is not State.WAITING, timeout=time)
        except TimeoutError:
            return False
        return True

    @workflow.update(name="decide")
    def decide(self, by: str, *, approved: bool) -> State:
        """Decide. The first decision counts, and who comes later is told so."""
        if self.decision.state is not State.WAITING:
            raise workflows.WorkflowError(f"too late: it is {self.decision.state}")
        self.decision.state = State.APPROVED if approved else State.REJECTED
        self.decision.by = by
        return self.decision.state

    @workflow.signal(name="withdraw")
    def withdraw(self) -> None:
        """Take the request back, unless it is decided already."""
        if self.decision.state is State.WAITING:
            self.decision.state = State.WITHDRAWN

    @workflow.query(name="decision")
    def current_decision(self) -> Decision:
        """Say where it has got to."""
        return self.decision


def drive(client: Mistral) -> None:
    """Let one expense be approved after the reminder, one expire, and one be withdrawn."""
    execute, executions = client.workflows.execute_workflow, client.workflows.executions
    print("1. ann is asked twice, and then approves")
    chair = {"title": "a chair", "cents": 12_000, "approver": "ann", "remind_after": "PT1S"}
    chair_id = execute(workflow_identifier="approval", input=chair).execution_id
    while executions.query_workflow_execution(execution_id=chair_id, name="decision").result["reminders"] == 0:
        time.sleep(0.1)
    approval = {"by": "ann", "approved": True}
    answer = executions.update_workflow_execution(execution_id=chair_id, name="decide", input=approval)
    print(f"   ann is told: {answer.result}")
    print(f"   {client.workflows.wait_for_workflow_completion(chair_id, polling_interval=1).result}")

    print("2. nobody decides, and the boat expires")
    boat = {"title": "a boat", "cents": 9_900_000, "approver": "bob", "remind_after": "PT0.5S", "expire_after": "PT0.5S"}
    print(f"   {client.workflows.execute_workflow_and_wait('approval', boat, use_api_sync=True)}")

    print("3. cid takes a request back")
    tent = {"title": "a tent", "cents": 20_000, "approver": "bob"}
    tent_id = execute(workflow_identifier="approval", input=tent).execution_id
    executions.signal_workflow_execution(execution_id=tent_id, name="withdraw")
    print(f"   {client.workflows.wait_for_workflow_completion(tent_id, polling_interval=1).result}")


if __name__ == "__main__":
    from running import example  # type: ignore[import-not-found]  # beside this file, where Python looks when it is run

    with example(__file__) as site:
        drive(site.client)
