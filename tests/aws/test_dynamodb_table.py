from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from levante_core.adapters.dynamodb.store import DynamoItemStore
from levante_core.adapters.dynamodb.table import INDEXES, table_definition
from levante_core.domain.executions.execution import Ending, Execution, Parent, RunKey, RunStart
from levante_core.domain.history.transitions import ExecutionStatus
from levante_core.domain.names import DeploymentName, ExecutionId, RunId, WorkflowName, Workspace
from levante_core.domain.worker_pool import WorkerPool
from levante_core.ports.item_store import Item, Put, Query
from levante_core.protocol.specs import WorkflowSpec
from levante_core.storage import keys
from levante_core.storage.catalogue import (
    ApiKey,
    Deployment,
    Registration,
    Role,
    Workflow,
    api_key_item,
    api_key_of,
    deployment_item,
    deployment_of,
    registration_item,
    registration_of,
    workflow_item,
    workflow_of,
)
from levante_core.storage.runs import RunSummary, earlier_run_item, execution_item, summary_of
from tests.support.dynamodb_tables import ON_ALL, store_of

SPACE, NAME, DEPLOYMENT = Workspace("w"), WorkflowName("checkout"), DeploymentName("d")
POOL = WorkerPool(DEPLOYMENT)
NOW = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)

RUN = Execution(
    key=RunKey(SPACE, ExecutionId("e"), RunId("run-2")),
    workflow_id="workflow-1",
    pool=POOL,
    start=RunStart(workflow_name=NAME, input={"order": 1}, started_at=NOW, deadline_at=NOW + timedelta(hours=1)),
    root_execution_id=ExecutionId("root"),
    parent=Parent(ExecutionId("parent"), RunId("parent-run"), POOL, 3),
    mail_count=2,
)
CLOSED_RUN = replace(
    RUN,
    key=replace(RUN.key, run_id=RunId("run-1")),
    status=ExecutionStatus.COMPLETED,
    parent=None,
    ending=Ending(NOW, result=1),
)
WORKFLOW = Workflow(SPACE, "workflow-1", NAME, "Check out", "sells", is_technical=False, is_archived=True, tags=("a", "b"))
SPEC = WorkflowSpec(name=NAME, task_queue="q", input_schema={})
REGISTRATION = Registration(SPACE, "registration-1", "workflow-1", NAME, DEPLOYMENT, NOW, SPEC)
KEY = ApiKey("key-1", "digest", SPACE, Role.WORKER, "fleet", NOW, NOW + timedelta(days=1), (DEPLOYMENT,))


def listed_run(execution: Execution) -> RunSummary:
    """Return what listings show of a run: nothing of how it goes on."""
    return replace(summary_of(execution_item(execution)), parent=None, deadline_at=None, mail_count=0)


READERS: Sequence[tuple[str, str, Callable[[Item], Any], Sequence[tuple[Item, Any]]]] = [
    # index, partition, reader, items listed there and what the reader says of each
    (
        keys.RUNS,
        SPACE,
        summary_of,
        [(earlier_run_item(CLOSED_RUN), listed_run(CLOSED_RUN)), (execution_item(RUN), listed_run(RUN))],
    ),
    (
        keys.RUNS_BY_WORKFLOW,
        f"{SPACE}#{NAME}",
        summary_of,
        [(earlier_run_item(CLOSED_RUN), listed_run(CLOSED_RUN)), (execution_item(RUN), listed_run(RUN))],
    ),
    (
        keys.DUE,
        keys.open_runs(keys.shard(RUN.key.run_id)),
        summary_of,
        [(execution_item(RUN), listed_run(RUN))],
    ),
    (keys.WORKFLOWS, SPACE, workflow_of, [(workflow_item(WORKFLOW), WORKFLOW)]),
    (keys.REGISTRATIONS, SPACE, registration_of, [(registration_item(REGISTRATION), replace(REGISTRATION, spec=None))]),
    (
        keys.DEPLOYMENTS,
        SPACE,
        deployment_of,
        [(deployment_item(Deployment(SPACE, "id", DEPLOYMENT, NOW)), Deployment(SPACE, "id", DEPLOYMENT, NOW))],
    ),
    (keys.API_KEYS, SPACE, api_key_of, [(api_key_item(KEY), KEY)]),
]


@pytest.fixture(params=ON_ALL)
def store(request: pytest.FixtureRequest) -> Iterator[DynamoItemStore]:
    with store_of(request.param, request) as adapter:
        yield adapter


def test_indexes_when_read_carry_all_that_their_readers_need(store: DynamoItemStore) -> None:
    """An index is read without a look at its items: what it does not carry would be missing in listings."""
    assert [index for index, *_ in READERS] == list(INDEXES)
    for index, partition, reader, listed in READERS:
        for item, _ in listed:
            store.write(Put(item))
        found = [reader(item) for item in store.query(Query(partition, index=index)).items]
        assert found == [expected for _, expected in listed]


def test_indexes_when_the_table_is_made_are_within_what_dynamodb_allows() -> None:
    """At most 20 indexes, 20 attributes carried by one and 100 by all, and no document among them."""
    indexes = table_definition("t")["GlobalSecondaryIndexes"]
    carried = [index["Projection"]["NonKeyAttributes"] for index in indexes]
    assert len(indexes) <= 20
    assert max(map(len, carried)) <= 20
    assert sum(map(len, carried)) <= 100
    assert {name[:2] for names in carried for name in names} == {"a."}


def test_items_when_listed_anywhere_are_listed_in_an_index_that_the_table_has() -> None:
    """A place in an index that the table does not have would list the item nowhere, silently."""
    items = [item for *_, listed in READERS for item, _ in listed]
    assert {index for item in items for index in item.indexes} == set(INDEXES)
