"""Starts ministack with what this project needs to behave as AWS does. Runs in ministack's own environment, not ours.

Each function here replaces one of ministack's, and says what AWS does.
"""

import functools
import json
import os
import threading

from ministack import app
from ministack.core import iam_actions
from ministack.services import ecr, lambda_svc
from ministack.services.cloudformation import provisioners

ONE_VCPU_MB = 1769


def replaces(module, name):
    """Puts the decorated function in the place of a module's, which it gets as its first argument."""

    def put(function):
        setattr(module, name, functools.partial(function, getattr(module, name)))
        return function

    return put


@replaces(ecr, "_describe_images")
def describe_images(original, data):
    """AWS raises ImageNotFoundException when an image was asked for by its tag and is not there; ministack answers with an
    empty list, from which the CDK concludes that there is nothing to push."""
    status, headers, body = original(data)
    if status == 200 and data.get("imageIds") and not json.loads(body)["imageDetails"]:
        return ecr.error_response_json("ImageNotFoundException", "The image requested does not exist", 400)
    return status, headers, body


@replaces(iam_actions, "extract_resource_arn")
def extract_resource_arn(original, service, method, path, headers, body, query_params, region, account_id):
    """AWS authorizes ecr:DescribeRepositories on the repositories that the request names; ministack on ``*``, which the
    CDK's publishing role may not touch."""
    if service == "ecr":
        names = json.loads(body or b"{}").get("repositoryNames") or []
        if len(names) == 1:
            return f"arn:aws:ecr:{region}:{account_id}:repository/{names[0]}"
    return original(service, method, path, headers, body, query_params, region, account_id)


@replaces(app, "pin_request_origin")
def pin_request_origin(original, source_ip, secure_transport):
    """Requests reach AWS through TLS, and the CDK's bucket policy denies any others; here they do not leave the machine."""
    original(source_ip, True)


@replaces(provisioners, "_cw_metric_alarm_record")
def metric_alarm(original, name, properties):
    """AWS evaluates alarms on metric math; ministack refuses them. Here they exist, with their actions and thresholds, and
    watch a metric that nobody writes."""
    if properties.get("Metrics"):
        properties = properties | {"Metrics": None, "Namespace": "MetricMath", "MetricName": name}
    return original(name, properties)


@replaces(lambda_svc, "_reserved_concurrency")
def reserved_concurrency(original, record, config):
    """On AWS all versions of a function share what is reserved for it; ministack finds it at $LATEST only."""
    return original(lambda_svc._functions.get(config["FunctionName"]) or record, config)


starting = threading.local()


@replaces(lambda_svc, "_spawn_lambda_container_impl")
def spawn_lambda_container(original, config, *arguments):
    """AWS gives an execution environment the memory that its function asks for, and CPU in proportion; ministack knows one
    set of limits for all functions."""
    starting.memory_mb = int(config.get("MemorySize", 128))
    return original(config, *arguments)


@replaces(lambda_svc, "_parse_docker_flags")
def container_options(original, flags):
    """The limits of the environment that is being started, besides those that ministack reads from its setting."""
    cpus = min(starting.memory_mb / ONE_VCPU_MB, os.cpu_count() or 1)
    return original(flags) | {
        "mem_limit": f"{starting.memory_mb}m",
        "memswap_limit": f"{starting.memory_mb}m",
        "nano_cpus": int(cpus * 1e9),
        "cap_drop": ["ALL"],
        "user": os.environ["LAMBDA_USER"],
    }


if __name__ == "__main__":
    app.main()
