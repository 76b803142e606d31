"""What `template.yaml` promises: who may do what, what is kept, what is noticed, and that it fits the code."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest

from levante_core.adapters.aws.composition import LOG_LEVELS, AwsSettings, read_aws_settings
from levante_core.adapters.aws.sts import StsTaskAccess, session_policy
from levante_core.adapters.dynamodb.images import stream_record
from levante_core.adapters.dynamodb.table import TIME_TO_LIVE, table_definition
from levante_core.adapters.sqs.client import check_prefix, full_name, sqs_client
from levante_core.adapters.sqs.queues import SqsQueues
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.names import ExecutionId, RunId, Workspace
from levante_core.domain.worker_pool import WorkerPool
from levante_core.ports.item_store import Change, Item, Key
from levante_core.protocol.workers import TaskQueue
from levante_core.services.dispatch.sender import TIMERS_QUEUE, queue_name
from levante_core.storage import keys
from levante_core.storage.changes import concerns_dispatcher
from levante_core.storage.large_documents import STREAM_PLACES
from levante_core.storage.runs import ASKS_FOR_WORK, HAS_FAMILY, LEAVES_MORE
from tests.support.policies import Statement, matches, statements
from tests.support.sam import load_template, of_type, text

TEMPLATE = load_template()
FUNCTIONS = of_type(TEMPLATE, "AWS::Serverless::Function")
QUEUES = of_type(TEMPLATE, "AWS::SQS::Queue")
DEAD_LETTERS = {name for name in QUEUES if name.endswith("DeadLetters")}

TASK_QUEUES = "arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:${Prefix}_*-tasks.fifo"
TABLE = "arn:${AWS::Partition}:dynamodb:${AWS::Region}:${AWS::AccountId}:table/${TableName}"
ALLOWED_WILDCARDS = {
    f"{TABLE}/index/*": "the indexes of this one table",
    f"{TABLE}/stream/*": "a table's stream gets a new name when it is switched off and on",
    "${Payloads.Arn}/payloads/*": "payloads are named by their content",
    "${Payloads.Arn}/payloads/stream-*": "those of streams, of which each has a place of its own",
    TASK_QUEUES: "queues of deployments, made when their first worker registers; the prefix is this installation's",
    "*": "X-Ray knows no resources",
}
NO_RESOURCES = {"xray:PutTelemetryRecords", "xray:PutTraceSegments"}
NOWHERE = boto3.Session(region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none")


STATEMENTS = list(statements(TEMPLATE))
ONE_BY_ONE = [pytest.param(one, id=f"{one.role}-{one.sid}") for one in STATEMENTS]


# --- who may do what --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("statement", ONE_BY_ONE)
def test_statement_when_read_then_it_names_its_actions_and_resources(statement: Statement) -> None:
    """Least privilege: no action has a wildcard, and each wildcard in a resource has a reason in the list above."""
    assert statement.given.keys() - {"Condition"} == {"Sid", "Effect", "Action", "Resource"}
    assert statement.given["Effect"] == "Allow"
    assert list(statement.actions) == sorted(set(statement.actions))
    assert [action for action in statement.actions if not re.fullmatch(r"[a-z0-9]+:[A-Za-z]+", action)] == []
    assert [one for one in statement.resources if "*" in one and one not in ALLOWED_WILDCARDS] == []
    assert "*" not in statement.resources or set(statement.actions) <= NO_RESOURCES


def test_wildcards_when_listed_then_each_is_still_in_use() -> None:
    """A permission that nobody has any more needs no excuse."""
    assert ALLOWED_WILDCARDS.keys() <= {resource for one in STATEMENTS for resource in one.resources}


def test_events_role_when_it_writes_then_only_streams() -> None:
    """Who may write to partitions of streams only can change no history, no key and no execution."""
    reads = {"dynamodb:GetItem", "dynamodb:Query"}
    (writing,) = [
        one
        for one in STATEMENTS
        if one.role == "EventsRole" and any(what.startswith("dynamodb:") and what not in reads for what in one.actions)
    ]
    assert writing.actions == ("dynamodb:PutItem",)
    ((operator, operands),) = writing.given["Condition"].items()
    assert operator == "ForAllValues:StringLike"
    (pattern,) = operands["dynamodb:LeadingKeys"]
    space, execution = Workspace("w"), ExecutionId("e")
    assert matches(pattern, keys.stream(space, execution))
    others = [keys.execution(space, execution), keys.batch(RunKey(space, execution, RunId("r")), 1), keys.api_key("d")]
    assert [key for key in others if matches(pattern, key.partition)] == []


def test_events_role_when_it_writes_payloads_then_only_those_of_streams() -> None:
    """What the whole world can reach can damage no history, as it could by putting something else in a payload's place."""
    writing = [one for one in STATEMENTS if one.role == "EventsRole" and "s3:PutObject" in one.actions]
    assert [one.resources for one in writing] == [(f"${{Payloads.Arn}}/payloads/{STREAM_PLACES}*",)]
    assert not set(STREAM_PLACES) <= set("0123456789abcdef"), "other places are hashes"
    assert {
        action for one in STATEMENTS if one.role == "EventsRole" for action in one.actions if "Delete" in action
    } == set()


