from datetime import UTC, datetime, timedelta

import pytest

from levante_core.domain.catalogue.routing import LIVENESS_WINDOW, Owner, choose, is_live
from levante_core.domain.names import DeploymentName, WorkflowName
from levante_core.errors import AmbiguousWorkflow, NotFound

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WORKFLOW = WorkflowName("w")


def owner(name: str, *, registered: int = 0, beat: float | None = None) -> Owner:
    last = None if beat is None else NOW - timedelta(seconds=beat)
    return Owner(DeploymentName(name), NOW + timedelta(seconds=registered), last)


CASES = [
    # owners, wanted, chosen, reason
    ([owner("a")], None, "a", "the only owner, active or not"),
    ([owner("a", beat=1), owner("b")], None, "a", "the only active owner"),
    ([owner("a", registered=1), owner("b", registered=2)], None, "b", "none is active: the last to register"),
    ([owner("a", beat=1), owner("b", beat=1)], "b", "b", "the caller chose"),
    ([owner("a", beat=1), owner("b", beat=60)], None, "a", "a beat too old does not count"),
]


@pytest.mark.parametrize(("owners", "wanted", "chosen", "reason"), CASES, ids=[case[3] for case in CASES])
def test_choose_when_one_fits_then_it_is_chosen(owners: list[Owner], wanted: str | None, chosen: str, reason: str) -> None:
    """An execution goes where somebody can run it, without asking the caller if there is no doubt."""
    assert choose(WORKFLOW, owners, DeploymentName(wanted) if wanted else None, NOW) == chosen


def test_choose_when_several_are_active_then_the_caller_is_told_which() -> None:
    """Two active owners are not chosen between."""
    with pytest.raises(AmbiguousWorkflow) as refusal:
        choose(WORKFLOW, [owner("b", beat=1), owner("a", beat=1)], None, NOW)
    assert refusal.value.deployments == ["a", "b"]


@pytest.mark.parametrize(("owners", "wanted"), [([], None), ([owner("a")], "b"), ([], "b")])
def test_choose_when_nobody_fits_then_nothing_is_found(owners: list[Owner], wanted: str | None) -> None:
    """A deployment that does not own the workflow cannot run it."""
    with pytest.raises(NotFound):
        choose(WORKFLOW, owners, DeploymentName(wanted) if wanted else None, NOW)


def test_is_live_when_the_window_is_over_then_the_worker_no_longer_counts() -> None:
    """A worker counts as active for the window after a beat, and not a moment longer."""
    assert is_live(NOW, NOW + LIVENESS_WINDOW - timedelta(microseconds=1))
    assert not is_live(NOW, NOW + LIVENESS_WINDOW)
