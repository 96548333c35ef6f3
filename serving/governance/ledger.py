"""What a request cost: usage and busy time times the price of the model that spent them.

Synchronous and without state in this version; tenants' balances come with budgets.
"""

from collections.abc import Mapping, Sequence

from models.spec import ModelSpec
from serving.record import Tried, Usage


def cost_usd(models: Mapping[str, ModelSpec], tried: Sequence[Tried], usage: Usage) -> float:
    """Cost of all attempts of one request. `usage` is the accepted attempt's, which is the last of `tried`."""
    if not tried:
        return 0.0
    *failed, accepted = tried
    total = sum(models[one.attempt.model].price.usd_per_gpu_second * one.busy_s for one in failed)
    price = models[accepted.attempt.model].price
    return total + price.cost_usd(
        busy_s=accepted.busy_s, input_tokens=usage.input, cached_tokens=usage.cached, output_tokens=usage.output
    )
