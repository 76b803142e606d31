"""Ids of what is shown to people."""

from __future__ import annotations

from uuid import uuid4  # noqa: TID251 - for scripts and tests, which are not replayed

from levante.context import current_activity, current_workflow


def new_id() -> str:
    """Make an id up: in a workflow one that is the same on every replay."""
    workflow, activity = current_workflow.get(), current_activity.get()
    if workflow is not None:
        return str(workflow.uuid4())
    if activity is not None:
        return activity.new_task_id()
    return str(uuid4())
