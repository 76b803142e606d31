"""What the roles of `template.yaml` may do: one walk over their policies, for all tests that read them."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tests.support.sam import of_type, text


class Statement(NamedTuple):
    """One statement of a role's policies.

    when: the template's condition that it is there under, None if it always is. resources: as `text` writes them.
    given: the statement as it is in the template when its condition holds.
    """

    role: str
    sid: str
    when: str | None
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    given: Mapping[str, Any]


def statements(template: Mapping[str, Any]) -> Iterator[Statement]:
    """Yield the statements of all roles, of their own policies first and then of those that are attached to them."""
    for name, role in of_type(template, "AWS::IAM::Role").items():
        for policy in role["Policies"]:
            yield from _of_document(name, policy["PolicyDocument"])
    for policy in of_type(template, "AWS::IAM::Policy").values():
        for role in policy["Roles"]:
            yield from _of_document(role["Ref"], policy["PolicyDocument"])


def matches(pattern: str, arn: str) -> bool:
    """Tell whether the pattern of a statement's resource takes in an ARN: `*` is any text, `?` any character.

    Source: IAM user guide, Resource element, wildcards (read 2026-11-23).
    """
    wildcards = {"*": ".*", "?": "."}
    return re.fullmatch("".join(wildcards.get(one, re.escape(one)) for one in pattern), arn, re.DOTALL) is not None


def _of_document(role: str, document: Mapping[str, Any]) -> Iterator[Statement]:
    for one in document["Statement"]:
        when, given = one["Fn::If"][:2] if "Fn::If" in one else (None, one)
        actions = tuple(_as_list(given["Action"]))
        resources = tuple(text(resource) for resource in _as_list(given["Resource"]))
        yield Statement(role, given["Sid"], when, actions, resources, given)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
