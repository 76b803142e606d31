"""What `template.yaml` makes of a table that was restored."""

import json
from collections.abc import Mapping
from typing import Any

from tests.support.sam import load_template

TEMPLATE = load_template()
STREAM = (
    "arn:${AWS::Partition}:dynamodb:${AWS::Region}:${AWS::AccountId}:table/${RestoredTable}/stream/${RestoredStreamLabel}"
)


def test_table_when_another_one_was_restored_then_everything_is_about_that_one() -> None:
    """One reference that was forgotten would have two tables at work. The stack's own stays, whichever is used."""
    name = {"Fn::If": ["IsRestored", {"Ref": "RestoredTable"}, {"Ref": "Table"}]}
    stream = {"Fn::If": ["IsRestored", {"Fn::Sub": STREAM}, {"Fn::GetAtt": ["Table", "StreamArn"]}]}
    others = {part: TEMPLATE[part] for part in ("Globals", "Resources", "Outputs")}
    own = others["Resources"] = dict(others["Resources"])
    assert "Condition" not in own.pop("Table")
    written = json.dumps(others)
    assert written.count(json.dumps(name)) > 10
    assert written.count(json.dumps(stream)) == 1
    for choice in (name, stream):
        written = written.replace(json.dumps(choice), "")
    assert [mention for mention in ('"Table"', "${Table}", "${Table.") if mention in written] == []


def test_restored_table_when_given_without_its_stream_then_nothing_is_deployed() -> None:
    """A table without its stream would be worked on by the fast path alone."""
    ((assertion,),) = [rule["Assertions"] for rule in TEMPLATE["Rules"].values()]
    for given, expected in [(("", ""), True), (("t", "l"), True), (("t", ""), False), (("", "l"), False)]:
        parameters = dict(zip(("RestoredTable", "RestoredStreamLabel"), given, strict=True))
        assert _holds(assertion["Assert"], parameters) == expected


def _holds(assertion: Mapping[str, Any], parameters: Mapping[str, str]) -> bool:
    """Work out an assertion of a rule, as CloudFormation does before it changes anything."""
    ((function, operands),) = assertion.items()
    match function:
        case "Fn::Or":
            return any(_holds(one, parameters) for one in operands)
        case "Fn::And":
            return all(_holds(one, parameters) for one in operands)
        case "Fn::Not":
            return not _holds(operands[0], parameters)
        case "Fn::Equals":
            left, right = operands
            return bool(parameters[left["Ref"]] == right)
        case _:
            raise ValueError(f"no function of rules: {function}")
