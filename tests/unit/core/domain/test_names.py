import base64
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levante_core.domain import names
from levante_core.domain.names import DeploymentName, Workspace
from levante_core.domain.worker_pool import WorkerPool
from levante_core.errors import InvalidInput
from levante_core.protocol.workers import TaskQueue
from levante_core.services.dispatch.sender import queue_name

SEPARATORS = "#/: "
"""What stands behind a workspace in keys (#), in what queues are named after (/) and in message groups (:)."""

TEXTS = st.text(st.sampled_from('aAb-_./@~#",\\ '), max_size=6) | st.text(max_size=200)


@pytest.mark.parametrize("text", ["default", "a", "A-b_9", "x" * 128])
def test_workspace_when_its_form_is_right_then_it_is_taken_as_it_is(text: str) -> None:
    """1 to 128 letters, digits, '_' or '-'."""
    assert names.workspace(text) == text


@pytest.mark.parametrize("text", ["", "x" * 129, "a.b", "ä", "a\n", *(f"a{separator}b" for separator in SEPARATORS)])
def test_workspace_when_its_form_is_wrong_then_it_is_refused_by_name(text: str) -> None:
    """A separator inside a workspace would let it reach into the keys of another one."""
    with pytest.raises(InvalidInput, match="128 letters") as refused:
        names.workspace(text)
    assert refused.value.problems[0]["loc"] == ["body", "workspace"]


@pytest.mark.parametrize("check", [names.workspace, names.execution_id, names.workflow_name, names.deployment_name])
def test_name_when_it_is_long_then_the_error_quotes_its_beginning_only(check: Callable[[str], str]) -> None:
    """What somebody sent by mistake does not fill a log."""
    with pytest.raises(InvalidInput) as refused:
        check("x" * 1000)
    assert len(str(refused.value)) < 300


@pytest.mark.slow
@given(st.lists(st.tuples(TEXTS, TEXTS, st.sampled_from(TaskQueue)), min_size=2, max_size=8, unique=True))
def test_queue_names_when_anything_differs_then_they_differ_and_fit_into_sqs(
    places: list[tuple[str, str, TaskQueue]],
) -> None:
    """No two of (workspace, deployment, kind) share a queue, whatever characters are in them; 55 leave a prefix of 24."""
    found = [queue_name(Workspace(space), WorkerPool(DeploymentName(name)), queue) for space, name, queue in places]
    assert len({name.lower() for name in found}) == len(places)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{0,8}-[a-z2-7]{26}-(workflow|activity)-tasks\.fifo", name) for name in found)
    assert max(map(len, found)) <= 55


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a", "b/c"), ("a/b", "c")),
        (("a", '", "b'), ('a", "', "b")),
        (("", "ab"), ("a", "b")),
        (("w", "payments-production-1"), ("w", "payments-production-2")),
    ],
)
def test_queue_names_when_their_parts_join_alike_then_they_differ(one: tuple[str, str], other: tuple[str, str]) -> None:
    """What the digest is made of tells where a workspace ends."""
    first, second = (
        queue_name(Workspace(space), WorkerPool(DeploymentName(name)), TaskQueue.WORKFLOW) for space, name in (one, other)
    )
    assert first != second


def test_queue_name_when_it_is_made_then_128_bits_tell_it_apart() -> None:
    """With 40 bits, another workspace's deployment was found in hours that shares a queue with a victim's."""
    digest = queue_name(Workspace("w"), WorkerPool.parse("d"), TaskQueue.WORKFLOW).split("-")[1]
    assert len(base64.b32decode(digest.upper() + "======")) * 8 == 128
