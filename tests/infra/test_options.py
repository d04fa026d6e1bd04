"""The effect of each option on the template, checked as a reviewer would check it by hand."""

import json
from typing import Any

import pytest

from runtime.aws.events import KEEP_ACTIVE
from runtime.settings import Settings

from .cases import CASES
from .conftest import Template, properties, resources

ALIAS = "EmbeddingsLive8C55E27E"


def function(template: Template) -> dict[str, Any]:
    """The service's function."""
    return properties(template, "AWS::Lambda::Function", "EmbeddingsFunction")[0]


def environment(template: Template) -> dict[str, Any]:
    """The environment variables of the service's function."""
    return function(template)["Environment"]["Variables"]


def test_default_is_private_and_free_while_idle(templates: dict[str, Template]) -> None:
    kinds = [resource["Type"] for resource in templates["default"]["Resources"].values()]

    assert sorted(kinds) == [
        *["AWS::IAM::Policy"] * 2,
        *["AWS::IAM::Role"] * 2,
        "AWS::Lambda::Alias",
        "AWS::Lambda::Function",
        "AWS::Lambda::Url",
        "AWS::Lambda::Version",
        "AWS::Logs::LogGroup",
        *["AWS::SSM::Parameter"] * 4,
        "AWS::Scheduler::Schedule",
    ]
    assert properties(templates["default"], "AWS::Lambda::Url")[0]["AuthType"] == "AWS_IAM"
    assert "ReservedConcurrentExecutions" not in function(templates["default"])
    assert function(templates["api-key"])["ReservedConcurrentExecutions"] == 10
    assert function(templates["public"])["ReservedConcurrentExecutions"] == 10


def test_outputs_say_how_to_call(templates: dict[str, Template]) -> None:
    signed, keyed, open_ = (
        json.dumps(templates[case]["Outputs"]["TryIt"]["Value"]) for case in ("default", "api-key", "public")
    )

    assert set(templates["default"]["Outputs"]) == {"Url", "FunctionName", "LogGroup", "TryIt"}
    assert "--aws-sigv4" in signed and "Bearer" not in signed
    assert "aws configure export-credentials" in signed
    assert "Bearer $(aws secretsmanager get-secret-value" in keyed and "--aws-sigv4" not in keyed
    assert "--aws-sigv4" not in open_ and "Bearer" not in open_
    assert "ApiKeySecret" in templates["api-key"]["Outputs"]


def test_no_url(templates: dict[str, Template]) -> None:
    template = templates["no-url"]

    assert not resources(template, "AWS::Lambda::Url")
    assert set(template["Outputs"]) == {"FunctionName", "LogGroup", "TryIt"}
    assert "aws lambda invoke" in json.dumps(template["Outputs"]["TryIt"]["Value"])
    assert properties(template, "AWS::Lambda::Permission") == [
        {"Action": "lambda:InvokeFunction", "FunctionName": {"Ref": ALIAS}, "Principal": "210987654321"}
    ]


def test_it_is_invoked_once_a_day(templates: dict[str, Template]) -> None:
    (schedule,) = properties(templates["default"], "AWS::Scheduler::Schedule")

    assert schedule["ScheduleExpression"] == "rate(1 day)" and schedule["State"] == "ENABLED"
    assert schedule["Target"]["Arn"] == {"Ref": ALIAS}
    assert json.loads(schedule["Target"]["Input"]) == KEEP_ACTIVE
    assert not resources(templates["inactive"], "AWS::Scheduler::Schedule")


def parameters(template: Template) -> dict[str, Any]:
    """The values of the SSM parameters by name."""
    return {entry["Name"]: entry["Value"] for entry in properties(template, "AWS::SSM::Parameter")}


