"""What `template.yaml` promises: who may do what, what is kept, what is noticed, and that it fits the code."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from levante_core.adapters.aws import LOG_LEVELS, AwsSettings, read_aws_settings
from levante_core.adapters.dynamodb_table import TIME_TO_LIVE, table_definition
from levante_core.adapters.images import attribute_name, stream_record
from levante_core.adapters.sqs_client import check_prefix
from levante_core.adapters.sts import session_policy
from levante_core.ports.item_store import Change, Item, Key
from levante_core.records.runs import ASKS_FOR_WORK, concerns_dispatcher
from levante_core.services.dispatch import TIMERS_QUEUE, queue_name
from tests.support.sam import load_template, of_type, text

TEMPLATE = load_template()
FUNCTIONS = of_type(TEMPLATE, "AWS::Serverless::Function")
QUEUES = of_type(TEMPLATE, "AWS::SQS::Queue")
DEAD_LETTERS = {name for name in QUEUES if name.endswith("DeadLetters")}

TASK_QUEUES = "arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:${Prefix}-*-tasks.fifo"
ALLOWED_WILDCARDS = {
    "${Table.Arn}/index/*": "the indexes of this one table",
    "${Table.Arn}/stream/*": "a table's stream gets a new name when it is switched off and on",
    "${Payloads.Arn}/payloads/*": "payloads are named by their content",
    TASK_QUEUES: "queues of deployments, made when their first worker registers; the prefix is this installation's",
    "*": "X-Ray knows no resources",
}
NO_RESOURCES = {"xray:PutTelemetryRecords", "xray:PutTraceSegments"}


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def chosen(statement: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a statement as it is when its condition holds."""
    return statement["Fn::If"][1] if "Fn::If" in statement else statement


