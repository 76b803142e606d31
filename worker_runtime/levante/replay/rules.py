"""What a worker's settings say of the code that it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from levante_core.protocol import Json, problem_with

PayloadCheck = Callable[[str, Json], tuple[int, str | None]]
"""Takes what a payload is called, and the payload; returns its size, and what is wrong with it. See `problem_with`."""


@dataclass(frozen=True, slots=True)
class RunRules:
    """What a worker's settings say of its runs.

    enforces_determinism: in workflows that leave it open. fails_on_errors: whether a bug ends the execution as failed, too.
    check: says what is wrong with a payload.
    """

    enforces_determinism: bool = True
    fails_on_errors: bool = False
    check: PayloadCheck = problem_with


RUN_RULES = RunRules()
