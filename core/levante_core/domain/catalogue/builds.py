"""Builds of a deployment: which one new executions go to, and which have nobody left to run theirs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Build:
    """What workers of a deployment were built from. registered_at: for the first time. is_live: some of them report."""

    build_id: str
    registered_at: datetime
    is_live: bool


def current(builds: Sequence[Build]) -> Build | None:
    """Return the build that new executions go to: the newest one with workers, else the newest one, if there is any."""
    alive = [build for build in builds if build.is_live]
    return max(alive or builds, key=lambda build: build.registered_at, default=None)


def successor(build_id: str | None, builds: Sequence[Build], *, has_others: bool) -> str | None:
    """Return the build whose workers take over from a build that has no workers left; None where nobody takes over.

    build_id: None for executions that are pinned to none. has_others: workers without a build are there, which run those.
    """
    now = current(builds)
    if now is None or not now.is_live or now.build_id == build_id:
        return None
    if build_id is None:
        return None if has_others else now.build_id
    is_left = any(build.is_live for build in builds if build.build_id == build_id)
    return None if is_left else now.build_id
