"""What an attempt costs: bought tokens, GPU-seconds, and delay."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.costs import HostedPrice, ReplicaRate, Work, delay_usd

AMOUNT = st.floats(0.0, 1e6)


def test_hosted_tokens_cost_their_list_price() -> None:
    price = HostedPrice(2.0, 8.0, 0.5)
    assert price.usd(Work(1000, 100.0)) == pytest.approx(0.0028)
    assert price.usd(Work(1000, 100.0, cached_tokens=600)) == pytest.approx(0.0019)
    assert HostedPrice(2.0, 8.0).usd(Work(1000, 100.0, cached_tokens=600)) == pytest.approx(0.0028)


def test_gpu_seconds_are_uncached_prefill_and_a_share_of_the_decode() -> None:
    replica = ReplicaRate(0.001, 10_000.0, 500.0)
    assert replica.gpu_seconds(Work(1000, 50.0)) == pytest.approx(0.2)
    assert replica.usd(Work(1000, 50.0, cached_tokens=1000)) == pytest.approx(0.0001)


def test_delay_has_a_price_of_its_own() -> None:
    assert delay_usd(2.0, usd_per_s=0.01) == pytest.approx(0.02)
    assert delay_usd(2.0, usd_per_s=0.0) == 0.0


@pytest.mark.parametrize(
    "make",
    [
        lambda: Work(-1, 0.0),
        lambda: Work(1, 0.0, cached_tokens=2),
        lambda: Work(1, -1.0),
        lambda: HostedPrice(-1.0, 0.0),
        lambda: HostedPrice(1.0, 0.0, -1.0),
        lambda: ReplicaRate(-1.0, 1.0, 1.0),
        lambda: ReplicaRate(1.0, 0.0, 1.0),
        lambda: delay_usd(-1.0, usd_per_s=1.0),
        lambda: delay_usd(1.0, usd_per_s=-1.0),
    ],
)
def test_what_cannot_be_is_refused(make: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        make()  # type: ignore[operator]


@given(AMOUNT, AMOUNT, AMOUNT, AMOUNT)
def test_no_cost_falls_when_a_price_rises(first: float, second: float, more: float, tokens: float) -> None:
    work = Work(500, tokens, cached_tokens=100)
    base = HostedPrice(first, second).usd(work)
    assert base <= HostedPrice(first + more, second).usd(work)
    assert base <= HostedPrice(first, second + more).usd(work)
    assert ReplicaRate(first, 100.0, 10.0).usd(work) <= ReplicaRate(first + more, 100.0, 10.0).usd(work)
