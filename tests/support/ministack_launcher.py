"""Starts ministack with corrections where it does not behave as AWS does. Runs in ministack's virtual environment.

Each function here replaces one of ministack's, and says what AWS does.
"""

import functools
import json
import os
import string
import threading
import time

from ministack import app
from ministack.core import container_reaper, iam_actions
from ministack.services import ecr, lambda_svc, s3, secretsmanager, stepfunctions, waf
from ministack.services.cloudformation import provisioners

ONE_VCPU_MB = 1769


def replaces(place, name):
    """Replace a function of a module or a dictionary by the decorated one, which gets the original as its first argument."""
    place = place if isinstance(place, dict) else vars(place)

    def put(function):
        place[name] = functools.partial(function, place[name])
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
    """AWS authorizes ecr:DescribeRepositories on the repositories that the request names; ministack on ``*``, for which the
    CDK's publishing role has no permission."""
    if service == "ecr":
        names = json.loads(body or b"{}").get("repositoryNames") or []
        if len(names) == 1:
            return f"arn:aws:ecr:{region}:{account_id}:repository/{names[0]}"
    return original(service, method, path, headers, body, query_params, region, account_id)


@replaces(app, "pin_request_origin")
def pin_request_origin(original, source_ip, secure_transport):
    """Mark requests as sent through TLS, since the CDK's bucket policy denies others; here they do not leave the machine."""
    original(source_ip, True)


@replaces(provisioners, "_cw_metric_alarm_record")
def metric_alarm(original, name, properties):
    """AWS evaluates alarms on metric math; ministack refuses them. Here they exist, with their actions and thresholds, and
    watch a metric that has no data."""
    if properties.get("Metrics"):
        properties = properties | {"Metrics": None, "Namespace": "MetricMath", "MetricName": name}
    return original(name, properties)


function_resource = provisioners._RESOURCE_HANDLERS["AWS::Lambda::Function"]


@replaces(function_resource, "create")
def create_function(original, logical_id, properties, stack_name):
    """CloudFormation on AWS reserves the concurrency that a template sets; ministack's ignores it."""
    return reserve(original(logical_id, properties, stack_name), properties)


@replaces(function_resource, "update")
def update_function(original, physical_id, old_properties, properties, *stack):
    """As ``create_function``."""
    return reserve(original(physical_id, old_properties, properties, *stack), properties)


def reserve(created, properties):
    """Reserve the concurrency that a template sets. ``created``, the function's name and attributes, is returned."""
    reserved = properties.get("ReservedConcurrentExecutions")
    lambda_svc._functions[created[0]]["concurrency"] = None if reserved is None else int(reserved)
    return created


@replaces(lambda_svc, "_reserved_concurrency")
def reserved_concurrency(original, record, config):
    """On AWS all versions of a function share its reserved concurrency; ministack finds it at $LATEST only."""
    return original(lambda_svc._functions.get(config["FunctionName"]) or record, config)


secret_resource = provisioners._RESOURCE_HANDLERS["AWS::SecretsManager::Secret"]


@replaces(secret_resource, "create")
def create_secret(original, logical_id, properties, stack_name):
    """On AWS ``Ref`` of a secret is its ARN, which policies name; ministack's is the secret's name. It also puts punctuation
    into a generated secret that excludes it."""
    generated = properties.get("GenerateSecretString") or {}
    if generated.get("ExcludePunctuation"):
        properties = properties | {"GenerateSecretString": generated | {"ExcludeCharacters": string.punctuation}}
    _, attributes = original(logical_id, properties, stack_name)
    return attributes["Arn"], attributes


@replaces(secret_resource, "update")
def update_secret(original, arn, old_properties, properties, *stack):
    """As ``create_secret``."""
    _, attributes = original(secret_name(arn), old_properties, properties, *stack)
    return attributes["Arn"], attributes


@replaces(secret_resource, "delete")
def delete_secret(original, arn, properties):
    """As ``create_secret``."""
    original(secret_name(arn), properties)


def secret_name(arn):
    """Return the name under which ministack keeps a secret."""
    name, _ = secretsmanager._resolve(arn)
    return name


def associate_web_acl(logical_id, properties, stack_name):
    """CloudFormation on AWS associates web ACLs; ministack's knows no such resource, though its WAF does."""
    status, _, body = waf._associate_web_acl(properties)
    if status != 200:
        raise ValueError(f"AWS::WAFv2::WebACLAssociation {logical_id} of {stack_name}: {body!r}")
    return properties["ResourceArn"], {}


def disassociate_web_acl(physical_id, properties):
    """As ``associate_web_acl``."""
    waf._disassociate_web_acl(properties)


provisioners._RESOURCE_HANDLERS["AWS::WAFv2::WebACLAssociation"] = {
    "create": associate_web_acl,
    "delete": disassociate_web_acl,
}

starting = threading.local()


@replaces(lambda_svc, "_warm_pool_key")
def environments_of(original, name, config):
    """On AWS an execution environment belongs to a version; ministack gives it to any version with the same image."""
    return f"{original(name, config)}:{config.get('Version')}"