def test_other_stacks_find_the_endpoint(templates: dict[str, Template]) -> None:
    values = parameters(templates["default"])

    assert values == {
        "/serverless-embeddings/default/url": {"Fn::GetAtt": ["EmbeddingsLiveFunctionUrl8D7414F3", "FunctionUrl"]},
        "/serverless-embeddings/default/function-arn": {"Ref": ALIAS},
        "/serverless-embeddings/default/model": "intfloat/multilingual-e5-small",
        "/serverless-embeddings/default/dimensions": "2",
    }
    assert {entry["Type"] for entry in properties(templates["default"], "AWS::SSM::Parameter")} == {"String"}
    assert set(parameters(templates["organization"])) == {
        f"/serverless-embeddings/organization-blue/{key}" for key in ("url", "function-arn", "model", "dimensions")
    }
    assert set(parameters(templates["existing-image"])) == {
        f"/serverless-embeddings/existing-image/{key}" for key in ("url", "function-arn")
    }
    assert "/serverless-embeddings/no-url/url" not in parameters(templates["no-url"])
    assert "/search/embeddings/url" in parameters(templates["parameters"])
    assert parameters(templates["no-parameters"]) == {}


def test_size(templates: dict[str, Template]) -> None:
    chosen = function(templates["size"])

    assert chosen["MemorySize"] == 3008
    assert chosen["Timeout"] == 120
    assert chosen["ReservedConcurrentExecutions"] == 2
    assert "ReservedConcurrentExecutions" not in function(templates["unreserved"])


def test_architecture_is_that_of_the_image(templates: dict[str, Template]) -> None:
    assert function(templates["default"])["Architectures"] == ["x86_64"]
    assert templates["default"]["Images"][0]["platform"] == "linux/amd64"
    assert function(templates["arm64"])["Architectures"] == ["arm64"]
    assert templates["arm64"]["Images"][0]["platform"] == "linux/arm64"


def test_image_is_built_as_configured(templates: dict[str, Template]) -> None:
    image = templates["build"]["Images"][0]

    assert image["dockerBuildArgs"] == {"MODEL": "build/model/small", "BASE_IMAGE": "registry.example.com/python:3.13"}
    assert image["dockerBuildSecrets"] == {
        "pip_conf": "src=/etc/pip.conf",
        "ca_bundle": "src=/etc/ssl/certs/ca-certificates.crt",
    }


def test_existing_image_is_not_built(templates: dict[str, Template]) -> None:
    assert templates["existing-image"]["Images"] == []
    assert "/embeddings@sha256:" + "a" * 64 in json.dumps(function(templates["existing-image"])["Code"])


@pytest.mark.parametrize("case", CASES)
def test_the_runtime_reads_the_environment_that_is_set(case: str, templates: dict[str, Template]) -> None:
    told = {
        name: value if isinstance(value, str) else "a-reference" for name, value in environment(templates[case]).items()
    }

    known = {f"EMBEDDINGS_{field.upper()}" for field in Settings.__struct_fields__}
    assert set(told) <= known
    Settings.from_environment(told)


def test_serving_defaults_reach_the_runtime(templates: dict[str, Template]) -> None:
    settings = Settings.from_environment(environment(templates["serving"]))

    assert settings.default_prompt == "query"
    assert (settings.long_texts, settings.max_tokens) == ("window", 4096)
    assert settings.served_model_names == ("e5", "*")


def test_principals_may_call_by_url_and_directly(templates: dict[str, Template]) -> None:
    grants = properties(templates["principals"], "AWS::Lambda::Permission")

    account = [grant for grant in grants if grant["Principal"] == "210987654321"]
    assert account == [
        {
            "Action": "lambda:InvokeFunctionUrl",
            "FunctionName": {"Ref": ALIAS},
            "FunctionUrlAuthType": "AWS_IAM",
            "Principal": "210987654321",
        },
        {
            "Action": "lambda:InvokeFunction",
            "FunctionName": {"Ref": ALIAS},
            "InvokedViaFunctionUrl": True,
            "Principal": "210987654321",
        },
        {"Action": "lambda:InvokeFunction", "FunctionName": {"Ref": ALIAS}, "Principal": "210987654321"},
    ]
    assert sum(grant["Principal"] == "arn:aws:iam::210987654321:role/caller" for grant in grants) == 3
    assert sum(grant.get("PrincipalOrgID") == "o-a1b2c3d4e5" for grant in grants) == 3
    assert len(grants) == 9


