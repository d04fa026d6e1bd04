"""The regions of AWS that lack what a deployment needs."""

_WITHOUT_FUNCTION_URLS = frozenset(
    {
        "ap-east-2",
        "ap-south-2",
        "ap-southeast-4",
        "ap-southeast-5",
        "ap-southeast-6",
        "ap-southeast-7",
        "ca-west-1",
        "eu-central-2",
        "eu-south-2",
        "il-central-1",
        "me-central-1",
        "mx-central-1",
    }
)
_PARTITIONS_WITHOUT_FUNCTION_URLS = ("cn-", "us-gov-")


def has_function_urls(region: str) -> bool:
    """Return whether ``region`` has Lambda Function URLs. A region that is not known here counts as one that has.

    Sources: https://docs.aws.amazon.com/lambda/latest/dg/urls-configuration.html;
    https://docs.amazonaws.cn/en_us/aws/latest/userguide/lambda.html and
    https://docs.aws.amazon.com/govcloud-us/latest/UserGuide/govcloud-lambda.html ("How AWS Lambda differs"); for Mexico
    (mx-central-1), the resource types that CloudFormation has there, as cfn-lint's rule E3006 lists them.
    """
    return region not in _WITHOUT_FUNCTION_URLS and not region.startswith(_PARTITIONS_WITHOUT_FUNCTION_URLS)
