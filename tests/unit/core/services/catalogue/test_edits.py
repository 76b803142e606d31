"""What users say of workflows stays, whoever registers them meanwhile."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from levante_core.errors import InvalidInput, NotFound, Unavailable
from levante_core.protocol import WorkflowSpec
from levante_core.protocol.workers import RegisterRequest
from levante_core.services.catalogue.edits import Edit
from levante_core.storage.catalogue import Workflow
from tests.support.place import DEPLOYMENT, SPACE, Place


def register(place: Place, **more: Any) -> None:
    """Register the workflow, as a worker does each time it starts."""
    spec = WorkflowSpec(name="w", task_queue="d", input_schema={}, **more)
    request = RegisterRequest(definitions=(spec,), deployment_name=DEPLOYMENT, worker_name="w")
    place.engine.catalogue.register(SPACE, request)


def shown(place: Place) -> Workflow:
    """Return the workflow as it is."""
    return place.engine.catalogue.get(SPACE, "w").workflow


def test_names_when_users_gave_them_then_they_stay_until_they_are_taken_back(place: Place) -> None:
    """Then it is what the code says by then."""
    register(place, display_name="Code's name", description="code's")
    place.engine.workflow_edits.edit(SPACE, "w", Edit({"display_name": "Ours"}))
    register(place, display_name="Code's new name", description="code's new")
    assert (shown(place).display_name, shown(place).description) == ("Ours", "code's new")
    listed = place.engine.catalogue.list_workflows(SPACE, limit=10, descending=False, after=None).items
    assert listed[0].attributes["display_name"] == "Ours"
    place.engine.workflow_edits.edit(SPACE, "w", Edit({"display_name": None}))
    assert shown(place).display_name == "Code's new name"


def test_tags_when_added_then_each_is_there_once_and_in_order(place: Place) -> None:
    """An edit replaces them all; one without tags leaves them."""
    register(place)
    edits = place.engine.workflow_edits
    edits.add_tags(SPACE, "w", ["b", " a\n", "b "])
    edits.add_tags(SPACE, "w", ["a", "c"])
    edits.edit(SPACE, "w", Edit({}))
    assert shown(place).tags == ("b", "a", "c")
    edits.edit(SPACE, "w", Edit({}, tags=["d"]))
    edits.archive(SPACE, shown(place).workflow_id, is_archived=True)
    register(place)
    assert (shown(place).tags, shown(place).is_archived) == (("d",), True)


@pytest.mark.parametrize("tags", [[""], [" "], ["x" * 101], [str(number) for number in range(501)]])
def test_tags_when_they_are_no_good_then_nothing_changes(place: Place, tags: list[str]) -> None:
    """Too long, empty, or too many."""
    register(place)
    with pytest.raises(InvalidInput, match="tag"):
        place.engine.workflow_edits.add_tags(SPACE, "w", tags)
    assert shown(place).tags == ()


def test_workflow_when_there_is_none_then_that_is_said(place: Place) -> None:
    """By name and by id."""
    with pytest.raises(NotFound):
        place.engine.workflow_edits.archive(SPACE, "nobody", is_archived=True)


def test_edits_when_many_happen_at_once_with_registrations_then_none_is_lost(place: Place) -> None:
    """Each is written on the condition that nobody was faster."""
    register(place)

    def change(number: int) -> None:
        while True:
            with suppress(Unavailable):  # others were faster, too often
                if number % 4 == 0:
                    register(place)
                else:
                    place.engine.workflow_edits.add_tags(SPACE, "w", [str(number)])
                return

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(change, range(24)))
    assert set(shown(place).tags) == {str(number) for number in range(24) if number % 4}
