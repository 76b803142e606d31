"""examples/trip.py: all bookings, or none."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from examples.trip import Booking, BookTrip, Trip, book, take_back

from levante.testing import ExecutionNotCompleted, WorkflowEnvironment
from levante_core.domain.history.transitions import ExecutionStatus

pytestmark = pytest.mark.levante


class Agency:
    """Keeps bookings by their numbers, as the places do where things are booked."""

    def __init__(self) -> None:
        self.booked: dict[str, str] = {}
        self.taken_back: list[str] = []
        self.has_flight = asyncio.Event()

    async def book(self, what: str, to: str, number: str) -> Booking:
        """Refuses cars for the moon, when it has booked all else."""
        if (what, to) == ("car", "the moon"):
            raise ValueError("no car")
        self.booked[number] = what
        self.has_flight.set()
        return Booking(what=what, number=number)

    async def take_back(self, booking: Booking) -> None:
        if self.booked.pop(booking.number, None):
            self.taken_back.append(booking.what)


def environment_with(agency: Agency, **mode: Any) -> WorkflowEnvironment:
    mocks: dict[Any, Any] = {book: agency.book, take_back: agency.take_back}
    return WorkflowEnvironment([BookTrip], activities=[book, take_back], mocks=mocks, **mode)


async def test_trip_when_everything_is_to_be_had_then_everything_is_booked_once(mode: Mapping[str, Any]) -> None:
    """A crash books nothing twice, since the workflow gives out the numbers."""
    agency = Agency()
    async with environment_with(agency, **mode) as environment:
        execution = await environment.start(BookTrip, Trip(to="rome", nights=3))
        bookings = await execution.result()
        assert [booking.what for booking in bookings] == ["flight", "hotel", "car"]
        assert list(agency.booked.values()) == ["flight", "hotel", "car"]
        (await execution.history()).replay(BookTrip)


async def test_trip_when_the_car_is_not_to_be_had_then_hotel_and_flight_are_taken_back(mode: Mapping[str, Any]) -> None:
    """In reverse order, and the failure says what could not be booked."""
    agency = Agency()
    async with environment_with(agency, **mode) as environment:
        execution = await environment.start(BookTrip, Trip(to="the moon", nights=1))
        with pytest.raises(ExecutionNotCompleted, match="book") as caught:
            await execution.result()
        assert caught.value.status is ExecutionStatus.FAILED
        assert (agency.taken_back, agency.booked) == (["hotel", "flight"], {})


async def test_trip_when_it_is_cancelled_then_what_was_booked_is_taken_back(mode: Mapping[str, Any]) -> None:
    """Twice cancelled, and taken back all the same: the cleaning up is shielded."""
    agency = Agency()
    async with environment_with(agency, **mode) as environment:
        execution = await environment.start(BookTrip, Trip(to="oslo", nights=2, pause=60))
        await agency.has_flight.wait()
        await asyncio.sleep(1)
        await execution.cancel()
        await execution.cancel()
        with pytest.raises(ExecutionNotCompleted) as caught:
            await execution.result()
        assert caught.value.status is ExecutionStatus.CANCELED
        assert (agency.taken_back, agency.booked) == (["flight"], {})
