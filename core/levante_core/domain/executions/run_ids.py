"""Ids of runs that start an execution: they say when, so that the run is found by its id alone.

UUIDs of version 7: milliseconds, then the microseconds in the next twelve bits, then 62 random bits.
Source: RFC 9562, sections 5.7 and 6.2 (more precise time in place of random bits) (read 2026-11-30).
"""

import re
from datetime import datetime, timedelta

from levante_core.domain.epoch import EPOCH
from levante_core.domain.names import RunId

_FORM = re.compile(r"([0-9a-f]{8})-([0-9a-f]{4})-7([0-9a-f]{3})-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_MILLISECOND = timedelta(milliseconds=1)
_MICROSECOND = timedelta(microseconds=1)


def new_run_id(started_at: datetime, random_uuid: str) -> RunId:
    """Make the id of a run that starts at this time. random_uuid: a UUID of version 4, whose last 62 bits are taken."""
    milliseconds, rest = divmod(started_at - EPOCH, _MILLISECOND)
    time = f"{milliseconds:012x}"
    return RunId(f"{time[:8]}-{time[8:]}-7{rest // _MICROSECOND:03x}{random_uuid[18:]}")


def started_at_of(run_id: RunId) -> datetime | None:
    """Return when the run with this id started; None for an id that does not say so."""
    match = _FORM.fullmatch(run_id)
    if match is None or (microseconds := int(match[3], 16)) >= 1000:  # noqa: PLR2004 - of a millisecond
        return None
    try:
        return EPOCH + int(match[1] + match[2], 16) * _MILLISECOND + microseconds * _MICROSECOND
    except OverflowError:
        return None
