"""One request, in seven steps: receive → admit → score → plan → dispatch → generate → settle.

`receive` is the gateway's and hands over a checked `Request`; the other six are the methods below, in order. Knows no
HTTP server, no Ray and no vLLM. Whatever happens, a request is settled exactly once.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from models.spec import ModelSpec
from routing.cascade import cascade
from routing.difficulty import Difficulty
from routing.policy import AUTO, Candidate, NoRoute, Plan, PlanRequest, Policy, UnknownModel
from serving.dispatch import CANCELLED, Answer, Dispatcher, settled
from serving.errors import MillraceError, ModelNotFound, NotRoutable, UpstreamDisconnected, UpstreamTimeout
from serving.governance.admission import Admission
from serving.governance.ledger import cost_usd
from serving.keys import Tenant
from serving.record import Record
from serving.telemetry import Telemetry
from serving.wire.reply import Reply
from serving.wire.request import Request, needs_of, scored_text
from serving.wire.sse import StreamWatch, error_frame, find_usage, merge_usage

DRAIN_S = 0.1
"""How long an upstream may take to end its body after the terminal frame before its connection is cut, seconds."""


@dataclass(frozen=True, slots=True)
class Steps:
    """What the six steps need. `clock` gives monotonic seconds; `salt` maps a tenant id to its cache salt."""

    models: Mapping[str, ModelSpec]
    ladders: Mapping[str, Sequence[str]]
    """Operation → the tiers that can do it, from cheapest to dearest."""
    policies: Mapping[str, Policy]
    admission: Admission
    difficulty: Difficulty
    fallback_difficulty: Difficulty
    candidates: Callable[[], tuple[Candidate, ...]]
    dispatcher: Dispatcher
    telemetry: Telemetry
    salt: Callable[[str], str]
    clock: Callable[[], float]
    deadline_s: float


class Pipeline:
    """Answers requests."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    async def answer(self, request: Request, tenant: Tenant, reply: Reply, record: Record) -> None:
        """Answer one request. Raises `MillraceError` when nothing has been sent to the client yet."""
        reservation = self._steps.admission.admit(tenant.id, now=record.received_s)
        try:
            async with asyncio.timeout(self._steps.deadline_s):
                scores = self._score(request, record)
                plan = self._plan(request, scores, record)
                answer = await self._dispatch(plan, request, tenant, reply, record)
                await self._generate(answer, request, reply, record)
        except TimeoutError as error:
            late = UpstreamTimeout(f"no complete answer within {self._steps.deadline_s:g} s")
            await _end_late(late, error, request, reply, record)
        finally:
            self._count_unanswered(record)
            reservation.settle(record.cost_usd)

    def _score(self, request: Request, record: Record) -> Mapping[str, float]:
        if request.model not in self._steps.policies:
            return {}
        text = scored_text(request)
        try:
            scores = self._steps.difficulty.score(text)
        except Exception:  # noqa: BLE001 — a broken score must never cost an answer: stated default, counted
            self._steps.telemetry.score_failed()
            scores = self._steps.fallback_difficulty.score(text)
        record.scores = dict(scores)
        return scores

    def _plan(self, request: Request, scores: Mapping[str, float], record: Record) -> Plan:
        policy = self._steps.policies.get(request.model) or self._steps.policies[AUTO]
        options = request.routing
        try:
            plan = policy.plan(
                PlanRequest(
                    model=request.model,
                    scores=scores,
                    ladder=self._steps.ladders[request.route.operation],
                    candidates=self._steps.candidates(),
                    needs=needs_of(request),
                    hosted=options.hosted,
                    allow=options.allow,
                    deny=options.deny,
                    quality_floor=options.quality_floor,
                )
            )
        except NoRoute as error:
            raise _no_route(error) from error
        record.policy = plan.policy
        return plan

    async def _dispatch(self, plan: Plan, request: Request, tenant: Tenant, reply: Reply, record: Record) -> Answer:
        reply.headers["x-millrace-decision"] = record.decision
        reply.headers["x-millrace-policy"] = plan.policy
        salt = self._steps.salt(tenant.id)
        try:
            answer = await self._steps.dispatcher.run(cascade(plan.attempts), request, salt=salt, tried=record.tried)
        except MillraceError:
            reply.headers["x-millrace-attempts"] = str(len(record.tried))
            raise
        self._name(answer, reply, record)
        return answer

    def _name(self, answer: Answer, reply: Reply, record: Record) -> None:
        spec = answer.target.spec
        record.model, record.tier, record.stand_in = spec.name, spec.tier, spec.stand_in
        record.replica = answer.response.replica
        reply.headers["x-millrace-model"] = spec.name
        reply.headers["x-millrace-tier"] = spec.tier
        reply.headers["x-millrace-attempts"] = str(len(record.tried) + 1)
        if spec.stand_in:
            reply.headers["x-millrace-stand-in"] = "true"

    async def _generate(self, answer: Answer, request: Request, reply: Reply, record: Record) -> None:
        try:
            if request.stream and answer.response.status < 400:
                await self._relay_stream(answer, request, reply, record)
            else:
                await self._relay_whole(answer, reply, record)
        finally:
            await answer.response.close()

    async def _relay_whole(self, answer: Answer, reply: Reply, record: Record) -> None:
        merge_usage(record.usage, find_usage(answer.data))
        status = answer.response.status
        self._settle(answer, record, outcome="ok" if status < 400 else str(status))
        reply.headers["x-millrace-cost-usd"] = f"{record.cost_usd:.9f}"
        content_type = answer.response.headers.get("content-type", "application/json")
        await reply.whole(status, answer.content, content_type)

    async def _relay_stream(self, answer: Answer, request: Request, reply: Reply, record: Record) -> None:
        clock, operation = self._steps.clock, request.route.operation
        watch = StreamWatch(operation, strip_usage=not request.wants_usage)
        times = record.chunk_times_s
        record.first_byte_s = clock()
        times.append(record.first_byte_s)
        try:
            await reply.stream(answer.response.status)
            ready = watch.feed(answer.content)
            while not watch.ended:
                await reply.more(ready)
                ready = watch.feed(await _next_chunk(answer))
                times.append(clock())
            await _drain(answer)
        except MillraceError as error:
            record.error = error.code
            await reply.end(error_frame(operation, error))
            return
        finally:
            record.usage = watch.usage_so_far()
            self._settle(answer, record, outcome="ok" if watch.ended else record.error or CANCELLED)
        await reply.end(ready + watch.finish(cost_usd=record.cost_usd))

    def _settle(self, answer: Answer, record: Record, *, outcome: str) -> None:
        record.tried.append(settled(answer, now=self._steps.clock(), outcome=outcome))
        record.cost_usd = cost_usd(self._steps.models, record.tried, record.usage)

    def _count_unanswered(self, record: Record) -> None:
        if record.model == "-" and record.tried:
            record.cost_usd = cost_usd(self._steps.models, record.tried, record.usage)


async def _next_chunk(answer: Answer) -> bytes:
    async for chunk in answer.rest:
        return chunk
    raise UpstreamDisconnected(f"{answer.response.replica} ended its stream before the answer was complete")


async def _drain(answer: Answer) -> None:
    """Read on to the end of the body, which gives the connection back; what breaks there costs the client nothing."""
    with contextlib.suppress(MillraceError, TimeoutError):
        async with asyncio.timeout(DRAIN_S):
            async for _ in answer.rest:
                pass


async def _end_late(late: UpstreamTimeout, error: TimeoutError, request: Request, reply: Reply, record: Record) -> None:
    record.error = late.code
    if not reply.started:
        raise late from error
    if not reply.ended:
        await reply.end(error_frame(request.route.operation, late))


def _no_route(error: NoRoute) -> MillraceError:
    if isinstance(error, UnknownModel):
        return ModelNotFound(f"{error}; GET /v1/models lists what there is", param="model")
    return NotRoutable(str(error), param="model")
