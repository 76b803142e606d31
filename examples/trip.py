"""A trip is booked in three places, or in none: what was booked is taken back when something after it fails.

    python examples/trip.py

Each booking is an activity, and so is taking it back. Who fails, or is cancelled, in the middle goes through the bookings in
reverse order; that part is shielded, so that not even a second request to cancel stops it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from mistralai.client import Mistral
from pydantic import BaseModel, Field

import levante as workflows
from levante import workflow


class Trip(BaseModel):
    """Where somebody wants to go. pause: seconds between two bookings, for those who want to watch."""

    to: str
    nights: int = Field(gt=0)
    pause: float = 0


class Booking(BaseModel):
    """Something that was booked, under a number to take it back with."""

    what: str
    number: str


FULL_UP = {"the moon"}
"""Places without a car to rent."""


@workflows.activity()
async def book(what: str, to: str, number: str) -> Booking:
    """Book something. The number comes from the workflow, so a second attempt books nothing twice."""
    if what == "car" and to in FULL_UP:
        raise workflows.WorkflowError(f"no {what} on {to}", non_retryable=True)
    print(f"   booked: {what} to {to}", flush=True)
    return Booking(what=what, number=number)


@workflows.activity(retry_policy_max_attempts=100)
async def take_back(booking: Booking) -> None:
    """Undo a booking; undoing it twice, or what was never booked, does no harm."""
    print(f"   taken back: {booking.what}", flush=True)


@workflow.define(name="trip")
class BookTrip:
    """Books flight, hotel and car, all or none."""

    def __init__(self) -> None:
        self.to_undo: list[Callable[[], Awaitable[None]]] = []

    @workflow.entrypoint
    async def run(self, trip: Trip) -> list[Booking]:
        """Return the bookings. Fails with what could not be booked, once all else is taken back."""
        try:
            bookings = []
            for what in ("flight", "hotel", "car"):
                bookings.append(await self.booked(what, trip.to))
                await workflow.sleep(trip.pause)
        except (workflows.ActivityError, asyncio.CancelledError):
            await asyncio.shield(asyncio.ensure_future(self.undo()))
            raise
        return bookings

    async def booked(self, what: str, to: str) -> Booking:
        """Book something; how to take it back is remembered before, for it may be booked although that looks failed."""
        booking = Booking(what=what, number=str(workflow.uuid4()))
        self.to_undo.append(lambda: take_back(booking))
        return await book(what, to, booking.number)

    async def undo(self) -> None:
        """Take back what was begun, the last one first."""
        while self.to_undo:
            await self.to_undo.pop()()


def drive(client: Mistral) -> None:
    """Book a trip, fail to book another one, and cancel a third in the middle."""
    wait, executions = client.workflows.execute_workflow_and_wait, client.workflows.executions
    print("1. to rome")
    booked = wait("trip", {"to": "rome", "nights": 3}, use_api_sync=True)
    print(f"   {', '.join(booking['what'] for booking in booked['result'])}")

    print("2. to the moon, where no car is to be had")
    try:
        wait("trip", {"to": "the moon", "nights": 1})
    except RuntimeError as error:
        print(f"   {error}")

    print("3. to oslo, and cancelled after the flight")
    trip = {"to": "oslo", "nights": 2, "pause": 2}
    oslo_id = client.workflows.execute_workflow(workflow_identifier="trip", input=trip).execution_id
    while "activity_completed" not in str(executions.get_workflow_execution_history(execution_id=oslo_id)):
        time.sleep(0.05)
    executions.cancel_workflow_execution(execution_id=oslo_id)
    try:
        client.workflows.wait_for_workflow_completion(oslo_id, polling_interval=1)
    except RuntimeError as error:
        print(f"   {error}")


if __name__ == "__main__":
    from running import example  # type: ignore[import-not-found]  # beside this file, where Python looks when it is run

    with example(__file__) as site:
        drive(site.client)
