from collections.abc import Callable

import pytest

from levante_core.domain import names
from levante_core.errors import InvalidInput

SEPARATORS = "#/: "
"""What stands behind a workspace in keys (#), in what queues are named after (/) and in message groups (:)."""


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