@pytest.mark.parametrize("role", sorted({one.role for one in STATEMENTS}))
def test_role_when_it_may_use_the_key_then_only_through_the_services_that_it_uses(role: str) -> None:
    """The key may encrypt other things of the account: credentials that leak open none of these."""
    own = [one for one in STATEMENTS if one.role == role]
    used = {action.partition(":")[0] for one in own for action in one.actions} & {"dynamodb", "s3", "sqs"}
    (key,) = [one for one in own if any(action.startswith("kms:") for action in one.actions)]
    ((operator, operands),) = key.given["Condition"].items()
    (services,) = operands.values()
    assert (operator, list(operands)) == ("StringEquals", ["kms:ViaService"])
    named = [text(one) for one in (services if isinstance(services, list) else [services])]
    assert named == [f"{service}.${{AWS::Region}}.${{AWS::URLSuffix}}" for service in sorted(used)]


def test_streams_when_a_limit_is_given_then_it_is_theirs_and_without_one_nothing_is_reserved() -> None:
    """Whoever opens streams without end leaves the API its share; a small account has nothing to reserve."""
    reserved = {
        name: one["ReservedConcurrentExecutions"] for name, one in FUNCTIONS.items() if "ReservedConcurrentExecutions" in one
    }
    parameter = {"Ref": "EventsConcurrency"}
    assert reserved == {"EventsFunction": {"Fn::If": ["HasEventsConcurrency", parameter, {"Ref": "AWS::NoValue"}]}}
    assert TEMPLATE["Parameters"]["EventsConcurrency"]["Default"] == ""
    assert TEMPLATE["Conditions"]["HasEventsConcurrency"] == {"Fn::Not": [{"Fn::Equals": [parameter, ""]}]}


def test_streams_when_origins_are_given_then_their_pages_may_read_them_and_without_any_none_may() -> None:
    """The console of an installation is at the API's origin, and streams are at another one."""
    url = TEMPLATE["Resources"]["EventsFunction"]["Properties"]["FunctionUrlConfig"]
    condition, cors, otherwise = url["Cors"]["Fn::If"]
    assert (condition, otherwise) == ("HasConsoleOrigins", {"Ref": "AWS::NoValue"})
    assert cors["AllowOrigins"] == {"Ref": "ConsoleOrigins"}
    assert cors["AllowMethods"] == ["GET"]
    assert "last-event-id" in cors["AllowHeaders"]
    assert "AllowCredentials" not in cors
    assert TEMPLATE["Parameters"]["ConsoleOrigins"]["Default"] == ""


def test_worker_role_when_lent_then_it_may_do_what_a_session_allows_and_no_more() -> None:
    """A session may do what both the role and its policy allow; a role that may do more would only be a risk."""
    own = {one.sid: list(one.actions) for one in STATEMENTS if one.role == "WorkerRole"}
    arn, key = "arn:aws:sqs:us-east-1:123456789012:q.fifo", "arn:aws:kms:us-east-1:123456789012:key/k"
    queues, decrypt = session_policy([arn], kms_key_arn=key)["Statement"]
    assert own == {"TaskQueues": queues["Action"], "Key": decrypt["Action"]}


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


# --- whose queues -----------------------------------------------------------------------------------------------------

NEIGHBOURS = [("levante", "levante-2"), ("levante-2", "levante"), ("a", "b")]
"""Prefixes of two installations in one account and region; one may begin with the other one."""
DEPLOYMENTS = ("shop", "2-shop", "_", "2_shop", "x" * 128)
OF_QUEUES = [pytest.param(one, id=one.role) for one in STATEMENTS if TASK_QUEUES in one.resources]


def queue_arn(name: str) -> str:
    return f"arn:aws:sqs:us-east-1:123456789012:{name}"


def fixed_queues(prefix: str) -> list[str]:
    """Return the ARNs of the queues that the template itself names."""
    names = [text(queue["QueueName"]) for queue in QUEUES.values() if "QueueName" in queue]
    return [queue_arn(name.replace("${Prefix}", prefix)) for name in names]


def task_queues(prefix: str) -> list[str]:
    """Return the ARNs of the queues of all deployments."""
    space = Workspace("default")
    names = [queue_name(space, WorkerPool.parse(one), queue) for one in DEPLOYMENTS for queue in TaskQueue]
    return [queue_arn(full_name(prefix, name)) for name in names]


def test_roles_when_they_reach_task_queues_then_these_are_they() -> None:
    """The tests below are about all of them."""
    assert {one.role for one in STATEMENTS if TASK_QUEUES in one.resources} == {
        "ApiRole",
        "StreamRole",
        "SweepRole",
        "TimersRole",
        "WorkerRole",
    }


