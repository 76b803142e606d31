"""What users say of workflows: names and descriptions for people, tags, and which are put away."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from levante_core.domain.names import Workspace
from levante_core.errors import InvalidInput, Unavailable
from levante_core.ports.item_store import ConditionFailed, ItemStore, Matches, Put
from levante_core.services.catalogue.register import CatalogueService
from levante_core.services.conflicts import Conflicts
from levante_core.storage.catalogue import Workflow, workflow_item

MOST_TAGS = 500
"""What an item has room for, whatever the characters. Source: DynamoDB limits, 400 KB (read 2026-11-23)."""
LONGEST_TAG = 100
"""Source: REST contract §1.5 (read 2026-11-30)."""


@dataclass(frozen=True, slots=True)
class Edit:
    """What changes; a field that is not in `changes` stays. None for a name or description: what the code says again."""

    changes: dict[str, str | None]
    tags: Sequence[str] | None = None


class WorkflowEdits:
    """Changes workflows. What users have said stays when workers register them anew."""

    def __init__(self, store: ItemStore, catalogue: CatalogueService, conflicts: Conflicts) -> None:
        self._store = store
        self._catalogue = catalogue
        self._conflicts = conflicts

    def edit(self, workspace: Workspace, identifier: str, edit: Edit) -> Workflow:
        """Change what is shown of a workflow, by its name or id. Raises: NotFound, InvalidInput."""
        tags = None if edit.tags is None else _checked(edit.tags)

        def change(workflow: Workflow) -> Workflow:
            fields = {**workflow.given, **edit.changes}
            return replace(workflow, given=fields, tags=workflow.tags if tags is None else tags)

        return self._change(workspace, identifier, change)

    def add_tags(self, workspace: Workspace, identifier: str, tags: Sequence[str]) -> Workflow:
        """Add tags to those that a workflow has. Raises: NotFound, InvalidInput."""
        return self._change(
            workspace, identifier, lambda workflow: replace(workflow, tags=_checked([*workflow.tags, *tags]))
        )

    def archive(self, workspace: Workspace, identifier: str, *, is_archived: bool) -> Workflow:
        """Put a workflow away, or take it out again. It goes on to work as before. Raises: NotFound."""
        return self._change(workspace, identifier, lambda workflow: replace(workflow, is_archived=is_archived))

    def _change(self, workspace: Workspace, identifier: str, change: Callable[[Workflow], Workflow]) -> Workflow:
        for _ in self._conflicts.attempts():
            before = self._catalogue.get(workspace, identifier).workflow
            after = replace(change(before), edition=before.edition + 1)
            with suppress(ConditionFailed):
                unchanged = Matches({"workflow_id": before.workflow_id, "edition": before.edition})
                self._store.write(Put(workflow_item(after), unchanged))
                return after
        raise Unavailable(f"workflow {identifier!r} is being changed by many at once: try again")


def _checked(tags: Sequence[str]) -> tuple[str, ...]:
    """Return tags trimmed and without repeats, in their order. Raises: InvalidInput."""
    distinct = tuple(dict.fromkeys(tag.strip() for tag in tags))
    if any(not 0 < len(tag) <= LONGEST_TAG for tag in distinct):
        raise InvalidInput.at(("body", "tags"), f"a tag has 1 to {LONGEST_TAG} characters")
    if len(distinct) > MOST_TAGS:
        raise InvalidInput.at(("body", "tags"), f"a workflow has {MOST_TAGS} tags at most, and these are {len(distinct)}")
    return distinct
