"""An emulated account, bootstrapped for the CDK, and deployments of the real app in it."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from botocore.credentials import Credentials

from serverless_embeddings_client import SigV4Auth
from tests.support.aws import EmulatedAws
from tests.support.cdk import CdkApp


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@dataclass(frozen=True)
class Deployment:
    """A deployed stack."""

    aws: EmulatedAws
    app: CdkApp
    printed: str
    """Output of the CDK CLI."""
    outputs: Mapping[str, str]

    @property
    def url(self) -> str:
        """The endpoint's address on this machine, without a slash at its end."""
        return self.aws.address(self.outputs["Url"]).removesuffix("/")

    def client(self, signer: Credentials | None = None, api_key: str | None = None) -> httpx.Client:
        """Return an HTTP client of the endpoint that signs its requests, sends a key, or does neither."""
        service = "execute-api" if ".execute-api." in self.outputs["Url"] else "lambda"
        auth = SigV4Auth(self.aws.region, service=service, credentials=signer) if signer else None
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        return httpx.Client(base_url=self.url, auth=auth, headers=headers, timeout=120)

    def invoke(self, event: object, qualifier: str = "live"):
        """Invoke the function directly with boto3 and return its result."""
        function = {"FunctionName": self.outputs["FunctionName"], "Qualifier": qualifier}
        answer = self.aws.client("lambda").invoke(**function, Payload=json.dumps(event))
        return json.loads(answer["Payload"].read())

    def live_version(self) -> str:
        """Return the version that the alias points at."""
        alias = self.aws.client("lambda").get_alias(FunctionName=self.outputs["FunctionName"], Name="live")
        return alias["FunctionVersion"]


@pytest.fixture(scope="session")
def aws(artifact: Path) -> Iterator[EmulatedAws]:
    """The account. The artifact is made first, so that no deployment waits for it."""
    with pytest.MonkeyPatch.context() as environment, EmulatedAws() as account:
        environment.delenv("AWS_PROFILE", raising=False)  # boto3 would look for it
        CdkApp(account, {"model": "embedded"}).bootstrap()
        yield account


@pytest.fixture(scope="session")
def app(aws: EmulatedAws) -> Iterator[Callable[..., CdkApp]]:
    """A function that makes the app with a stack name and more context values."""
    apps = []

    def app(stack_name: str, **context: str) -> CdkApp:
        apps.append(CdkApp(aws, {"model": "embedded", "stack_name": stack_name} | context))
        return apps[-1]

    yield app
    for made in apps:
        made.close()


@pytest.fixture(scope="session")
def deploy(aws: EmulatedAws, app: Callable[..., CdkApp]) -> Callable[..., Deployment]:
    """A function that deploys the app with a stack name and more context values; stacks of other names stay."""

    def deploy(stack_name: str, **context: str) -> Deployment:
        made = app(stack_name, **context)
        printed, outputs = made.deploy()
        return Deployment(aws, made, printed, outputs[stack_name])

    return deploy


@pytest.fixture(scope="module")
def before(aws: EmulatedAws) -> dict[str, set[str]]:
    """The account's resources before the module's deployment."""
    return resources(aws)


@pytest.fixture(scope="module")
def stack(request: pytest.FixtureRequest, before: dict, deploy: Callable[..., Deployment]) -> Deployment:
    """The module's deployment: its ``STACK``, with its ``CONTEXT``."""
    return deploy(request.module.STACK, **request.module.CONTEXT)


@pytest.fixture
def user(aws: EmulatedAws) -> Iterator[Callable[..., Credentials]]:
    """A function that makes a user of the account with only the permissions in the given statements of a policy."""
    iam = aws.client("iam")
    names = []

    def make(*statements: dict) -> Credentials:
        name = f"user-{len(names)}"
        iam.create_user(UserName=name)
        names.append(name)
        if statements:
            policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
            iam.put_user_policy(UserName=name, PolicyName="policy", PolicyDocument=policy)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return Credentials(key["AccessKeyId"], key["SecretAccessKey"])

    yield make
    for name in names:
        for key in iam.list_access_keys(UserName=name)["AccessKeyMetadata"]:
            iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
        for policy in iam.list_user_policies(UserName=name)["PolicyNames"]:
            iam.delete_user_policy(UserName=name, PolicyName=policy)
        iam.delete_user(UserName=name)


def resources(aws: EmulatedAws) -> dict[str, set[str]]:
    """Return the names of the account's resources, of each kind that a deployment may create."""

    def names(service: str, operation: str, key: str, name: str) -> set[str]:
        pages = aws.client(service).get_paginator(operation).paginate()
        return {item[name] if name else item for page in pages for item in page[key]}

    return {
        "functions": names("lambda", "list_functions", "Functions", "FunctionName"),
        "log groups": names("logs", "describe_log_groups", "logGroups", "logGroupName"),
        "roles": names("iam", "list_roles", "Roles", "RoleName"),
        "secrets": names("secretsmanager", "list_secrets", "SecretList", "Name"),
        "alarms": names("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
        "dashboards": names("cloudwatch", "list_dashboards", "DashboardEntries", "DashboardName"),
        "schedules": names("scheduler", "list_schedules", "Schedules", "Name"),
        "parameters": names("ssm", "describe_parameters", "Parameters", "Name"),
        "state machines": names("stepfunctions", "list_state_machines", "stateMachines", "name"),
        "topics": names("sns", "list_topics", "Topics", "TopicArn"),
        "stacks": {
            stack["StackName"]
            for stack in aws.client("cloudformation").describe_stacks()["Stacks"]
            if stack["StackStatus"] != "DELETE_COMPLETE"
        },
    }
