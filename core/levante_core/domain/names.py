"""Ids and names: their types, their form, and what is said when the form is wrong."""

import re
from typing import Any, NewType

from levante_core.errors import InvalidInput

Workspace = NewType("Workspace", str)
ExecutionId = NewType("ExecutionId", str)
RunId = NewType("RunId", str)
DeploymentName = NewType("DeploymentName", str)
WorkflowName = NewType("WorkflowName", str)

RESERVED_WORKFLOW_NAMES = frozenset(
    {"executions", "schedules", "definitions", "internal", "webhooks", "archive", "unarchive"}
)

_FORMS = {
    "workspace": (re.compile(r"[A-Za-z0-9_-]{1,128}"), "1 to 128 letters, digits, '_' or '-'"),
    "execution_id": (re.compile(r"[A-Za-z0-9_-]{1,256}"), "1 to 256 letters, digits, '_' or '-'"),
    "workflow_name": (re.compile(r"[A-Za-z0-9_-]{1,128}"), "1 to 128 letters, digits, '_' or '-'"),
    "deployment_name": (re.compile(r"[A-Za-z0-9_.-]{1,128}"), "1 to 128 letters, digits, '_', '.' or '-'"),
    "worker_pool": (
        re.compile(r"[A-Za-z0-9_.-]{1,128}(@[A-Za-z0-9_.-]{1,64})?(~[A-Za-z0-9_.-]{1,256})?"),
        "the name of a deployment, then '@' and a build or '~' and a session where there is one",
    ),
    "build_id": (re.compile(r"[A-Za-z0-9_.-]{1,64}"), "1 to 64 letters, digits, '_', '.' or '-'"),
    "schedule_id": (re.compile(r"[A-Za-z0-9_-]{1,200}"), "1 to 200 letters, digits, '_' or '-'"),
    "batch_id": (re.compile(r"[A-Za-z0-9_-]{1,128}"), "1 to 128 letters, digits, '_' or '-'"),
    "worker_name": (re.compile(r"[A-Za-z0-9_.:@-]{1,256}"), "1 to 256 letters, digits, '_', '.', ':', '@' or '-'"),
}


def of_form(form: str, text: str, field: str | None = None) -> str:
    """Return a text that has the form of such a name. field: what the body calls it, if otherwise. Raises: InvalidInput."""
    pattern, wording = _FORMS[form]
    if not pattern.fullmatch(text):
        field = field or form
        raise InvalidInput.at(("body", field), f"{field} {text[:80]!r} is not allowed: use {wording}")
    return text


def has_form(form: str, text: str) -> bool:
    """Tell whether a text has the form of such a name."""
    return _FORMS[form][0].fullmatch(text) is not None


def described(form: str) -> dict[str, Any]:
    """Return what the JSON schema of a text says that has to be of this form."""
    return {"pattern": f"^{_FORMS[form][0].pattern}$"}


def workspace(text: str) -> Workspace:
    """Check the form of a workspace: it has none of the characters that stand behind it in keys. Raises: InvalidInput."""
    return Workspace(of_form("workspace", text))


def execution_id(text: str) -> ExecutionId:
    """Check the form of an execution id. Raises: InvalidInput."""
    return ExecutionId(of_form("execution_id", text))


def deployment_name(text: str, field: str | None = None) -> DeploymentName:
    """Check the form of a deployment name. field: what the body calls it, if otherwise. Raises: InvalidInput."""
    return DeploymentName(of_form("deployment_name", text, field))


def build_id(text: str) -> str:
    """Check the form of a build id. Raises: InvalidInput."""
    return of_form("build_id", text)


def schedule_id(text: str) -> str:
    """Check the form of a schedule id, which the ids of its executions begin with. Raises: InvalidInput."""
    return of_form("schedule_id", text)


def batch_id(text: str) -> str:
    """Check the form of the id of a batch job. Raises: InvalidInput."""
    return of_form("batch_id", text)


def worker_name(text: str) -> str:
    """Check the form of a worker name. Raises: InvalidInput."""
    return of_form("worker_name", text)


def workflow_name(text: str) -> WorkflowName:
    """Check the form of a workflow name, reserved names included. Raises: InvalidInput."""
    if text in RESERVED_WORKFLOW_NAMES:
        raise InvalidInput.at(("body", "workflow_name"), f"workflow name {text!r} is reserved: choose another one")
    return WorkflowName(of_form("workflow_name", text))
