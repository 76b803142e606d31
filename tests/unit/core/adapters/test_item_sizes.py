"""Items of all that callers may send at once, each thing as large as it may be and of the costliest characters."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from levante_core.adapters.item_sizes import check_sizes
from levante_core.domain.executions.execution import Ending, Execution, RunKey, RunStart, Tracing
from levante_core.domain.executions.search_keys import MOST_BYTES, problem_with_size
from levante_core.domain.history.transitions import ExecutionStatus
from levante_core.domain.names import DeploymentName, ExecutionId, RunId, WorkflowName, Workspace
from levante_core.domain.worker_pool import WorkerPool
from levante_core.errors import NotStorable
from levante_core.ports.item_store import Put
from levante_core.protocol.workers import MOST_DEFINITIONS, DeploymentLocation
from levante_core.services.catalogue.edits import LONGEST_TAG, MOST_TAGS
from levante_core.services.catalogue.registration_checks import (
    MOST_DESCRIPTION_BYTES,
    MOST_DISPLAY_NAME_CHARACTERS,
    MOST_LOCATION_BYTES,
)
from levante_core.services.executions.start import MOST_TRACING_BYTES
from levante_core.storage.catalogue import Worker, Workflow, worker_item, workflow_item
from levante_core.storage.large_documents import OFFLOAD_BYTES, is_large
from levante_core.storage.runs import execution_item

WORKSPACE = Workspace("w" * 128)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
QUOTES = '"' * (OFFLOAD_BYTES // 2 - 500)
"""Two bytes each in a JSON text, four in a JSON text within a JSON text."""


def largest_execution() -> Execution:
    keys = {"k": '"' * (MOST_BYTES // 2 - 10)}
    assert problem_with_size(keys) is None
    return Execution(
        key=RunKey(WORKSPACE, ExecutionId("e" * 256), RunId("r" * 36)),
        workflow_id="i" * 36,
        pool=WorkerPool.parse("d" * 193),
        start=RunStart(
            workflow_name=WorkflowName("n" * 128), input=QUOTES, started_at=NOW, deadline_at=NOW + timedelta(days=1)
        ),
        root_execution_id=ExecutionId("e" * 256),
        user_id="u" * 36,
        status=ExecutionStatus.COMPLETED,
        tracing=Tracing(extensions={"x": '"' * (MOST_TRACING_BYTES // 2)}),
        search_keys=keys,
        ending=Ending(NOW, QUOTES, None, NOW),
    )


def test_execution_when_all_of_it_is_as_large_as_it_may_be_then_its_item_fits() -> None:
    """Every limit is tested by itself elsewhere; together they must not be too much either."""
    item = execution_item(largest_execution())
    assert not any(map(is_large, item.documents.values()))
    assert all(len(item.documents[name]) > OFFLOAD_BYTES - 2000 for name in ("start", "ending"))
    check_sizes([Put(item)])


def test_workflow_when_all_of_it_is_as_large_as_it_may_be_then_its_item_fits() -> None:
    """Names, descriptions and tags are attributes, as listings show them."""
    workflow = Workflow(
        workspace=WORKSPACE,
        workflow_id="i" * 36,
        name=WorkflowName("n" * 128),
        declared_name="ΐ" * MOST_DISPLAY_NAME_CHARACTERS,
        declared_description="d" * MOST_DESCRIPTION_BYTES,
        is_technical=False,
        tags=("\x01" * LONGEST_TAG,) * MOST_TAGS,
        given={"description": "\x01" * 4096},
    )
    check_sizes([Put(workflow_item(workflow))])
    with pytest.raises(NotStorable, match="'tags'"):
        check_sizes([Put(workflow_item(replace(workflow, tags=workflow.tags * 2)))])


def test_worker_when_all_of_it_is_as_large_as_it_may_be_then_its_item_fits() -> None:
    """A worker's item lists its registrations."""
    location = DeploymentLocation(k8s_cluster="\x01" * MOST_LOCATION_BYTES, k8s_namespace="\x01" * MOST_LOCATION_BYTES)
    served = tuple("r" * 64 for _ in range(MOST_DEFINITIONS))
    worker = Worker("n" * 256, DeploymentName("d" * 128), NOW, NOW, served, location, "b" * 64, "s" * 256)
    check_sizes([Put(worker_item(WORKSPACE, worker))])
