"""Drives the cascade against the upstreams: makes each attempt, reports what came of it, returns the accepted answer.

Knows nothing of tenants, HTTP servers or prices. Fails over only before the first content byte has been passed on: to
another replica of the model, then to the next attempt of the cascade. A model whose breaker is open is skipped; an
attempt beyond a request's first that reaches an upstream is paid for out of the retry budget.
"""

import asyncio
import random
from collections.abc import Callable, Collection, Mapping
from math import ceil

import msgspec
from msgspec.structs import replace

from routing.breaker import Breaker, BreakerRules, Pass, Result, State
from routing.cascade import Attempt, Cascade, Evidence, Reason, Verdict
from routing.retry import RetryBudget, RetryRules
from serving.attempt import Answer, Target, answered, call
from serving.errors import RetryBudgetExhausted, UpstreamFailed, UpstreamRefused
from serving.record import Tried
from serving.retrying import Retrying, helps_elsewhere
from serving.wire.request import Request

CANCELLED = "cancelled"
"""Outcome of an attempt that was given up unfinished: the client went away or the request's time was over."""
BREAKER_OPEN = "breaker_open"
"""Outcome of an attempt that was not made, because that model keeps failing."""

__all__ = ["BREAKER_OPEN", "CANCELLED", "Answer", "Dispatcher", "Target", "settled"]


class _Trip(msgspec.Struct):
    """One request on its way through its attempts."""

    request: Request
    salt: str
    decision: str
    tried: list[Tried]
    calls: int = 0
    """Attempts made, whether or not they reached anybody."""
    failed: UpstreamFailed | None = None
    """The last failure of an attempt that reached an upstream: what follows it is a retry."""
    again: set[str] = msgspec.field(default_factory=set)
    """Models asked a second time; nobody is asked a third."""


