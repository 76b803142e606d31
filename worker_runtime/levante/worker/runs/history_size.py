"""How large a history is, and who is told when it grows too large."""

from __future__ import annotations

import logging

from levante_core.protocol import MOST_BYTES, MOST_EVENTS, HistorySize, RunState
from levante_core.protocol.workers import LoadResponse

ADVICE_SHARE = 0.2
"""Of what a history may hold; from there on a workflow is advised to continue as new, and the log says so."""
LAST_WARNING_SHARE = 0.8

logger = logging.getLogger("levante.worker")


def recorded_bytes(loaded: LoadResponse, state: RunState) -> int:
    """Return what a history takes that was loaded whole: its batches, and those of its facts that it has taken."""
    taken = (fact for fact in loaded.facts if fact.key in state.taken)
    return sum(len(one.model_dump_json()) for one in (*loaded.batches, *taken))


def warn_of(execution_id: str, size: HistorySize, share_before: float) -> None:
    """Warn if a history has passed a mark since it had this share of what it may hold."""
    if any(share_before < mark <= size.share for mark in (ADVICE_SHARE, LAST_WARNING_SHARE)):
        logger.warning(
            "the history of execution %s has %d events and %d bytes: with more than %d or %d it is terminated. Let the "
            "workflow continue as new when workflow.should_continue_as_new() says so",
            execution_id,
            size.events,
            size.bytes,
            MOST_EVENTS,
            MOST_BYTES,
        )
