"""Changes of workflow code in place: which side of a change a run takes, for as long as it lives."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from levante_core.protocol import PatchRecorded


class Patches:
    """The changes that the code of one run has asked about.

    A run takes the new side of a change unless it was past the change before there was one. is_replaying: whether what the
    code does now is recorded.
    """

    def __init__(self, record: Callable[[PatchRecorded], None]) -> None:
        self.is_replaying = False
        self._record = record
        self._recorded: frozenset[str] = frozenset()
        self._sides: dict[str, bool] = {}

    def replays(self, recorded: frozenset[str]) -> None:
        """Learn which changes the history knows that is going to be replayed."""
        self._recorded = recorded

    def is_taken(self, patch_id: str) -> bool:
        """Tell which side the run takes, and record it where it is asked for first."""
        if patch_id not in self._sides:
            self._sides[patch_id] = self._is_new(patch_id)
            if self._sides[patch_id]:
                self._record(PatchRecorded(patch_id=patch_id))
        return self._sides[patch_id]

    def deprecate(self, patch_id: str) -> None:
        """Record that the run can do without an answer."""
        if patch_id not in self._sides:
            self._sides[patch_id] = True
            if self._is_new(patch_id):
                self._record(PatchRecorded(patch_id=patch_id, is_deprecated=True))

    def _is_new(self, patch_id: str) -> bool:
        return not self.is_replaying or patch_id in self._recorded


def unasked(recorded: PatchRecorded, asked: Iterable[object]) -> bool:
    """Tell whether the code rightly asks no longer about a change that is recorded as deprecated."""
    following = next(iter(asked), None)
    is_asked = isinstance(following, PatchRecorded) and following.patch_id == recorded.patch_id
    return recorded.is_deprecated and not is_asked
