"""``python -m infra.preflight``: look for what would stop a deployment, before anything is built.

It takes the options of ``cdk deploy``, heeds ``-c`` and ``--profile``, and only reads. ``--bootstrap`` prints the arguments of
``cdk bootstrap`` for the account and region instead.

The quota of memory cannot be asked for: neither Lambda's GetAccountSettings nor Service Quotas has it.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ProfileNotFound

from configuration.context import read_configuration
from configuration.errors import ConfigurationError
from configuration.groups import Configuration

from .regions import has_function_urls

DEFAULT_QUALIFIER = "hnb659fds"
"""Qualifier of a bootstrap that names none (aws-cdk-lib, DefaultStackSynthesizer.DEFAULT_QUALIFIER)."""
BOOTSTRAP_VERSION = 6
"""Lowest version of the bootstrap that the CDK CLI accepts for an image asset (``requiresBootstrapStackVersion`` in the cloud
assembly's manifest)."""
KEPT_UNRESERVED = 100
"""Concurrent executions that Lambda keeps for functions without a reservation; in an account with less, all it has.
https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html"""
NEW_ACCOUNT_MEMORY_MB = 3008
"""Largest function that some new accounts may have, as Lambda's error message says it."""
_REGION_VARIABLES = ("AWS_REGION", "AMAZON_REGION", "AWS_DEFAULT_REGION", "AMAZON_DEFAULT_REGION")
"""In the order in which the CDK CLI reads them."""
_MACHINES = {"amd64": "x86_64", "x86_64": "x86_64", "arm64": "arm64", "aarch64": "arm64"}
_PLATFORMS = {"x86_64": "linux/amd64", "arm64": "linux/arm64"}
_EMULATORS = {"x86_64": "qemu-x86_64", "arm64": "qemu-aarch64"}
_LOG_IN = (
    "log in with `aws login` or `aws sso login`, or set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
)


class PreflightError(Exception):
    """A deployment would fail. The message is a sentence with the command or the option that helps."""


class Account:
    """The account and region that the CDK CLI would deploy to.

    Args:
        profile: The profile that the command line names, if any.

    Raises:
        PreflightError: the profile does not exist, or no region is set.
    """

    def __init__(self, profile: str | None) -> None:
        try:
            self._session = boto3.Session(profile_name=profile)
        except ProfileNotFound as error:
            raise PreflightError(f"{error}: {_LOG_IN}") from error
        regions = (os.environ.get(name) for name in _REGION_VARIABLES)
        self.region: str = next(filter(None, regions), None) or self._session.region_name
        if not self.region:
            raise PreflightError("no region is set: export AWS_REGION=eu-central-1, or `aws configure set region …`")

    def client(self, service: str) -> BaseClient:
        """Return a client that gives up soon."""
        config = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2})
        return self._session.client(service, region_name=self.region, config=config)

    def identity(self) -> dict[str, str]:
        """Return ``Account`` and ``Arn`` of the caller.

        Raises:
            PreflightError: there are no credentials, or AWS refuses them.
        """
        try:
            return self.client("sts").get_caller_identity()
        except NoCredentialsError as error:
            raise PreflightError(f"no AWS credentials: {_LOG_IN}") from error
        except (BotoCoreError, ClientError) as error:
            raise PreflightError(f"AWS did not accept the credentials in {self.region} ({error}): {_LOG_IN}") from error


def check_bootstrap(account: Account, number: str, qualifier: str) -> str:
    """Return a line about the CDK's bootstrap.

    Raises:
        PreflightError: it is missing or too old.
    """
    try:
        answer = account.client("ssm").get_parameter(Name=f"/cdk-bootstrap/{qualifier}/version")
    except ClientError as error:
        if error.response["Error"]["Code"] != "ParameterNotFound":
            raise
        raise PreflightError(
            f"account {number} is not bootstrapped for the CDK in {account.region} (qualifier {qualifier}): make bootstrap"
        ) from error
    version = int(answer["Parameter"]["Value"])
    if version < BOOTSTRAP_VERSION:
        raise PreflightError(
            f"the CDK's bootstrap has version {version}, {BOOTSTRAP_VERSION} is needed: make bootstrap"
        )
    return f"the CDK's bootstrap has version {version}"


def check_concurrency(account: Account, configuration: Configuration) -> str:
    """Return a line about concurrent executions.

    Raises:
        PreflightError: the account has fewer than the configuration reserves or provisions.
    """
    limit = account.client("lambda").get_account_settings()["AccountLimit"]
    total, unreserved = limit["ConcurrentExecutions"], limit["UnreservedConcurrentExecutions"]
    reserved = configuration.reservation is not None
    key = "reserved_concurrency" if reserved else "provisioned_concurrency"
    wanted = (configuration.reservation if reserved else configuration.traffic.provisioned_concurrency) or 0
    less = f"-c {key}={'unreserved' if reserved else 0}"
    if configuration.bulk.reservation:
        key = f"{key} and bulk_concurrency" if wanted else "bulk_concurrency"
        wanted += configuration.bulk.reservation
        less = "-c bulk_reserve=false"
    if not wanted:
        return f"the account has {total} concurrent executions in {account.region}, none are reserved"
    free = max(unreserved - min(KEPT_UNRESERVED, total), 0) + _reserved_by(account, configuration)
    if wanted > free:
        raise PreflightError(
            f"{key}: {wanted} is more than the account can give, {free} of its {total} concurrent executions in "
            f"{account.region}: {less}, or `aws service-quotas request-service-quota-increase --service-code lambda "
            f"--quota-code L-B99A9384 --desired-value 1000`"
        )
    verb = "provisioned" if key == "provisioned_concurrency" else "reserved"
    return f"{wanted} of {free} free concurrent executions are {verb}"