def statements() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield what roles may do, with the role's name."""
    for name, role in of_type(TEMPLATE, "AWS::IAM::Role").items():
        for policy in role["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                yield name, chosen(statement)
    for policy in of_type(TEMPLATE, "AWS::IAM::Policy").values():
        for role in policy["Roles"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                yield role["Ref"], chosen(statement)


STATEMENTS = [pytest.param(statement, id=f"{role}-{statement.get('Sid')}") for role, statement in statements()]


# --- who may do what --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("statement", STATEMENTS)
def test_statement_when_read_then_it_names_its_actions_and_resources(statement: Mapping[str, Any]) -> None:
    """Least privilege: no action has a wildcard, and each wildcard in a resource has a reason in the list above."""
    assert set(statement) == {"Sid", "Effect", "Action", "Resource"}
    assert statement["Effect"] == "Allow"
    actions = as_list(statement["Action"])
    assert actions == sorted(set(actions))
    assert [action for action in actions if not re.fullmatch(r"[a-z0-9]+:[A-Za-z]+", action)] == []
    resources = [text(resource) for resource in as_list(statement["Resource"])]
    assert [one for one in resources if "*" in one and one not in ALLOWED_WILDCARDS] == []
    assert "*" not in resources or set(actions) <= NO_RESOURCES


def test_wildcards_when_listed_then_each_is_still_in_use() -> None:
    """A permission that nobody has any more needs no excuse."""
    in_use = {text(resource) for _, statement in statements() for resource in as_list(statement["Resource"])}
    assert set(ALLOWED_WILDCARDS) <= in_use


def test_worker_role_when_lent_then_it_may_do_what_a_session_allows_and_no_more() -> None:
    """A session may do what both the role and its policy allow; a role that may do more would only be a risk."""
    own = {statement["Sid"]: statement for role, statement in statements() if role == "WorkerRole"}
    arn, key = "arn:aws:sqs:us-east-1:123456789012:q.fifo", "arn:aws:kms:us-east-1:123456789012:key/k"
    queues, decrypt = session_policy([arn], kms_key_arn=key)["Statement"]
    assert own.keys() == {"TaskQueues", "Key"}
    assert as_list(own["TaskQueues"]["Action"]) == queues["Action"]
    assert as_list(own["Key"]["Action"]) == decrypt["Action"]


def test_roles_when_read_then_each_is_trusted_by_one_party_and_has_no_managed_policy() -> None:
    """What AWS or somebody else may add to a policy later is not ours to hand out."""
    for name, role in of_type(TEMPLATE, "AWS::IAM::Role").items():
        (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
        expected = (
            {"AWS": {"Fn::GetAtt": ["ApiRole", "Arn"]}} if name == "WorkerRole" else {"Service": "lambda.amazonaws.com"}
        )
        assert (trust["Principal"], trust["Action"]) == (expected, "sts:AssumeRole")
        assert "ManagedPolicyArns" not in role


def test_functions_when_read_then_each_has_a_role_and_a_log_group_of_its_own() -> None:
    """What one function needs is no other one's to use, and its log is no other one's to write."""
    roles = [text(function["Role"]) for function in FUNCTIONS.values()]
    logs = [text(function["LoggingConfig"]["LogGroup"]) for function in FUNCTIONS.values()]
    assert len(set(roles)) == len(set(logs)) == len(FUNCTIONS)
    assert not any("Policies" in function for function in FUNCTIONS.values())


def test_task_queues_when_named_then_the_roles_reach_them_and_no_other_queue_of_ours() -> None:
    """The pattern in the roles is the one that `queue_name` makes names by."""
    pattern = re.compile(TASK_QUEUES.rpartition(":")[2].replace("${Prefix}", "p").replace("*", ".*"))
    names = [queue_name("w", "d", queue) for queue in _task_queues()]  # type: ignore[arg-type]
    assert all(pattern.fullmatch(f"p-{name}") for name in names)
    fixed = [text(queue["QueueName"]).replace("${Prefix}", "p") for queue in QUEUES.values() if "QueueName" in queue]
    assert fixed
    assert [name for name in fixed if pattern.fullmatch(name)] == []


def _task_queues() -> list[Any]:
    from levante_core.protocol.workers import TaskQueue  # noqa: PLC0415 - only here

    return list(TaskQueue)


# --- what is kept, and for how long -----------------------------------------------------------------------------------


def test_data_when_the_stack_is_deleted_or_changed_then_it_stays() -> None:
    """A mistake with the stack costs no history."""
    for name in ("Table", "Payloads"):
        resource = TEMPLATE["Resources"][name]
        assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Retain", "Retain")
    table = TEMPLATE["Resources"]["Table"]["Properties"]
    assert table["DeletionProtectionEnabled"] is True
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


def test_payloads_when_kept_then_private_encrypted_and_never_expired_while_in_use() -> None:
    """Histories refer to payloads by their content for as long as they are kept."""
    bucket = TEMPLATE["Resources"]["Payloads"]["Properties"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    expiring = {key for rule in bucket["LifecycleConfiguration"]["Rules"] for key in rule if "Expiration" in key}
    assert expiring == {"NoncurrentVersionExpiration"}
    (policy,) = of_type(TEMPLATE, "AWS::S3::BucketPolicy").values()
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})


def test_log_groups_when_read_then_each_ends_with_the_retention() -> None:
    """No log is kept for ever."""
    groups = of_type(TEMPLATE, "AWS::Logs::LogGroup")
    assert len(groups) == len(FUNCTIONS) + 1
    assert {text(group["RetentionInDays"]) for group in groups.values()} == {"${RetentionDays}"}


def test_queues_when_read_then_each_is_encrypted_and_has_dead_letters() -> None:
    """What nobody could deal with is kept where somebody can look at it, as long as SQS allows."""
    for name, queue in QUEUES.items():
        is_plain = name in {"StreamDeadLetters", "SweepDeadLetters"}  # nothing of the user's is in them
        with_key = {"Fn::If": ["HasKmsKey", {"Ref": "AWS::NoValue"}, True]}
        assert queue["SqsManagedSseEnabled"] == (True if is_plain else with_key)
        assert ("KmsMasterKeyId" in queue) != is_plain
        if name in DEAD_LETTERS:
            assert queue["MessageRetentionPeriod"] == 14 * 24 * 60 * 60
        else:
            assert queue["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0] in DEAD_LETTERS


# --- what is noticed --------------------------------------------------------------------------------------------------


def test_alarms_when_read_then_dead_letters_of_each_kind_are_noticed() -> None:
    """A dead letter is always worth somebody's look."""
    watched = [
        text(alarm["Dimensions"][0]["Value"])
        for alarm in of_type(TEMPLATE, "AWS::CloudWatch::Alarm").values()
        if alarm["MetricName"] == "ApproximateNumberOfMessagesVisible"
    ]
    assert sorted(watched) == sorted(f"${{{name}.QueueName}}" for name in DEAD_LETTERS)


@pytest.mark.parametrize("metric", ["Errors", "Throttles"])
def test_alarms_when_read_then_every_function_is_watched(metric: str) -> None:
    """A function that is added is added to the alarms."""
    watched = [
        text(alarm["Dimensions"][0]["Value"])
        for alarm in of_type(TEMPLATE, "AWS::CloudWatch::Alarm").values()
        if alarm["MetricName"] == metric
    ]
    assert sorted(watched) == sorted(f"${{{name}}}" for name in FUNCTIONS)


def test_alarms_when_raised_then_each_tells_the_topic() -> None:
    """An alarm that tells nobody is a picture."""
    actions = [json.dumps(alarm["AlarmActions"]) for alarm in of_type(TEMPLATE, "AWS::CloudWatch::Alarm").values()]
    assert len(set(actions)) == 1
    assert "AlarmTopicArn" in actions[0]


def test_dashboard_when_rendered_then_it_is_json() -> None:
    """CloudFormation would find out only when it is deployed."""
    (dashboard,) = of_type(TEMPLATE, "AWS::CloudWatch::Dashboard").values()
    pattern = dashboard["DashboardBody"]["Fn::Sub"][0]
    body = json.loads(re.sub(r"\$\{[^}]+\}", "x", pattern))
    places = [(widget["x"], widget["y"]) for widget in body["widgets"]]
    assert len(set(places)) == len(places)


# --- whether it fits the code -----------------------------------------------------------------------------------------


def test_table_when_compared_with_its_adapter_then_they_agree() -> None:
    """The description of the table is the adapter's; the template says the same in CloudFormation."""
    described = table_definition("t")
    table = TEMPLATE["Resources"]["Table"]["Properties"]
    for part in ("AttributeDefinitions", "BillingMode", "GlobalSecondaryIndexes", "KeySchema"):
        assert table[part] == described[part]
    assert table["StreamSpecification"]["StreamViewType"] == described["StreamSpecification"]["StreamViewType"]
    assert table["TimeToLiveSpecification"] == {"AttributeName": TIME_TO_LIVE, "Enabled": True}


def test_timers_queue_when_named_then_it_is_the_one_that_the_dispatcher_sends_to() -> None:
    """The services know the queue by its name under the prefix."""
    assert text(QUEUES["Timers"]["QueueName"]) == f"${{Prefix}}-{TIMERS_QUEUE}"
    assert QUEUES["TaskDeadLetters"]["FifoQueue"] is True


def test_timers_queue_when_its_function_takes_its_time_then_nobody_else_gets_the_message() -> None:
    """Six time limits cover all attempts. Source: Lambda developer guide, SQS, queue configuration (read 2026-11-23)."""
    assert QUEUES["Timers"]["VisibilityTimeout"] >= 6 * FUNCTIONS["TimersFunction"]["Timeout"]


def _image(*, asks: bool | None) -> Item:
    return Item(Key("p", "s"), {} if asks is None else {ASKS_FOR_WORK: asks})


@pytest.mark.parametrize("asks", [True, False, None])
@pytest.mark.parametrize("is_deleted", [False, True])
def test_stream_filter_when_applied_then_it_lets_through_what_concerns_the_dispatcher(
    *, asks: bool | None, is_deleted: bool
) -> None:
    """Lambda asks for nothing else than `concerns_dispatcher` does, and does not even invoke the function."""
    item = _image(asks=asks)
    change = Change("1", item.key, item, None) if is_deleted else Change("1", item.key, None, item)
    (source,) = [
        one
        for one in of_type(TEMPLATE, "AWS::Lambda::EventSourceMapping").values()
        if text(one["EventSourceArn"]) == "${Table.StreamArn}"
    ]
    (pattern,) = [json.loads(one["Pattern"]) for one in source["FilterCriteria"]["Filters"]]
    expected = not is_deleted and concerns_dispatcher(item.attributes)
    assert _passes(pattern, stream_record(change)) == expected
    assert attribute_name(ASKS_FOR_WORK) in pattern["dynamodb"]["NewImage"]


def _passes(pattern: Any, value: Any) -> bool:
    """Match as Lambda does: lists hold the values allowed. Source: Lambda developer guide, event filtering (2026-11-23)."""
    if isinstance(pattern, list):
        return value in pattern
    return isinstance(value, dict) and all(name in value and _passes(part, value[name]) for name, part in pattern.items())


def test_sources_when_a_batch_fails_in_part_then_the_rest_does_not_come_again() -> None:
    """Both handlers answer with what failed; Lambda believes them only when told to."""
    sources = of_type(TEMPLATE, "AWS::Lambda::EventSourceMapping").values()
    assert [one["FunctionResponseTypes"] for one in sources] == [["ReportBatchItemFailures"]] * 2


def test_stream_when_a_record_is_poison_then_it_is_given_up_in_bounded_time() -> None:
    """A poison record must not block its shard until the stream forgets it."""
    source = TEMPLATE["Resources"]["StreamSource"]["Properties"]
    assert source["BisectBatchOnFunctionError"] is True
    assert 0 < source["MaximumRetryAttempts"] < 100
    assert 0 < source["MaximumRecordAgeInSeconds"] <= 24 * 60 * 60
    assert text(source["DestinationConfig"]["OnFailure"]["Destination"]) == "${StreamDeadLetters.Arn}"


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_environment_when_rendered_then_the_function_can_read_its_settings(name: str) -> None:
    """Variables are named once here and once in `read_aws_settings`; this holds the two together."""
    everywhere = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
    own = FUNCTIONS[name].get("Environment", {}).get("Variables", {})
    defaults = {parameter: one.get("Default", "") for parameter, one in TEMPLATE["Parameters"].items()}
    given = {variable: _rendered(value, defaults) for variable, value in {**everywhere, **own}.items()}
    given |= {"AWS_REGION": "us-east-1"}  # Lambda's own
    settings = read_aws_settings(given)
    assert isinstance(settings, AwsSettings)
    assert (settings.lent is not None) == (name == "ApiFunction")
    assert set(given) - _read_by_settings(given) <= {"AWS_REGION"}


def _read_by_settings(given: Mapping[str, str]) -> set[str]:
    class Watching(dict[str, str]):
        read: set[str]

        def get(self, key: str, default: Any = None) -> Any:
            self.read.add(key)
            return super().get(key, default)

    watching = Watching(given)
    watching.read = set()
    read_aws_settings(watching)
    return watching.read


def _rendered(value: Any, parameters: Mapping[str, Any]) -> str:
    if isinstance(value, dict) and value.get("Ref") in parameters:
        return str(parameters[value["Ref"]])
    return "rendered"


def test_log_levels_when_offered_then_the_functions_know_them() -> None:
    """A level that the code refuses would stop every function."""
    assert TEMPLATE["Parameters"]["LogLevel"]["AllowedValues"] == list(LOG_LEVELS)


def test_queue_prefix_when_longest_then_the_queues_take_it() -> None:
    """What the template accepts, no function may refuse."""
    longest = int(re.findall(r"\{0,(\d+)\}", TEMPLATE["Parameters"]["QueuePrefix"]["AllowedPattern"])[0])
    check_prefix("p" * longest)
