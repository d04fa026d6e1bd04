"""A deployment with the default authentication, watched: from ``cdk deploy`` to ``cdk destroy``.

The tests run in the order in which they stand here; the last one removes the stack.
"""

import json
import os
from concurrent.futures import ThreadPoolExecutor

import httpx2
import numpy as np
import openai
import pytest
from botocore.credentials import Credentials

from containers import base_image
from containers.tools import run
from serverless_embeddings_client import SigV4Auth
from tests.e2e.conftest import resources
from tests.texts import LANGUAGES

STACK = "E2eIam"
CONTEXT = {
    "dashboard": "true",
    "alarms": "true",
    "alarm_email": "team@example.com",
    "golden_check": "true",
    "reserved_concurrency": "2",
}
TEXT = LANGUAGES["en"]
MAY_CALL = {"Effect": "Allow", "Action": ["lambda:InvokeFunctionUrl", "lambda:InvokeFunction"], "Resource": "*"}


def test_a_signed_call_gets_the_vectors_of_the_original_model(stack, reference):
    texts = list(LANGUAGES.values())
    with stack.client(stack.aws.owner) as client:
        vectors = np.array(client.post("/embed", json={"inputs": texts}).json())
    assert np.sum(vectors * reference.encode(texts), axis=1).min() >= 0.99


def test_an_unsigned_call_is_refused(stack):
    with stack.client() as client:
        assert client.post("/embed", json={"inputs": TEXT}).status_code == 403


def test_a_wrong_signature_is_refused(stack, user):
    caller = user(MAY_CALL)
    with stack.client(Credentials(caller.access_key, "not the secret")) as client:
        assert client.post("/embed", json={"inputs": TEXT}).status_code == 403


def test_a_user_needs_permission(stack, user):
    with stack.client(user()) as client:
        assert client.post("/embed", json={"inputs": TEXT}).status_code == 403
    with stack.client(user(MAY_CALL)) as client:
        assert client.post("/embed", json={"inputs": TEXT}).status_code == 200


def test_a_direct_invocation_by_boto3(stack):
    with stack.client(stack.aws.owner) as client:
        over_http = client.post("/embed", json={"inputs": [TEXT, "x"]}).json()
    assert stack.invoke({"inputs": [TEXT, "x"]}) == over_http


def test_the_deployment_documents_itself(stack):
    with stack.client(stack.aws.owner) as client:
        description, page = client.get("/openapi.json"), client.get("/docs")
    assert "/v1/embeddings" in description.json()["paths"]
    assert page.headers["content-type"].startswith("text/html") and "/v1/embeddings" in page.text


def test_openai_s_client_signs(stack, user):
    with httpx2.Client(auth=SigV4Auth(stack.aws.region, credentials=user(MAY_CALL))) as http_client:
        client = openai.OpenAI(base_url=f"{stack.url}/v1", api_key="unused", http_client=http_client)
        answer = client.embeddings.create(model="intfloat/multilingual-e5-small:query", input=TEXT)
    assert answer.data[0].embedding == pytest.approx(stack.invoke({"inputs": f"query: {TEXT}"})[0], abs=1e-6)


def test_the_command_among_the_outputs_works(stack, user):
    caller = user(MAY_CALL)
    command = stack.outputs["TryIt"].replace(stack.outputs["Url"], f"{stack.url}/")
    keys = {"AWS_ACCESS_KEY_ID": caller.access_key, "AWS_SECRET_ACCESS_KEY": caller.secret_key, "AWS_SESSION_TOKEN": ""}
    vectors = json.loads(run(["sh", "-c", command], env=dict(os.environ) | keys))
    assert vectors == stack.invoke({"inputs": ["First text", "Second text"]})


def test_a_bad_request_is_told_why_and_the_next_one_works(stack):
    with stack.client(stack.aws.owner) as client:
        refused = client.post("/embed", content=b"{", headers={"Content-Type": "application/json"})
        assert refused.status_code == 400 and refused.json()["error"]
        assert client.post("/embed", json={"inputs": TEXT}).status_code == 200


def test_requests_are_logged_without_their_texts(stack):
    stack.invoke({"inputs": TEXT})
    events = stack.aws.client("logs").filter_log_events(logGroupName=stack.outputs["LogGroup"])["events"]
    messages = [event["message"] for event in events]
    (line, *_) = [json.loads(message) for message in messages if '"route":"invoke"' in message]
    assert line["status"] == 200 and line["texts"] >= 1 and line["tokens"] >= 1 and line["ms"]
    assert not any(TEXT in message for message in messages)


def test_other_stacks_find_it(stack):
    found = stack.aws.client("ssm").get_parameters_by_path(Path=f"/serverless-embeddings/{STACK}")["Parameters"]
    values = {parameter["Name"].rsplit("/", 1)[1]: parameter["Value"] for parameter in found}
    assert values["url"] == stack.outputs["Url"]
    assert values["function-arn"].endswith(f":{stack.outputs['FunctionName']}:live")
    assert (values["model"], values["dimensions"]) == ("intfloat/multilingual-e5-small", "384")