def test_api_key_is_random_and_read_by_the_function(templates: dict[str, Template]) -> None:
    (secret,) = resources(templates["api-key"], "AWS::SecretsManager::Secret")
    generated = templates["api-key"]["Resources"][secret]["Properties"]["GenerateSecretString"]

    assert generated == {"PasswordLength": 48, "ExcludePunctuation": True}
    assert environment(templates["api-key"]) == {
        "EMBEDDINGS_AUTH": "api_key",
        "EMBEDDINGS_API_KEY_SECRET_ARN": {"Ref": secret},
    }


def test_api_key_brought_along_is_not_created(templates: dict[str, Template]) -> None:
    arn = CASES["api-key-brought"]["api_key_secret_arn"]

    assert not resources(templates["api-key-brought"], "AWS::SecretsManager::Secret")
    assert environment(templates["api-key-brought"])["EMBEDDINGS_API_KEY_SECRET_ARN"] == arn


def test_browsers_may_call_from_named_origins_only(templates: dict[str, Template]) -> None:
    assert "Cors" not in properties(templates["default"], "AWS::Lambda::Url")[0]
    cors = properties(templates["api-key"], "AWS::Lambda::Url")[0]["Cors"]
    assert cors["AllowOrigins"] == ["https://example.com"]
    assert {"authorization", "content-type", "x-stainless-os"} <= set(cors["AllowHeaders"])
    assert "retry-after" in cors["ExposeHeaders"]


def test_logs(templates: dict[str, Template]) -> None:
    assert function(templates["default"])["LoggingConfig"]["LogFormat"] == "JSON"
    assert properties(templates["default"], "AWS::Logs::LogGroup")[0]["RetentionInDays"] == 30
    assert properties(templates["logs"], "AWS::Logs::LogGroup")[0]["RetentionInDays"] == 365
    settings = Settings.from_environment(environment(templates["logs"]))
    assert (settings.log_level, settings.log_caller) == ("WARNING", True)
    assert not Settings.from_environment({}).log_caller


def test_key_encrypts_logs_environment_and_secret(templates: dict[str, Template]) -> None:
    template = templates["key"]
    (key,) = resources(template, "AWS::KMS::Key")
    arn = {"Fn::GetAtt": [key, "Arn"]}

    assert properties(template, "AWS::Logs::LogGroup")[0]["KmsKeyId"] == arn
    assert function(template)["KmsKeyArn"] == arn
    assert properties(template, "AWS::SecretsManager::Secret")[0]["KmsKeyId"] == arn
    assert template["Resources"][key]["Properties"]["EnableKeyRotation"] is True


def test_key_lets_cloudwatch_logs_use_it_for_this_account_only(templates: dict[str, Template]) -> None:
    policy = properties(templates["key"], "AWS::KMS::Key")[0]["KeyPolicy"]["Statement"]
    (logs,) = (statement for statement in policy if "logs." in json.dumps(statement["Principal"]))

    condition = json.dumps(logs["Condition"]["ArnLike"]["kms:EncryptionContext:aws:logs:arn"])
    assert "AWS::AccountId" in condition and ":log-group:*" in condition


def test_vpc(templates: dict[str, Template]) -> None:
    (group,) = resources(templates["vpc"], "AWS::EC2::SecurityGroup")

    assert function(templates["vpc"])["VpcConfig"] == {
        "SubnetIds": ["subnet-0a1b2c3d", "subnet-1a2b3c4d"],
        "SecurityGroupIds": [{"Fn::GetAtt": [group, "GroupId"]}],
    }
    rules = templates["vpc"]["Resources"][group]["Properties"]
    assert "SecurityGroupIngress" not in rules
    assert [(rule["FromPort"], rule["ToPort"]) for rule in rules["SecurityGroupEgress"]] == [(443, 443)]
    assert not resources(templates["vpc-groups"], "AWS::EC2::SecurityGroup")
    assert function(templates["vpc-groups"])["VpcConfig"]["SecurityGroupIds"] == ["sg-0a1b2c3d"]


@pytest.mark.parametrize("case", CASES)
def test_url_is_that_of_the_alias_on_the_version_of_this_deployment(case: str, templates: dict[str, Template]) -> None:
    template = templates[case]
    (version,) = resources(template, "AWS::Lambda::Version", "EmbeddingsFunction")
    urls = properties(template, "AWS::Lambda::Url")
    alias = template["Resources"][ALIAS]["Properties"]

    assert alias["Name"] == "live"
    assert [url["Qualifier"] for url in urls] == (
        ["live"] if CASES[case].get("endpoint", "function_url") == "function_url" else []
    )
    assert alias["FunctionVersion"] == {"Fn::GetAtt": [version, "Version"]}
    assert template["Resources"][version]["DeletionPolicy"] == "RetainExceptOnCreate"


