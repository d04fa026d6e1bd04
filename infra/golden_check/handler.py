"""The custom resource's function: asks a version to check itself, and tells CloudFormation the result.

CloudFormation takes it inline, so it has to stay under 4096 characters; ``cfnresponse`` comes with inline functions.
"""

import json
import time

import boto3
import cfnresponse
from botocore.config import Config
from botocore.exceptions import ClientError

NOT_YET = {
    "CodeArtifactUserPendingException",  # Lambda prepares the image, also again after the version was inactive
    "EC2ThrottledException",
    "ENINotReadyException",
    "ResourceConflictException",  # the version is pending
    "ResourceNotReadyException",  # the version was inactive and gets its network back
    "ServiceException",
    "TooManyRequestsException",  # callers use up the function's reserved concurrency
}
"""Errors of Lambda's Invoke that pass: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#API_Invoke_Errors"""
PAUSE_SECONDS = 5
READ_SECONDS, ATTEMPTS = 120, 2
LEAST_SECONDS = READ_SECONDS * ATTEMPTS + 30
"""Time for one more invocation and the answer to CloudFormation; with less left, an error counts."""


def handler(event, context):
    """Answers CloudFormation's request. A failed check fails it, with the reason.

    Each version has a check of its own, which is created with it. An update changes no version, and a deletion, also that of a
    rollback, must never fail.
    """
    try:
        if event["RequestType"] == "Create":
            check(event["ResourceProperties"]["Version"], context)
    except Exception as error:
        cfnresponse.send(event, context, cfnresponse.FAILED, {}, "golden-check", reason=str(error))
    else:
        cfnresponse.send(event, context, cfnresponse.SUCCESS, {}, "golden-check")


def check(version, context):
    """Raises unless ``version`` says that its vectors are right."""
    answer = invoke(version, context)
    result = json.loads(answer["Payload"].read())
    if not isinstance(result, dict) or result.get("golden_check") != "passed":
        raise RuntimeError(f"{version} did not pass: {json.dumps(result)[:500]}")
    print(f"{version}: {json.dumps(result)}")


def invoke(version, context):
    """Lambda's answer, once the version can be invoked."""
    config = Config(read_timeout=READ_SECONDS, retries={"mode": "standard", "total_max_attempts": ATTEMPTS})
    client = boto3.client("lambda", config=config)
    while True:
        try:
            return client.invoke(FunctionName=version, Payload=json.dumps({"golden_check": True}))
        except ClientError as error:
            code, left = error.response["Error"]["Code"], context.get_remaining_time_in_millis() / 1000
            if code not in NOT_YET or left < LEAST_SECONDS:
                raise
            print(f"{code}; {left:.0f} seconds left")
            time.sleep(PAUSE_SECONDS)
