"""The reference of permissions says what `template.yaml` says, statement by statement."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from levante_core.adapters.aws.sts import session_policy
from tests.support.policies import statements
from tests.support.sam import load_template, of_type, text

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/iam.md").read_text(encoding="utf-8")
TEMPLATE = load_template()
ROLES = of_type(TEMPLATE, "AWS::IAM::Role")
ALWAYS = "always"
WHEN = {"HasKmsKey": "`KmsKeyArn` is given", "IsTraced": "`Tracing` is `on`"}
QUEUE = "arn:aws:sqs:us-east-1:123456789012:q.fifo"
KEY = "arn:aws:kms:us-east-1:123456789012:key/k"


class Permission(NamedTuple):
    """One row of a role's table, without its reason."""

    statement: str
    when: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]


def in_template(role: str) -> set[Permission]:
    """Read what a role may do, from its own policies and from those that are attached to it."""
    return {
        Permission(one.sid, WHEN[one.when] if one.when else ALWAYS, tuple(sorted(one.actions)), one.resources)
        for one in statements(TEMPLATE)
        if one.role == role
    }


def section(heading: str) -> str:
    """Return what stands under a heading of the page."""
    found = re.search(rf"^## {re.escape(heading)}$(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert found, f"no section {heading!r}"
    return found[1]


def cells(heading: str) -> list[list[str]]:
    """Return the rows of a section's table, without its head."""
    lines = [line for line in section(heading).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def in_page(role: str) -> list[Permission]:
    return [
        Permission(statement.strip("`"), when, tuple(sorted(quoted(actions))), tuple(quoted(resources)))
        for statement, when, actions, resources, _ in cells(role)
    ]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_roles_when_listed_then_each_role_of_the_template_has_a_section() -> None:
    """A role that is added is explained."""
    assert set(re.findall(r"^## (\w+Role)$", PAGE, re.MULTILINE)) == ROLES.keys()


@pytest.mark.parametrize("role", sorted(ROLES))
def test_permissions_of_role_when_compared_with_the_template_then_they_agree(role: str) -> None:
    """Actions, resources and conditions are those of the template, each once."""
    listed = in_page(role)
    assert set(listed) == in_template(role)
    assert len(set(listed)) == len(listed)


@pytest.mark.parametrize("role", sorted(ROLES))
def test_permissions_of_role_when_listed_then_each_has_a_reason(role: str) -> None:
    """A permission that nobody can explain should not be there."""
    assert [row for row in cells(role) if not row[-1]] == []


@pytest.mark.parametrize("role", sorted(ROLES))
def test_trust_of_role_when_compared_with_the_template_then_they_agree(role: str) -> None:
    """The first line of a section says who takes the role."""
    (trust,) = ROLES[role]["AssumeRolePolicyDocument"]["Statement"]
    ((_, principal),) = trust["Principal"].items()
    found = re.search(r"^Taken by `([^`]+)`", section(role), re.MULTILINE)
    assert found
    assert found[1] == text(principal)


def test_session_policy_when_compared_with_the_code_then_they_agree() -> None:
    """What a worker is lent is less than its role, and the page says how much less."""
    listed = [(set(quoted(actions)), when) for when, actions, *_ in cells("Session policy of a worker")]
    queues, key = session_policy([QUEUE], kms_key_arn=KEY)["Statement"]
    assert listed == [(set(queues["Action"]), ALWAYS), (set(key["Action"]), WHEN["HasKmsKey"])]


def test_deployer_when_the_template_is_read_then_every_service_in_it_has_a_row() -> None:
    """Whoever deploys needs something of each service that the template uses."""
    listed = {prefix for row in cells("Who deploys") for prefix in re.findall(r"`([a-z0-9]+):", row[0])}
    prefixes = {
        "ApiGatewayV2": "apigateway",
        "CloudWatch": "cloudwatch",
        "DynamoDB": "dynamodb",
        "Events": "events",
        "IAM": "iam",
        "Lambda": "lambda",
        "Logs": "logs",
        "S3": "s3",
        "SNS": "sns",
        "SQS": "sqs",
        "Serverless": "lambda",
    }
    used = {resource["Type"].split("::")[1] for resource in TEMPLATE["Resources"].values()}
    assert {prefixes[service] for service in used} | {"cloudformation"} == listed
