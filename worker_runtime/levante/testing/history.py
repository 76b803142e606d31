"""What a test can say of a recorded history."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from levante.replay.recorded import replay_history
from levante.testing.other_process import replay_elsewhere


class History:
    """The events of one run, as the API gives them."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self.events: list[Mapping[str, Any]] = list(document["events"])

    @property
    def kinds(self) -> list[str]:
        """The kinds of the events, in order."""
        return [event["kind"] for event in self.events]

    @property
    def activities(self) -> list[str]:
        """The names of the activities that the workflow called, in order."""
        return [event["name"] for event in self.of_kind("activity_scheduled")]

    def of_kind(self, kind: str) -> list[Mapping[str, Any]]:
        """Return the events of a kind, in order."""
        return [event for event in self.events if event["kind"] == kind]

    def assert_has(self, *kinds: str) -> None:
        """Check that the history has events of these kinds in this order, whatever is between them.

        Raises:
            AssertionError: When they are not.
        """
        rest = iter(self.kinds)
        for kind in kinds:
            if kind not in rest:
                raise AssertionError(f"no {kind} where it was expected; the history is: {', '.join(self.kinds)}")

    def replay(self, workflow: type, *, hash_seeds: Iterable[int] = ()) -> None:
        """Replay the history against the code, here and in a process for each hash seed.

        Raises: NonDeterminismError, WorkflowCodeFailed; see `replay_elsewhere`.
        """
        replay_history(self.document, workflow)
        for seed in hash_seeds:
            replay_elsewhere([(self.document, workflow)], seed)