def _reserved_by(account: Account, configuration: Configuration) -> int:
    """Return what the deployed functions have reserved, and so an update may use again; 0 if there are none."""
    pages = account.client("cloudformation").get_paginator("list_stack_resources")
    try:
        resources = [
            resource
            for page in pages.paginate(StackName=configuration.deployment.full_name)
            for resource in page["StackResourceSummaries"]
        ]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationError":
            raise
        return 0  # no such stack
    names = [each["PhysicalResourceId"] for each in resources if each["ResourceType"] == "AWS::Lambda::Function"]
    functions = account.client("lambda")
    return sum(
        functions.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions", 0) for name in names
    )


def check_engine(architecture: str) -> str:
    """Return a line about the container engine.

    Raises:
        PreflightError: it is missing, does not run, or cannot build for ``architecture`` (``x86_64`` or ``arm64``).
    """
    engine = os.environ.get("CDK_DOCKER") or "docker"
    if not shutil.which(engine):
        help = (
            "export CDK_DOCKER=podman" if shutil.which("podman") else "install Docker, or podman and CDK_DOCKER=podman"
        )
        raise PreflightError(f"there is no container engine {engine!r}: {help}")
    status, text = _run(engine, "info", "--format", "{{json .}}")
    try:
        info = json.loads(text)
    except ValueError:
        info = {}
    machine = info.get("host", {}).get("arch") or info.get("Architecture")
    if status or not machine:
        raise PreflightError(f"{engine} does not run: start it, until `{engine} info` works")
    wanted, native = _PLATFORMS[architecture], _MACHINES.get(machine, machine)
    emulated = info.get("host", {}).get("emulatedArchitectures") or ()
    if native != architecture and not (wanted in emulated or _is_emulated(engine, architecture)):
        name = wanted.partition("/")[2]
        raise PreflightError(
            f"{engine} cannot build for {wanted} on {native}: `{engine} run --privileged --rm tonistiigi/binfmt --install "
            f"{name}` once, or -c architecture={native}"
        )
    return f"{engine} can build for {wanted}"


def _is_emulated(engine: str, architecture: str) -> bool:
    """Return whether BuildKit lists the platform, or the kernel has an emulator that containers can use (flag F)."""
    status, text = _run(engine, "buildx", "inspect")
    if status == 0 and _PLATFORMS[architecture] in text:
        return True
    entry = Path("/proc/sys/fs/binfmt_misc", _EMULATORS[architecture])
    if platform.system() != "Linux" or not entry.exists():
        return False
    lines = entry.read_text().splitlines()
    return lines[0] == "enabled" and any(line.startswith("flags:") and "F" in line for line in lines)


def _run(*command: str) -> tuple[int, str]:
    """Run ``command`` for at most 20 seconds and return its exit status and output."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return 1, ""
    return done.returncode, done.stdout


def checks(profile: str | None, configuration: Configuration) -> Iterator[str | PreflightError]:
    """Yield a line for each check that passed, and the error of each that did not. Checks that need another are left out."""
    if not configuration.image.image:
        yield _outcome(check_engine, configuration.compute.architecture)
    if configuration.compute.memory_mb > NEW_ACCOUNT_MEMORY_MB:
        yield (
            f"not checked: AWS does not say whether a new account may have memory_mb = {configuration.compute.memory_mb}; "
            f"if the deployment is refused, at most {NEW_ACCOUNT_MEMORY_MB}"
        )
    try:
        account = Account(profile)
    except PreflightError as error:
        yield error
        return
    if has_function_urls(account.region):
        yield f"{account.region} has Lambda Function URLs"
    elif configuration.access.endpoint == "function_url":
        yield PreflightError(
            f"{account.region} has no Lambda Function URLs: export AWS_REGION=… with another region, or set endpoint"
        )
    try:
        identity = account.identity()
    except PreflightError as error:
        yield error
        return
    yield f"{identity['Arn']} deploys to account {identity['Account']}"
    qualifier = configuration.deployment.qualifier or DEFAULT_QUALIFIER
    yield _outcome(check_bootstrap, account, identity["Account"], qualifier)
    yield _outcome(check_concurrency, account, configuration)


def _outcome(check, *arguments) -> str | PreflightError:
    try:
        return check(*arguments)
    except PreflightError as error:
        return error
    except (BotoCoreError, ClientError) as error:
        return PreflightError(f"{check.__name__} could not ask AWS ({error}): allow it, or deploy with `cdk deploy`")


def bootstrap_arguments(profile: str | None, qualifier: str | None) -> str:
    """Return the environment for ``cdk bootstrap``, and the qualifier with a stack name to keep it apart from the default's."""
    account = Account(profile)
    environment = f"aws://{account.identity()['Account']}/{account.region}"
    return (
        f"{environment} --qualifier {qualifier} --toolkit-stack-name CDKToolkit-{qualifier}"
        if qualifier
        else environment
    )


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 if a deployment can start; 1 with all that would stop it on standard error."""
    parser = argparse.ArgumentParser(prog="python -m infra.preflight", description=__doc__.split("\n")[0])
    parser.add_argument("-c", "--context", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--profile")
    parser.add_argument("--bootstrap", action="store_true", help="print the arguments of cdk bootstrap")
    options, _ = parser.parse_known_args(arguments)  # the others are the CDK CLI's
    try:
        configuration = read_configuration(dict(pair.partition("=")[::2] for pair in options.context))
        if options.bootstrap:
            print(bootstrap_arguments(options.profile, configuration.deployment.qualifier))
            return 0
    except (ConfigurationError, PreflightError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    failed = False
    for outcome in checks(options.profile, configuration):
        if isinstance(outcome, PreflightError):
            failed = True
            print(f"error: {outcome}", file=sys.stderr)
        else:
            print(f"· {outcome}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
