"""Prices of AWS Lambda that cost estimates use: us-east-1, first tier, without the free tier.

Source: https://aws.amazon.com/lambda/pricing/ as of 2025-08, when the init phase became billed for every function.
"""

from typing import NamedTuple


class ComputePrice(NamedTuple):
    """US dollars for a GB-second of memory."""

    on_demand: float
    """While a request or an init phase runs."""
    provisioned: float
    """While an environment is provisioned, busy or idle."""


COMPUTE = {
    "x86_64": ComputePrice(on_demand=0.0000166667, provisioned=0.0000041667),
    "arm64": ComputePrice(on_demand=0.0000133334, provisioned=0.0000033334),
}
USD_PER_REQUEST = 0.20 / 1_000_000
