"""API Gateway in front of the function, with AWS WAF and a domain."""

import json

from aws_cdk import Acknowledgment, Duration, Validations
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_wafv2 as wafv2
from constructs import Construct

from configuration.groups import Gateway

SECONDS = 29
"""Longest duration of a request through API Gateway, unless AWS raises the account's quota
(https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html)."""
WINDOW_SECONDS = 300
"""The limit of an address counts the requests of this time."""
RETRY_SECONDS = 30
"""WAF counts again about every ten seconds."""
TOO_MANY = "TooMany"
UNUSED = {
    "AwsSolutions-APIG1": "The function writes a line for each request; access logs would be a second one.",
    "AwsSolutions-APIG2": "The function validates requests, and answers as the APIs of TEI and OpenAI do.",
    "AwsSolutions-COG4": "Callers are programs, which sign requests or have a key.",
    "AwsSolutions-APIG6": "The function writes a line for each request; execution logs would hold texts.",
}


class ModelGateway(Construct):
    """A regional REST API that passes every request to an alias, behind a limit on the requests of each address.

    CloudFront with origin access control would need callers to send a hash of each body
    (https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-restricting-access-to-lambda.html), which
    published clients do not, and a web ACL and a certificate in us-east-1. Here all is in the region of the function.

    Attributes:
        api: The REST API.
        url: HTTPS address, with a slash at its end.
        domain_target: Name that the record of ``domain_name`` has to be an alias of; None without a domain.
    """

    def __init__(self, scope: Construct, id: str, *, alias: lambda_.Alias, options: Gateway, signed: bool) -> None:
        """Define the API.

        Args:
            scope: Construct to create it in.
            id: Name within ``scope``.
            alias: The alias that answers.
            options: Limit and domain.
            signed: Whether API Gateway refuses requests that are not signed by a principal who may call.
        """
        super().__init__(scope, id)
        self.api = apigateway.LambdaRestApi(
            self,
            "Api",
            handler=alias,
            description="Text embeddings",
            endpoint_types=[apigateway.EndpointType.REGIONAL],
            # Bodies pass as they are, so that compressed ones stay whole.
            binary_media_types=["*/*"],
            integration_options=apigateway.LambdaIntegrationOptions(
                allow_test_invoke=False, timeout=Duration.seconds(SECONDS)
            ),
            default_method_options=apigateway.MethodOptions(
                authorization_type=apigateway.AuthorizationType.IAM if signed else apigateway.AuthorizationType.NONE
            ),
            deploy_options=apigateway.StageOptions(stage_name=alias.alias_name),
            cloud_watch_role=False,
            disable_execute_api_endpoint=options.domain_name is not None,
            domain_name=self._domain(options),
        )
        self.url = f"https://{options.domain_name}/" if options.domain_name else self.api.url
        self.domain_target = self.api.domain_name.domain_name_alias_domain_name if options.domain_name else None
        wall = self._web_acl(options.requests_per_address)
        wafv2.CfnWebACLAssociation(
            self,
            "Association",
            resource_arn=self.api.deployment_stage.stage_arn,
            web_acl_arn=wall.attr_arn,
        )
        unsigned = {} if signed else {"AwsSolutions-APIG4": "The function checks the API key, or anybody may call."}
        for rule, reason in (UNUSED | unsigned).items():
            Validations.of(self.api).acknowledge(Acknowledgment(id=rule, reason=reason))

    def grant_invoke_url(self, grantee: iam.IGrantable) -> None:
        """As the method of a Function URL: let ``grantee`` send signed requests. One of another account also needs a policy of its account."""
        actions = ["execute-api:Invoke"]
        grant = iam.Grant.add_to_principal(
            grantee=grantee, actions=actions, resource_arns=[self.api.arn_for_execute_api()]
        )
        if not grant.success:
            # In its own policy the API is named like this, since the policy is part of it.
            statement = iam.PolicyStatement(
                principals=[grantee.grant_principal], actions=actions, resources=["execute-api:/*"]
            )
            self.api.add_to_resource_policy(statement)
            # API Gateway heeds a policy from the next deployment of the API on.
            self.api.latest_deployment.add_to_logical_id(statement.to_statement_json())

    def _domain(self, options: Gateway) -> apigateway.DomainNameOptions | None:
        if options.domain_name is None:
            return None
        return apigateway.DomainNameOptions(
            domain_name=options.domain_name,
            certificate=acm.Certificate.from_certificate_arn(self, "Certificate", options.certificate_arn),
            endpoint_type=apigateway.EndpointType.REGIONAL,
            security_policy=apigateway.SecurityPolicy.TLS_1_2,
        )

    def _web_acl(self, limit: int) -> wafv2.CfnWebACL:
        """Create the rule that answers 429 to an address with more than ``limit`` requests in :data:`WINDOW_SECONDS`."""
        message = f"this address sent more than {limit} requests in {WINDOW_SECONDS} seconds"
        acl = wafv2.CfnWebACL
        statement = acl.StatementProperty(
            rate_based_statement=acl.RateBasedStatementProperty(
                aggregate_key_type="IP", limit=limit, evaluation_window_sec=WINDOW_SECONDS
            )
        )
        answer = acl.CustomResponseProperty(
            response_code=429,
            custom_response_body_key=TOO_MANY,
            response_headers=[acl.CustomHTTPHeaderProperty(name="retry-after", value=str(RETRY_SECONDS))],
        )
        return acl(
            self,
            "WebAcl",
            scope="REGIONAL",
            default_action=acl.DefaultActionProperty(allow=acl.AllowActionProperty()),
            visibility_config=_visibility("Requests"),
            custom_response_bodies={
                TOO_MANY: acl.CustomResponseBodyProperty(
                    content_type="APPLICATION_JSON",
                    content=json.dumps({"error": message, "error_type": "Overloaded"}),
                )
            },
            rules=[
                acl.RuleProperty(
                    name="RequestsPerAddress",
                    priority=0,
                    statement=statement,
                    action=acl.RuleActionProperty(block=acl.BlockActionProperty(custom_response=answer)),
                    visibility_config=_visibility("RequestsPerAddress"),
                )
            ],
        )


def _visibility(name: str) -> wafv2.CfnWebACL.VisibilityConfigProperty:
    # Without samples: they would keep the headers of requests, and with them the key.
    return wafv2.CfnWebACL.VisibilityConfigProperty(
        metric_name=name, cloud_watch_metrics_enabled=True, sampled_requests_enabled=False
    )
