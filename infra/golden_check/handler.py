"""The custom resource's function: asks a version for vectors and compares them with the expected ones.

CloudFormation takes it inline, so it has to stay under 4096 characters; ``cfnresponse`` comes with inline functions.
"""

import json
from math import sqrt

import boto3
import cfnresponse
from botocore.config import Config

LEAST_COSINE = 0.99
"""CPUs of different kinds agree to 0.9995 or better; another model, or a damaged one, does not come near."""


def handler(event, context):
    """Answers CloudFormation's request; a difference fails it, with the reason."""
    try:
        if event["RequestType"] != "Delete":
            check(event["ResourceProperties"]["Version"], json.loads(event["ResourceProperties"]["Golden"]))
    except Exception as error:
        cfnresponse.send(event, context, cfnresponse.FAILED, {}, "golden-check", reason=str(error))
    else:
        cfnresponse.send(event, context, cfnresponse.SUCCESS, {}, "golden-check")


def check(version, golden):
    """Raises unless ``version`` returns the vector in ``golden`` for each of its texts."""
    # Callers may be using up the function's reserved concurrency meanwhile.
    client = boto3.client("lambda", config=Config(retries={"mode": "standard", "total_max_attempts": 10}))
    for text, expected in golden.items():
        # The golden texts have their prompts in them: the empty name goes without the deployment's default prompt.
        answer = client.invoke(FunctionName=version, Payload=json.dumps({"inputs": text, "prompt_name": ""}))
        result = json.loads(answer["Payload"].read())
        if "FunctionError" in answer or not isinstance(result, list):
            raise RuntimeError(f"{version} returned no vector: {json.dumps(result)[:500]}")
        if len(result[0]) != len(expected) or cosine(result[0], expected) < LEAST_COSINE:
            raise RuntimeError(f"{version} returned another vector than the artifact has for {text!r}")
    print(f"{version}: {len(golden)} golden vectors are right")


def cosine(a, b):
    """Cosine of the angle between two vectors."""
    return sum(x * y for x, y in zip(a, b, strict=True)) / sqrt(sum(x * x for x in a) * sum(y * y for y in b))
