"""A VPC for the function, where it has to sit in one."""

from typing import Any

from aws_cdk import Fn
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from constructs import Construct

from .options import Network


def placement(scope: Construct, network: Network) -> dict[str, Any]:
    """The function's props that put it into ``network``; none outside of a VPC."""
    if not network.vpc_id:
        return {}
    zones = [Fn.select(index, Fn.get_azs()) for index in range(len(network.subnet_ids))]
    vpc = ec2.Vpc.from_vpc_attributes(scope, "Vpc", vpc_id=network.vpc_id, availability_zones=zones)
    subnets = [ec2.Subnet.from_subnet_id(scope, f"Subnet{number}", id) for number, id in enumerate(network.subnet_ids)]
    groups = [
        ec2.SecurityGroup.from_security_group_id(scope, f"SecurityGroup{number}", id)
        for number, id in enumerate(network.security_group_ids)
    ]
    return {
        "vpc": vpc,
        "vpc_subnets": ec2.SubnetSelection(subnets=subnets),
        "security_groups": groups or [_https_out(scope, vpc)],
    }


def _https_out(scope: Construct, vpc: ec2.IVpc) -> ec2.SecurityGroup:
    group = ec2.SecurityGroup(
        scope, "SecurityGroup", vpc=vpc, description="Embeddings: nothing in, HTTPS out", allow_all_outbound=False
    )
    group.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(443), "Secrets Manager, X-Ray")
    return group


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