class Dispatcher:
    """Makes attempts. `clock` gives monotonic seconds; without `breakers` and `retrying`, their defaults."""

    def __init__(
        self,
        targets: Mapping[str, Target],
        clock: Callable[[], float],
        *,
        breakers: Mapping[str, Breaker] | None = None,
        retrying: Retrying | None = None,
    ) -> None:
        self._targets = targets
        self._clock = clock
        self._breakers = breakers or {name: Breaker(BreakerRules(), random.random) for name in targets}
        rules = RetryRules()
        self._retrying = retrying or Retrying(rules, RetryBudget(rules), random.random, asyncio.sleep)

    async def run(self, cascade: Cascade, request: Request, *, salt: str, decision: str, tried: list[Tried]) -> Answer:
        """Follow `cascade` until it accepts an answer; failed attempts are appended to `tried`.

        Upstreams know the request as `<decision>-<number of the attempt>`. Raises the last attempt's `UpstreamFailed`
        when the cascade ends without an answer, `RetryBudgetExhausted` when another attempt would be one too many.
        """
        trip = _Trip(request, salt, decision, tried)
        self._retrying.budget.requested(self._clock())
        attempt = next(cascade)
        while True:
            answer, failure = await self._ask(attempt, trip)
            try:
                following = cascade.send(_evidence(answer, failure))
            except StopIteration:
                return answer or await self._last_resort(attempt, trip, failure)
            if answer is not None:
                await answer.response.close()
            attempt = following

    async def _last_resort(self, attempt: Attempt, trip: _Trip, failure: UpstreamFailed | None) -> Answer:
        """There is nobody else: the same place once more, after a pause, if that can help."""
        if failure is None:
            raise UpstreamRefused("no model could be asked")
        if attempt.model in trip.again or not self._retrying.helps_here(failure) or self._is_open(attempt.model):
            raise failure
        trip.again.add(attempt.model)
        await self._pause(failure)
        answer, failure = await self._ask(replace(attempt, reason=Reason.RETRY), trip)
        if failure is not None:
            raise failure
        assert answer is not None
        return answer

    async def _ask(self, attempt: Attempt, trip: _Trip) -> tuple[Answer | None, UpstreamFailed | None]:
        """Ask a model, unless its breaker is open; its breaker hears what came of it."""
        breaker = self._breakers[attempt.model]
        leave = breaker.enter(self._clock())
        if leave is None:
            trip.tried.append(Tried(attempt, replica="-", outcome=BREAKER_OPEN, busy_s=0.0))
            return None, _open(breaker, attempt, self._clock())
        result = Result.ABANDONED
        calls = trip.calls
        try:
            answer = await self._ask_replicas(attempt, trip, leave)
            result = Result.GOOD
            return answer, None
        except RetryBudgetExhausted:
            result = Result.FAILED if trip.calls > calls else Result.ABANDONED
            raise
        except UpstreamFailed as failure:
            result = Result.FAILED if failure.tried else Result.ABANDONED
            return None, failure
        finally:
            breaker.leave(leave, result, self._clock())

    async def _ask_replicas(self, attempt: Attempt, trip: _Trip, leave: Pass) -> Answer:
        """Ask once, and once more where that can help: another replica at once, or the same after the pause it asked
        for, if that is short. A half-open breaker's one call stays one.
        """
        try:
            return await self._send(attempt, trip)
        except RetryBudgetExhausted:
            raise
        except UpstreamFailed as failure:
            if leave.probe or attempt.model in trip.again:
                raise
            avoid: tuple[str, ...] = (failure.replica,)
            if not (helps_elsewhere(failure) and self._targets[attempt.model].upstream.spare(avoid)):
                if not self._retrying.is_short(failure):
                    raise
                avoid = ()
            trip.again.add(attempt.model)
            if not avoid:
                await self._pause(failure)
            return await self._send(replace(attempt, reason=Reason.RETRY), trip, avoid)

    async def _send(self, attempt: Attempt, trip: _Trip, avoid: Collection[str] = ()) -> Answer:
        """Send once, and record what did not work. The budget pays for what is sent after a failure (`_pay`)."""
        target, sent_s = self._targets[attempt.model], self._clock()
        paid = self._pay(attempt, trip, sent_s)
        trip.calls += 1
        sending = call(target, trip.request, salt=trip.salt, request_id=f"{trip.decision}-{trip.calls}", avoid=avoid)
        try:
            return await answered(attempt, target, trip.request.route.operation, sending, sent_s=sent_s)
        except UpstreamFailed as failure:
            if failure.sent:
                trip.failed = failure
            elif paid:
                self._retrying.budget.give_back(sent_s)
            outcome = str(failure.upstream_status or failure.code)
            trip.tried.append(Tried(attempt, replica=failure.replica, outcome=outcome, busy_s=0.0))
            raise
        except asyncio.CancelledError:
            trip.tried.append(Tried(attempt, replica="-", outcome=CANCELLED, busy_s=0.0))
            raise

    def _pay(self, attempt: Attempt, trip: _Trip, now: float) -> bool:
        """Did this attempt cost one of the budget? What was lost with its replica is sent in its stead, at no cost."""
        if trip.failed is None or trip.failed.lost or attempt.reason is Reason.ESCALATION:
            return False
        if self._retrying.budget.take(now):
            return True
        exhausted = RetryBudgetExhausted(
            f"{trip.failed.message}; too many requests are being tried again to try this one again",
            retry_after_s=trip.failed.retry_after_s,
        )
        raise exhausted from trip.failed

    def _is_open(self, model: str) -> bool:
        return self._breakers[model].state(self._clock()) is not State.CLOSED

    async def _pause(self, failure: UpstreamFailed) -> None:
        await self._retrying.sleep(self._retrying.pause_s(failure))


def _open(breaker: Breaker, attempt: Attempt, now: float) -> UpstreamRefused:
    refused = UpstreamRefused(
        f"{attempt.model} has failed too often and is left alone for a moment",
        retry_after_s=max(1, ceil(breaker.closed_for_s(now))),
    )
    refused.sent = refused.tried = False
    return refused


def _evidence(answer: Answer | None, failure: UpstreamFailed | None) -> Evidence:
    if answer is None:
        return Evidence(Verdict.FAILED, status=failure.upstream_status if failure else 0)
    return Evidence(Verdict.ANSWERED, status=answer.response.status)


def settled(answer: Answer, *, now: float, outcome: str) -> Tried:
    """The record of the accepted attempt: its time is shared with what ran on that replica beside it."""
    response = answer.response
    busy_s = (now - answer.sent_s) / response.concurrency
    return Tried(answer.attempt, replica=response.replica, outcome=outcome, busy_s=busy_s)
