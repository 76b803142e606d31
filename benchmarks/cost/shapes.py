"""What a workload consists of, and what others charge for the same: pure."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shape:
    """One execution. is_fan: whether its activities run side by side."""

    activities: int
    signals: int = 0
    timers: int = 0
    is_fan: bool = False

    @property
    def steps(self) -> int:
        """What a price per million steps divides by: all that the workflow waits for."""
        return self.activities + self.signals + self.timers


WORKLOADS: Mapping[str, tuple[str, Shape]] = {
    "one": ("one activity", Shape(1)),
    "chain": ("chain of 100 activities", Shape(100)),
    "fan": ("fan-out of 200 short activities", Shape(200, is_fan=True)),
    "fleet": ("fan-out of 200 activities over the queue", Shape(200, is_fan=True)),
    "order": ("10 activities, a signal and a timer", Shape(10, signals=1, timers=1)),
    "stream": ("chain of 100, followed by a reader of its events", Shape(100)),
}
"""By name: what it is, and its shape."""


def step_functions_transitions(shape: Shape) -> int:
    """One for the start, one for each task, wait and task that waits for a signal; a fan-out's map state too."""
    return 1 + shape.steps + shape.is_fan


def durable_operations(shape: Shape) -> int:
    """One for the start, one for each step, callback and wait; a fan-out's map too."""
    return 1 + shape.steps + shape.is_fan


def temporal_actions(shape: Shape) -> int:
    """One for the start, one for each activity, signal and timer; retries and heartbeats would come on top."""
    return 1 + shape.steps
