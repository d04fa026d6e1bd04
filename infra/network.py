"""A VPC for the function, where it has to sit in one."""

from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from configuration.options import Network


def put_into(scope: Construct, function: lambda_.Function, network: Network) -> None:
    """Put ``function`` into ``network``; its role has to allow ``network_interfaces``.

    On CloudFormation's level, which takes ids as they are: the CDK's own VPC would ask for zones and route tables.
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
    """What Lambda needs to put a function into a VPC (AWS's AWSLambdaVPCAccessExecutionRole without its log actions).

    EC2 gives these actions no resource to be narrowed to before the interface exists.
    """
    return iam.PolicyStatement(
        actions=[
            "ec2:AssignPrivateIpAddresses",
            "ec2:CreateNetworkInterface",
            "ec2:DeleteNetworkInterface",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeSubnets",
            "ec2:UnassignPrivateIpAddresses",
        ],
        resources=["*"],
    )