def test_the_schedule_invokes_the_alias(stack):
    (schedule,) = stack.aws.client("scheduler").list_schedules(NamePrefix=STACK)["Schedules"]
    target = stack.aws.client("scheduler").get_schedule(Name=schedule["Name"])["Target"]
    assert target["Arn"].endswith(f":{stack.outputs['FunctionName']}:live")
    assert stack.invoke(json.loads(target["Input"])) == {"active": True}


def test_dashboard_and_alarms(stack):
    cloudwatch = stack.aws.client("cloudwatch")
    alarms = cloudwatch.describe_alarms(AlarmNamePrefix=STACK)["MetricAlarms"]
    assert len(alarms) == 5
    topics = {action for alarm in alarms for action in alarm["AlarmActions"]}
    assert len(topics) == 1
    (subscription,) = stack.aws.client("sns").list_subscriptions_by_topic(TopicArn=topics.pop())["Subscriptions"]
    assert subscription["Protocol"] == "email" and subscription["Endpoint"] == CONTEXT["alarm_email"]
    (entry,) = cloudwatch.list_dashboards()["DashboardEntries"]
    body = json.loads(cloudwatch.get_dashboard(DashboardName=entry["DashboardName"])["DashboardBody"])
    assert len(body["widgets"]) >= 7


def test_too_many_at_once_are_told_to_come_back(stack):
    """Of 50 at once with two environments each gets an answer: the vector, or 429."""
    expected = stack.invoke({"inputs": TEXT})

    def ask(_) -> tuple[int, list | None]:
        with stack.client(stack.aws.owner) as client:
            answer = client.post("/embed", json={"inputs": TEXT})
            return answer.status_code, answer.json() if answer.status_code == 200 else None

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(ask, range(50)))
    statuses = {status for status, _ in answers}
    assert len(answers) == 50 and statuses == {200, 429}
    assert all(vectors == expected for status, vectors in answers if status == 200)
    assert stack.invoke({"inputs": TEXT}) == expected


def test_boto3_is_told_when_to_come_back(stack):
    lambda_ = stack.aws.client("lambda")
    function = stack.outputs["FunctionName"]
    lambda_.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
    try:
        with pytest.raises(lambda_.exceptions.TooManyRequestsException) as refusal:
            stack.invoke({"inputs": TEXT})
        assert int(refusal.value.response["ResponseMetadata"]["HTTPHeaders"]["retry-after"]) >= 1
    finally:
        lambda_.put_function_concurrency(
            FunctionName=function, ReservedConcurrentExecutions=int(CONTEXT["reserved_concurrency"])
        )


def test_a_second_deployment_changes_nothing(stack):
    version = stack.live_version()
    printed, outputs = stack.app.deploy()
    assert f"{STACK} (no changes)" in printed
    assert outputs[STACK] == stack.outputs and stack.live_version() == version


def test_a_change_publishes_a_version_and_moves_the_alias(stack, deploy):
    lambda_ = stack.aws.client("lambda")
    function = {"FunctionName": stack.outputs["FunctionName"]}
    version, memory_mb = stack.live_version(), lambda_.get_function_configuration(**function)["MemorySize"]
    changed = deploy(STACK, **CONTEXT | {"memory_mb": str(memory_mb + 64), "log_level": "DEBUG"})
    assert changed.outputs == stack.outputs
    assert int(changed.live_version()) == int(version) + 1
    assert lambda_.get_function_configuration(**function)["MemorySize"] == memory_mb + 64
    assert lambda_.get_function_configuration(**function, Qualifier=version)["MemorySize"] == memory_mb
    with changed.client(changed.aws.owner) as client:
        assert client.post("/embed", json={"inputs": TEXT}).status_code == 200


@pytest.mark.parametrize("moment", ["start: Publishing Embeddings/Default/Function", "deploying..."])
def test_an_interrupted_deployment_can_be_deployed_again(stack, app, deploy, moment):
    """Killed while it pushes another image, or while CloudFormation works."""
    change = {"base_image": base_image.LOCAL, "log_level": "DEBUG", "served_model_names": f"killed-at-{len(moment)}"}
    app(STACK, **CONTEXT | change).interrupt_deploy(moment)
    again = deploy(STACK, **CONTEXT | change)
    assert again.outputs == stack.outputs
    with again.client(again.aws.owner) as client:
        models = [model["id"] for model in client.get("/v1/models").json()["data"]]
        assert change["served_model_names"] in models
        assert client.post("/embed", json={"inputs": TEXT}).status_code == 200


def test_a_caller_cannot_change_the_function(stack, user):
    lambda_ = stack.aws.client("lambda", user(MAY_CALL))
    with pytest.raises(lambda_.exceptions.ClientError, match="AccessDenied"):
        lambda_.delete_function(FunctionName=stack.outputs["FunctionName"])


def test_destroying_leaves_nothing_but_the_image(stack, before):
    stack.app.destroy()
    assert resources(stack.aws) == before
    (repository,) = stack.aws.client("ecr").describe_repositories()["repositories"]
    images = stack.aws.client("ecr").list_images(repositoryName=repository["repositoryName"])["imageIds"]
    assert images, "the bootstrap's repository keeps the images until `cdk gc` or its lifecycle rule removes them"
