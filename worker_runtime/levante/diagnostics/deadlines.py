"""Waits that reach past the end of their execution, whose time limit is an hour unless somebody chooses another one."""

from __future__ import annotations

import logging
import sys
from datetime import datetime, timedelta

from levante.determinism.callers import is_users, stack_of_run
from levante.diagnostics.places import Place
from levante_core.protocol import RunStart

DEFAULT_TIMEOUT = timedelta(hours=1)
"""The execution_timeout of `@workflow.define`."""
FOR_EVER = timedelta(days=365 * 1000)
"""Nobody means to see the end of such a wait: it is for what cancels it."""

logger = logging.getLogger("levante.workflow")


class DeadlineWarnings:
    """Warns of waits of one run that are longer than its execution may take; once for each line, and never on replay.

    package: the top-level package of the workflow class, whose lines are named.
    """

    def __init__(self, workflow: str, execution_id: str, start: RunStart, package: str) -> None:
        self._workflow = workflow
        self._execution_id = execution_id
        self._deadline_at = start.deadline_at
        self._whole = start.deadline_at - start.started_at
        self._package = package
        self._lines: set[Place | None] = set()

    def timer(self, now: datetime, seconds: float, *, is_replaying: bool) -> None:
        """Look at a wait that begins now."""
        left = self._deadline_at - now
        if timedelta(0) < self._whole and seconds > left.total_seconds():
            rest = f", of which {_written(left)} is left" if left < self._whole else ""
            self._warn(f"{rest}; this waits for", seconds, is_replaying=is_replaying)

    def limit(self, what: str, seconds: float, *, is_replaying: bool) -> None:
        """Look at the time limit of an activity or a child: it need not be used up, so it is compared with the whole."""
        if timedelta(0) < self._whole and seconds > self._whole.total_seconds():
            self._warn(f"; {what} may take", seconds, is_replaying=is_replaying)

    def _warn(self, what: str, seconds: float, *, is_replaying: bool) -> None:
        place = self._place()
        if place in self._lines or seconds > FOR_EVER.total_seconds():
            return
        self._lines.add(place)
        if is_replaying:
            return
        default = " (the default)" if self._whole == DEFAULT_TIMEOUT else ""
        logger.warning(
            "execution %s of workflow %s, at %s: execution_timeout is %s%s%s %s: give "
            "@workflow.define(execution_timeout=...)",
            *(self._execution_id, self._workflow, place or "a line of a library"),
            *(_written(self._whole), default, what, _written(timedelta(seconds=seconds))),
            extra={"execution_id": self._execution_id},
        )

    def _place(self) -> Place | None:
        """Return the innermost line of the user's code."""
        for frame in stack_of_run(sys._getframe(1)):  # noqa: SLF001 - the documented way to one's callers
            if is_users(frame, self._package):
                return Place(frame.f_code.co_filename, frame.f_lineno)
        return None


def _written(time: timedelta) -> str:
    return str(timedelta(seconds=round(time.total_seconds()))).removesuffix(", 0:00:00")