def test_provisioned_concurrency(templates: dict[str, Template]) -> None:
    alias = templates["provisioned"]["Resources"][ALIAS]["Properties"]

    assert alias["ProvisionedConcurrencyConfig"] == {"ProvisionedConcurrentExecutions": 2}


def test_gradual_shift_rolls_back_on_failures(templates: dict[str, Template]) -> None:
    template = templates["canary"]
    (group,) = resources(template, "AWS::CodeDeploy::DeploymentGroup")
    (alarm,) = resources(template, "AWS::CloudWatch::Alarm")
    settings = template["Resources"][group]["Properties"]

    update = template["Resources"][ALIAS]["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
    assert update["DeploymentGroupName"] == {"Ref": group}
    assert settings["DeploymentConfigName"] == "CodeDeployDefault.LambdaCanary10Percent5Minutes"
    assert settings["AlarmConfiguration"] == {"Alarms": [{"Name": {"Ref": alarm}}], "Enabled": True}
    assert "DEPLOYMENT_STOP_ON_ALARM" in settings["AutoRollbackConfiguration"]["Events"]


def test_gradual_shift_looks_at_the_new_version_only(templates: dict[str, Template]) -> None:
    template = templates["canary"]
    (alarm,) = properties(template, "AWS::CloudWatch::Alarm")
    (version,) = resources(template, "AWS::Lambda::Version")
    new = {"Fn::GetAtt": [version, "Version"]}
    series, expressions = {}, {}
    for query in alarm["Metrics"]:
        if "Expression" in query:
            expressions[query["Id"]] = query["Expression"]
        else:
            metric = query["MetricStat"]["Metric"]
            series[query["Id"]] = metric["MetricName"]
            assert new in [dimension["Value"] for dimension in metric["Dimensions"]]

    def percent(calls: int, **failures: int) -> float:
        """The alarm's metric for these sums of a minute."""
        sums = {query: ({"Invocations": calls} | failures).get(name, 0) for query, name in series.items()}
        functions = {"FILL": lambda value, _: value, "MAX": max, "IF": lambda test, yes, no: yes if test else no}
        failed = eval(expressions["failed"], functions | sums)
        (share,) = (text for query, text in expressions.items() if query != "failed")
        return eval(share, functions | sums | {"failed": failed})

    assert set(series.values()) == {"Errors", "Invocations", "Failures"}
    assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold" and alarm["Threshold"] == 5
    assert percent(calls=3, Errors=1) == 0  # one timeout is no reason
    assert percent(calls=1000, Failures=2) == pytest.approx(0.2)
    assert percent(calls=10, Errors=2, Failures=0) == 20  # crashes
    assert percent(calls=2, Failures=2) == 100  # answers with 5xx


def test_golden_check_comes_before_traffic(templates: dict[str, Template]) -> None:
    template = templates["golden-check"]
    (version,) = resources(template, "AWS::Lambda::Version")
    (check,) = resources(template, "Custom::GoldenCheck")

    assert check in template["Resources"][ALIAS]["DependsOn"]
    asked = template["Resources"][check]["Properties"]
    assert asked["Version"] == {"Ref": version}


def test_golden_check_keeps_its_logs_as_the_service_does(templates: dict[str, Template]) -> None:
    for case in ("golden-check", "stage-prod", "everything"):
        own, of_check = properties(templates[case], "AWS::Logs::LogGroup")
        assert own == of_check
    kept = [group["DeletionPolicy"] for group in resources(templates["stage-prod"], "AWS::Logs::LogGroup").values()]
    assert kept == ["RetainExceptOnCreate"] * 2


def test_tracing(templates: dict[str, Template]) -> None:
    assert function(templates["tracing"])["TracingConfig"] == {"Mode": "Active"}
    assert "TracingConfig" not in function(templates["default"])
