"""Make the first API key of a deployed stack: `python infra/bootstrap --stack-name levante`.

Needs boto3 (`pip install 'levante[aws]'`) and credentials that may read the stack and write its table. The key's secret is
printed this once; the table holds a hash of it. If there is such a key already, none is made.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence

try:
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError
except ModuleNotFoundError:
    sys.exit("bootstrap: boto3 is missing: pip install 'levante[aws]', in a checkout pip install -e '.[aws]'")

from levante_core.adapters.aws.composition import AwsSettings, build_aws_engine
from levante_core.adapters.sqs.client import full_name
from levante_core.domain import names
from levante_core.domain.names import DeploymentName, Workspace
from levante_core.errors import LevanteError
from levante_core.protocol.workers import TaskQueue
from levante_core.services.access.api_keys import ApiKeyService
from levante_core.services.dispatch.sender import queue_name
from levante_core.storage.catalogue import Role

FIRST = "first"
"""The key's name, by which it is known again."""

CLIENT = """\
Client, `pip install mistralai`:

  from mistralai.client import Mistral
  client = Mistral(api_key="{key}", server_url="{url}")
  client.workflows.execute_workflow_and_wait(workflow_identifier="...", input={{...}})

Command line, and everything else:

  export LEVANTE_SERVER_URL={url}
  export LEVANTE_API_KEY={key}
"""
WORKERS = """\
Workers of the deployment {deployment}, with a key of their own:

  levante keys create --name {deployment} --role worker --deployment {deployment}
  LEVANTE_SERVER_URL={url} DEPLOYMENT_NAME={deployment} LEVANTE_API_KEY=... levante worker your.module

Parameters for infra/ecs.yaml:

  ServerUrl={url} DeploymentName={deployment} WorkflowQueueName={workflow} ActivityQueueName={activity}
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Returns the exit code: 0 if there is a key now, 1 if not."""
    given = _parser().parse_args(arguments)
    try:
        workspace, deployment = names.workspace(given.workspace), names.deployment_name(given.deployment)
        build = names.build_id(given.build_id) if given.build_id else None
        outputs = stack_outputs(given.stack_name, given.region)
        engine, _ = build_aws_engine(settings_of(outputs))
        if given.rotate_signing_key:
            print(f"Signing key {engine.capabilities.rotate()} signs from now on; the one before it is still good.")
            return 0
        secret = first_key(engine.api_keys, workspace)
    except (BotoCoreError, ClientError, LevanteError, LookupError) as error:
        print(f"bootstrap: {error}", file=sys.stderr)
        return 1
    if secret is None:
        print(f"There is an admin key named {FIRST!r} already. If it is lost, revoke it with another admin's key.\n")
    else:
        print(f"First API key (shown only now): {secret}\n")
    url = outputs["ApiUrl"]
    queues = {queue: _queue(outputs, workspace, names.pinned(deployment, build), queue) for queue in TaskQueue}
    print(CLIENT.format(key=secret or "lev_...", url=url))
    of_deployment = {"workflow": queues[TaskQueue.WORKFLOW], "activity": queues[TaskQueue.ACTIVITY]}
    print(WORKERS.format(deployment=deployment, url=url, **of_deployment), end="")
    return 0


def stack_outputs(stack: str, region: str | None) -> dict[str, str]:
    """Read what the stack says about itself. Raises: LookupError if it says too little to be one of ours."""
    client = boto3.client("cloudformation", region_name=region)
    (found,) = client.describe_stacks(StackName=stack)["Stacks"]
    outputs = {one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", ())}
    missing = {"ApiUrl", "BucketName", "QueuePrefix", "TableName", "TaskDeadLettersArn"} - outputs.keys()
    if missing:
        raise LookupError(f"stack {stack} was not made from Levante's template.yaml: no output {', '.join(sorted(missing))}")
    return outputs


def settings_of(outputs: Mapping[str, str]) -> AwsSettings:
    """Say where the installation keeps its things, as its functions know it."""
    return AwsSettings(
        table=outputs["TableName"],
        bucket=outputs["BucketName"],
        queue_prefix=outputs["QueuePrefix"],
        dead_letter_arn=outputs["TaskDeadLettersArn"],
    )


def first_key(keys: ApiKeyService, workspace: Workspace) -> str | None:
    """Make the first admin key unless the workspace has it. Returns its secret only if it was made just now.

    Two at once may make two keys; both are listed, and either can be revoked.
    """
    if any(key.name == FIRST and key.role is Role.ADMIN and key.revoked_at is None for key in keys.list(workspace)):
        return None
    _, secret = keys.create(workspace, Role.ADMIN, FIRST)
    return secret


def _queue(outputs: Mapping[str, str], workspace: Workspace, deployment: DeploymentName, queue: TaskQueue) -> str:
    return full_name(outputs["QueuePrefix"], queue_name(workspace, deployment, queue))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bootstrap", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--stack-name", default="levante")
    parser.add_argument("--region", help="default: that of the AWS configuration")
    parser.add_argument("--workspace", default="default", help="whose admin the key makes")
    parser.add_argument("--deployment", default="default", help="whose workers' settings to print")
    parser.add_argument("--build-id", help="of those workers, if executions are pinned to builds")
    parser.add_argument("--rotate-signing-key", action="store_true", help="make a new key for tokens, and do nothing else")
    return parser


if __name__ == "__main__":
    sys.exit(main())
