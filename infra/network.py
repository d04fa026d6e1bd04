"""Puts the function into a VPC."""

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from configuration.groups import Network


def put_into(scope: Construct, function: lambda_.Function, network: Network) -> None:
    """Put ``function`` into ``network``. Its role has to allow ``network_interfaces``.

    This sets CloudFormation's property, which takes plain ids. The CDK's VPC would require zones and route tables, too.
    """
    function.node.default_child.vpc_config = lambda_.CfnFunction.VpcConfigProperty(
        subnet_ids=list(network.subnet_ids),
        security_group_ids=list(network.security_group_ids) or [_https_out(scope, network.vpc_id)],
    )


def _https_out(scope: Construct, vpc_id: str) -> str:
    group = ec2.CfnSecurityGroup(
        scope,
        "SecurityGroup",
        vpc_id=vpc_id,
        group_description="Embeddings endpoint: nothing in, HTTPS out",
        security_group_egress=[
            ec2.CfnSecurityGroup.EgressProperty(
                ip_protocol="tcp", from_port=443, to_port=443, cidr_ip="0.0.0.0/0", description="Secrets Manager, X-Ray"
            )
        ],
    )
    return group.attr_group_id


def network_interfaces() -> iam.PolicyStatement:
    """Return the statement that lets Lambda put a function into a VPC.

    The actions are those of AWS's policy AWSLambdaVPCAccessExecutionRole, without its log actions. They cannot be limited
    to a resource, since the network interface does not exist yet.
    """
    return iam.PolicyStatement(actions=_ACTIONS, resources=["*"])


def none_by_code(scope: Construct) -> iam.PolicyStatement:
    """Return the statement that denies the same to the code in the function: only the service needs the permissions.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html ("Security best practices"). It names the
    function; naming any function here avoids a circle, since the function depends on its role's policy.
    """
    any_function = Stack.of(scope).format_arn(
        service="lambda", resource="function", resource_name="*", arn_format=ArnFormat.COLON_RESOURCE_NAME
    )
    return iam.PolicyStatement(
        effect=iam.Effect.DENY,
        actions=_ACTIONS,
        resources=["*"],
        conditions={"ArnLike": {"lambda:SourceFunctionArn": any_function}},
    )


_ACTIONS = [
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
]
