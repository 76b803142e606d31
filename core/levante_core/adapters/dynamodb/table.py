"""The table: its keys, its sparse indexes and what each of them carries.

`table_definition` is what tests create tables from; `template.yaml` says the same in CloudFormation, and a test compares
the two.
"""

from collections.abc import Mapping
from typing import Any

from levante_core.adapters.dynamodb.images import PARTITION, SORT, attribute_name, place_names
from levante_core.ports.item_store import EXPIRES_AT
from levante_core.storage import keys

_RUN = (
    "workspace",
    "execution_id",
    "run_id",
    "workflow_name",
    "workflow_id",
    "deployment_name",
    "root_execution_id",
    "parent_execution_id",
    "status",
    "started_at",
    "ended_at",
)

_LISTED_RUN = (*_RUN, "search_keys", "user_id")

INDEXES: Mapping[str, tuple[str, ...]] = {
    keys.RUNS: _LISTED_RUN,
    keys.RUNS_BY_WORKFLOW: _LISTED_RUN,
    keys.DUE: _RUN,
    keys.WORKFLOWS: (
        "workspace",
        "workflow_id",
        "name",
        "display_name",
        "description",
        "is_technical",
        "is_archived",
        "tags",
    ),
    keys.REGISTRATIONS: (
        "workspace",
        "registration_id",
        "workflow_id",
        "workflow_name",
        "deployment_name",
        "registered_at",
    ),
    keys.DEPLOYMENTS: ("workspace", "deployment_id", "name", "created_at"),
    keys.API_KEYS: ("key_id", "digest", "workspace", "role", "name", "created_at", "revoked_at", "deployments"),
}
"""Which attributes each index carries: those that the readers of its items need, and no documents.

At most 20 an index and 100 in all. A write that changes none of them costs nothing in the index.
Source: DynamoDB developer guide, Quotas, Projected secondary index attributes (read 2026-11-23).
"""

TIME_TO_LIVE = attribute_name(EXPIRES_AT)
"""Within days after this time. Source: DynamoDB developer guide, Time to Live (read 2026-11-23)."""


def table_definition(table: str, indexes: Mapping[str, tuple[str, ...]] = INDEXES) -> dict[str, Any]:
    """Describe the table as CreateTable takes it. Time to live is switched on by a call of its own.

    indexes: name to the attributes that it carries.
    """
    places = [place_names(index) for index in indexes]
    names = [PARTITION, SORT, *[name for place in places for name in place]]
    return {
        "TableName": table,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in names],
        "KeySchema": _key_schema(PARTITION, SORT),
        "GlobalSecondaryIndexes": [
            {"IndexName": index, "KeySchema": _key_schema(*place_names(index)), "Projection": _projection(attributes)}
            for index, attributes in indexes.items()
        ],
        "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    }


def _key_schema(partition: str, sort: str) -> list[dict[str, str]]:
    return [{"AttributeName": partition, "KeyType": "HASH"}, {"AttributeName": sort, "KeyType": "RANGE"}]


def _projection(attributes: tuple[str, ...]) -> dict[str, Any]:
    return {"ProjectionType": "INCLUDE", "NonKeyAttributes": [attribute_name(name) for name in attributes]}