@replaces(lambda_svc, "_pool_kill_function")
def end_environments(original, account, name):
    """AWS ends the environments of $LATEST when its configuration changes; ministack ends those of all versions."""
    if name not in lambda_svc._functions:
        return original(account, name)
    with lambda_svc._warm_pool_lock:
        pool = lambda_svc._warm_pool
        keys = [key for key in pool if key.split(":")[::2][:2] == [account, name] and key.endswith(":$LATEST")]
        entries = [entry for key in keys for entry in pool.pop(key)]
    for entry in entries:
        lambda_svc._kill_pool_entry(entry)
    return None


@replaces(lambda_svc, "_invoke_rie")
def invoke(original, container, event, timeout, request_id):
    """AWS returns the end of the log with Lambda's report in it; ministack may read the log before the report is there."""
    start = time.time()
    result = original(container, event, timeout, request_id)
    while f"REPORT RequestId: {request_id}" not in result["log"] and time.time() < start + timeout:
        if result.get("error"):
            break
        time.sleep(0.01)
        result["log"] = container.logs(since=start).decode(errors="replace")
    return result


@replaces(lambda_svc, "_spawn_lambda_container_impl")
def spawn_lambda_container(original, config, *arguments):
    """AWS gives an execution environment the memory of its function, and CPU in proportion; ministack has one set of limits
    for all functions."""
    starting.memory_mb = int(config.get("MemorySize", 128))
    return original(config, *arguments)


@replaces(lambda_svc, "_parse_docker_flags")
def container_options(original, flags):
    """Add the limits of the environment that is being started to those that ministack reads from its settings."""
    cpus = min(starting.memory_mb / ONE_VCPU_MB, os.cpu_count() or 1)
    return original(flags) | {
        "mem_limit": f"{starting.memory_mb}m",
        "memswap_limit": f"{starting.memory_mb}m",
        "nano_cpus": int(cpus * 1e9),
        "cap_drop": ["ALL"],
        "user": os.environ["LAMBDA_USER"],
    }


@replaces(stepfunctions, "_run_distributed_map")
def run_distributed_map(original, state, raw_input, effective, iterator, execution, ctx):
    """AWS takes MaxConcurrencyPath, and with a ResultWriter it writes what became of the children to S3; ministack ignores both."""
    if "MaxConcurrencyPath" in state:
        most = stepfunctions._resolve_path_or_ctx(state["MaxConcurrencyPath"], effective, ctx)
        state = state | {"MaxConcurrency": most}
    answer = original(state, raw_input, effective, iterator, execution, ctx)
    if "ResultWriter" in state:
        where = stepfunctions._resolve_params_obj(state["ResultWriter"]["Parameters"], effective, ctx)
        runs = [run for run in stepfunctions._map_runs.values() if run["executionArn"] == execution["executionArn"]]
        arn = runs[-1]["mapRunArn"]
        children = [each for each in stepfunctions._executions.values() if each.get("mapRunArn") == arn]
        for status in ("SUCCEEDED", "FAILED"):
            results = [
                {"ExecutionArn": each["executionArn"], "Status": status}
                | {name.capitalize(): each[name] for name in ("input", "output", "error", "cause") if each.get(name)}
                for each in children
                if each["status"] == status
            ]
            if results:
                key = f"{where['Prefix']}/{arn.rpartition(':')[2]}/{status}_0.json"
                s3._put_object(where["Bucket"], key, json.dumps(results).encode(), {})
    return answer


@replaces(stepfunctions, "_call_lambda")
def call_lambda(original, function, event):
    """A throttled invocation is Lambda.TooManyRequestsException to a state machine on AWS; ministack's is Lambda.Unknown."""
    try:
        return original(function, event)
    except stepfunctions._ExecutionError as error:
        if error.error == "Lambda.Unknown" and "TooManyRequestsException" in (error.cause or ""):
            raise stepfunctions._ExecutionError("Lambda.TooManyRequestsException", error.cause) from error
        raise


@replaces(s3, "_put_object")
def put_object(original, bucket, key, *arguments):
    """Kill all execution environments before or after a write that a test named with ``EmulatedAws.die_at``."""
    moment = next((each for each in faults() if each["key"] in f"{bucket}/{key}"), None)
    if moment is None:
        return original(bucket, key, *arguments)
    forget(moment)
    answer = s3._error("ServiceUnavailable", "the test's fault", 503, key)
    if moment["when"] == "after":
        answer = original(bucket, key, *arguments)
    labels = [f"{name}={value}" for name, value in container_reaper.own_labels("lambda").items()]
    for container in lambda_svc._get_docker_client().containers.list(filters={"label": labels}):
        container.kill()
    return answer


def faults():
    """The moments at which environments are to die, in order."""
    path = os.environ.get("FAULTS", "")
    if not os.path.exists(path):
        return []
    with open(path) as file:
        return json.load(file)


def forget(moment):
    """Let a moment pass once only."""
    left = faults()
    left.remove(moment)
    with open(os.environ["FAULTS"], "w") as file:
        json.dump(left, file)


if __name__ == "__main__":
    app.main()