def test_roles_when_their_functions_list_by_index_then_they_may() -> None:
    """Listings of the API, what is due, and the runs that batch jobs act on."""
    listing = {one.role for one in STATEMENTS for resource in one.resources if resource.endswith("/index/*")}
    assert listing == {"ApiRole", "SweepRole", "TimersRole"}


@pytest.mark.parametrize(("own", "other"), NEIGHBOURS)
@pytest.mark.parametrize("statement", OF_QUEUES)
def test_role_when_there_is_another_installation_then_it_reaches_its_own_task_queues_only(
    statement: Statement, own: str, other: str
) -> None:
    """The prefix ends where it ends: `levante` takes nothing from the queues of `levante-2`."""
    (pattern,) = (
        one.replace("${Prefix}", own)
        .replace("${AWS::Partition}", "aws")
        .replace("${AWS::Region}", "us-east-1")
        .replace("${AWS::AccountId}", "123456789012")
        for one in statement.resources
    )
    assert [arn for arn in task_queues(own) if not matches(pattern, arn)] == []
    others = [*task_queues(other), *fixed_queues(other), *fixed_queues(own)]
    assert [arn for arn in others if matches(pattern, arn)] == []


@pytest.mark.parametrize(("own", "other"), NEIGHBOURS)
@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_session_when_there_is_another_installation_then_it_reaches_the_queues_of_one_deployment_only(
    deployment: str, own: str, other: str
) -> None:
    """What a worker is lent names two queues, and no other deployment's or installation's matches them."""
    asked: list[dict[str, Any]] = []

    class Sts:
        def assume_role(self, **parameters: Any) -> Mapping[str, Any]:
            asked.append(json.loads(parameters["Policy"]))
            lent = {"AccessKeyId": "i", "SecretAccessKey": "s", "SessionToken": "t", "Expiration": datetime.now(UTC)}
            return {"Credentials": lent}

    mine = [queue_name(Workspace("default"), WorkerPool.parse(deployment), queue) for queue in TaskQueue]
    role = "arn:aws:iam::123456789012:role/worker"
    StsTaskAccess(Sts(), role, SqsQueues(sqs_client(session=NOWHERE), own), "us-east-1").grant(*mine)
    reached = [resource for statement in asked[0]["Statement"] for resource in statement["Resource"]]
    everywhere = [*task_queues(own), *fixed_queues(own), *task_queues(other), *fixed_queues(other)]
    found = [arn for arn in everywhere if any(matches(one, arn) for one in reached)]
    assert found == [queue_arn(full_name(own, name)) for name in mine]


@pytest.mark.parametrize("prefix", ["levante_2", "_", "a_"])
def test_prefix_when_it_holds_the_separator_then_template_and_queues_refuse_it(prefix: str) -> None:
    """Otherwise a name could be read in two ways."""
    assert not re.fullmatch(TEMPLATE["Parameters"]["QueuePrefix"]["AllowedPattern"], prefix)
    with pytest.raises(ValueError, match="queue prefix"):
        check_prefix(prefix)


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
    assert text(QUEUES["Timers"]["QueueName"]) == full_name("${Prefix}", TIMERS_QUEUE)
    assert QUEUES["TaskDeadLetters"]["FifoQueue"] is True


def test_timers_queue_when_its_function_takes_its_time_then_nobody_else_gets_the_message() -> None:
    """Six time limits cover all attempts. Source: Lambda developer guide, SQS, queue configuration (read 2026-11-23)."""
    assert QUEUES["Timers"]["VisibilityTimeout"] >= 6 * FUNCTIONS["TimersFunction"]["Timeout"]


@pytest.mark.parametrize("children", [True, False, None])
@pytest.mark.parametrize("asks", [True, False, None])
@pytest.mark.parametrize("leaves", [True, False, None])
@pytest.mark.parametrize("is_deleted", [False, True])
def test_stream_filters_when_applied_then_they_let_through_what_concerns_the_dispatcher(
    *, asks: bool | None, children: bool | None, leaves: bool | None, is_deleted: bool
) -> None:
    """Lambda asks for nothing else than `concerns_dispatcher` does, and does not even invoke the function.

    Any filter that takes a record lets it through. Source: Lambda developer guide, event filtering (read 2026-11-23).
    """
    flags = {ASKS_FOR_WORK: asks, HAS_FAMILY: children, LEAVES_MORE: leaves}
    item = Item(Key("p", "s"), {name: flag for name, flag in flags.items() if flag is not None})
    change = Change("1", item.key, item, None) if is_deleted else Change("1", item.key, None, item)
    filters = TEMPLATE["Resources"]["StreamSource"]["Properties"]["FilterCriteria"]["Filters"]
    patterns = [json.loads(one["Pattern"]) for one in filters]
    expected = concerns_dispatcher(*((item.attributes, None) if is_deleted else (None, item.attributes)))
    assert any(_passes(pattern, stream_record(change)) for pattern in patterns) == expected


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
    assert {one for one in set(given) - _read_by_settings(given) if one.startswith("LEVANTE_")} == set()


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
