"""Requests and tokens a minute: never more than the limit in any window, and the wait that is named is enough."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.errors import RateLimited
from serving.governance.rates import Bucket, Metered, Rates, Unlimited, duration

NAMES = {"x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"}


def metered(*, requests: int | None = None, tokens: int | None = None) -> Metered:
    return Metered(requests=requests, tokens=tokens, otherwise=Unlimited(8, lambda: 3))


def shown(rates: Rates, kind: str, *, now: float, tenant: str = "acme") -> tuple[str, str, str]:
    headers = rates.headers(tenant, now=now)
    return tuple(headers[f"x-ratelimit-{word}-{kind}"] for word in ("limit", "remaining", "reset"))  # type: ignore[return-value]


def test_without_limits_the_headers_show_the_places() -> None:
    busy = 3
    rates = Unlimited(8, lambda: busy)
    passage = rates.admit("acme", 10**9, now=5.0)
    passage.settle(10**9, now=6.0)
    assert set(passage.headers) == NAMES
    assert shown(rates, "requests", now=7.0) == ("8", "5", "0s")
    busy = 9
    assert shown(rates, "requests", now=7.0) == ("8", "0", "1s")


def test_requests_are_refused_until_there_is_room() -> None:
    rates = metered(requests=2)
    assert shown(rates, "requests", now=1000.0) == ("2", "2", "0s")
    assert rates.admit("acme", 5, now=1000.0).headers["x-ratelimit-remaining-requests"] == "1"
    rates.admit("acme", 5, now=1000.0)
    assert shown(rates, "requests", now=1000.0) == ("2", "0", "1m0s")
    with pytest.raises(RateLimited, match=r"limit of 2 requests a minute \(setting requests_per_minute\)") as caught:
        rates.admit("acme", 5, now=1000.0)
    assert caught.value.retry_after_s == 30
    rates.admit("acme", 5, now=1030.0)


def test_tenants_do_not_share_their_limits() -> None:
    rates = metered(requests=1)
    rates.admit("acme", 0, now=0.0)
    rates.admit("other", 0, now=0.0)
    assert shown(rates, "requests", now=0.0, tenant="third") == ("1", "1", "0s")


def test_tokens_are_reserved_and_settled_with_what_was_used() -> None:
    rates = metered(tokens=600)
    passage = rates.admit("acme", 100, now=0.0)
    assert shown(rates, "tokens", now=0.0) == ("600", "500", "10s")
    passage.settle(40, now=0.0)
    assert shown(rates, "tokens", now=0.0) == ("600", "560", "4s")
    passage.settle(40, now=0.0)
    assert shown(rates, "tokens", now=0.0) == ("600", "560", "4s")


def test_debt_is_waited_for() -> None:
    rates = metered(tokens=600)
    rates.admit("acme", 0, now=0.0).settle(900, now=0.0)
    assert shown(rates, "tokens", now=0.0) == ("600", "0", "1m30s")
    with pytest.raises(RateLimited, match="tokens a minute") as caught:
        rates.admit("acme", 100, now=0.0)
    assert caught.value.retry_after_s == 40
    rates.admit("acme", 100, now=40.0)


def test_a_request_larger_than_the_bucket_passes_when_it_is_full() -> None:
    rates = metered(tokens=600)
    rates.admit("acme", 5000, now=0.0)
    with pytest.raises(RateLimited):
        rates.admit("acme", 1, now=0.0)


def test_a_refusal_counts_nothing() -> None:
    rates = metered(requests=10, tokens=60)
    rates.admit("acme", 60, now=0.0)
    for _ in range(20):
        with pytest.raises(RateLimited):
            rates.admit("acme", 60, now=0.0)
    assert shown(rates, "requests", now=0.0) == ("10", "9", "6s")


def test_where_only_tokens_are_limited_the_places_stand_for_requests() -> None:
    headers = metered(tokens=60).admit("acme", 0, now=0.0).headers
    assert headers["x-ratelimit-limit-requests"] == "8"
    assert headers["x-ratelimit-limit-tokens"] == "60"


def refused_for_s(rates: Rates, *, now: float) -> int:
    """The wait one more request is told; 0 when it is let in."""
    try:
        rates.admit("acme", 0, now=now)
    except RateLimited as refused:
        return refused.retry_after_s or -1
    return 0


steps = st.lists(st.tuples(st.floats(0, 20), st.integers(0, 40), st.integers(0, 80)), max_size=60)


@settings(max_examples=60)
@given(st.integers(1, 50), steps)
def test_no_window_of_a_minute_has_more_than_twice_the_limit(limit: int, steps: list[tuple[float, int, int]]) -> None:
    """The bucket may be full at its start and refills once; debts only make it less."""
    rates, now, taken = metered(requests=limit), 0.0, []
    for pause_s, _, _ in steps:
        now += pause_s
        wait_s = refused_for_s(rates, now=now)
        if not wait_s:
            taken.append(now)
            continue
        assert 1 <= wait_s <= 61
        assert not refused_for_s(rates, now=now + wait_s)
        rates, taken = metered(requests=limit), []
    for start in taken:
        assert sum(start <= one < start + 60 for one in taken) <= 2 * limit


@given(st.integers(1, 10**6), steps)
def test_a_bucket_never_shows_more_than_it_holds(limit: int, steps: list[tuple[float, int, int]]) -> None:
    bucket, now = Bucket(limit), 0.0
    for pause_s, reserved, used in steps:
        now += pause_s
        bucket.take(reserved, now=now)
        bucket.take(used - reserved, now=now)
        headers = bucket.headers("tokens", now=now)
        assert 0 <= int(headers["x-ratelimit-remaining-tokens"]) <= limit
        assert re.fullmatch(r"\d+ms|(\d+m)?\d+s", headers["x-ratelimit-reset-tokens"])


def test_tokens_used_after_settling_are_charged_without_a_request() -> None:
    rates = metered(requests=5, tokens=100)
    rates.admit("acme", 0, now=0.0).settle(0, now=0.0)
    rates.charge("acme", 60, now=0.0)
    headers = rates.headers("acme", now=0.0)
    assert headers["x-ratelimit-remaining-tokens"] == "40"
    assert headers["x-ratelimit-remaining-requests"] == "4"
    metered(requests=5).charge("acme", 60, now=0.0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (-1, "0s"), (0.0001, "1ms"), (0.12, "120ms"), (0.9999, "1s"), (1, "1s"), (1.01, "2s"), (360, "6m0s")],
)  # fmt: skip
def test_durations_are_written_as_openai_does(seconds: float, text: str) -> None:
    assert duration(seconds) == text
