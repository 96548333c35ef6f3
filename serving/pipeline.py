"""One request, in seven steps: receive → admit → score → plan → dispatch → generate → settle.

`receive` is the gateway's and hands over a checked `Request`; the other six are the methods below, in order. Knows no
HTTP server, no Ray and no vLLM. Whatever happens, a request is settled exactly once.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from models.spec import ModelSpec
from routing.cascade import cascade
from routing.difficulty import Difficulty
from routing.policy import AUTO, Candidate, NoRoute, Plan, PlanRequest, Policy, UnknownModel
from serving.deadline import Deadline
from serving.departure import cut_short
from serving.dispatch import Answer, Dispatcher
from serving.errors import MillraceError, ModelNotFound, NotRoutable, ShuttingDown, UpstreamTimeout
from serving.governance.admission import Admission
from serving.governance.ledger import cost_usd
from serving.keys import Tenant
from serving.record import Record
from serving.relay import Relay
from serving.stream_reply import StreamReply
from serving.telemetry import Telemetry
from serving.wire.endings import error_frame
from serving.wire.reply import Reply
from serving.wire.request import Request, needs_of, scored_text
from serving.wire.sse import StreamWatch


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
    keepalive_s: float = 10.0
    write_timeout_s: float = 30.0


class Pipeline:
    """Answers requests."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._relay = Relay(steps.models, steps.clock)

    async def answer(self, request: Request, tenant: Tenant, reply: Reply, record: Record) -> None:
        """Answer one request. Raises `MillraceError` when nothing has been sent to the client yet."""
        reservation = self._steps.admission.admit(tenant.id, now=record.received_s)
        try:
            if request.stream:
                await self._streamed(request, tenant, reply, record)
            else:
                await self._in_time(request, tenant, reply, None, record)
        finally:
            self._count_unanswered(record)
            reservation.settle(record.cost_usd)

    async def _streamed(self, request: Request, tenant: Tenant, reply: Reply, record: Record) -> None:
        """A failure after the first byte, a keep-alive comment included, is told in the stream and ends it."""
        steps = self._steps
        with StreamReply(
            reply, clock=steps.clock, keepalive_s=steps.keepalive_s, write_timeout_s=steps.write_timeout_s
        ) as stream:
            try:
                await self._in_time(request, tenant, reply, stream, record)
            except MillraceError as error:
                record.error = error.code
                await stream.settle_comment()
                if not reply.started:
                    raise
                if not reply.ended:
                    await stream.end(stream.untold() + _ending(request, error, stream.watch, record))

    async def _in_time(
        self, request: Request, tenant: Tenant, reply: Reply, stream: StreamReply | None, record: Record
    ) -> None:
        """The steps from scoring on, under the one deadline of the request."""
        deadline_s = min(self._steps.deadline_s, request.timeout_s or self._steps.deadline_s)
        try:
            with Deadline(asyncio.get_running_loop().time() + deadline_s):
                scores = self._score(request, record)
                plan = self._plan(request, scores, record)
                answer = await self._dispatch(plan, request, tenant, reply, record)
                await self._generate(answer, request, reply, stream, record)
        except asyncio.CancelledError:
            if cut_short(record):
                raise ShuttingDown("this gateway stops, and the answer was not complete in time") from None
            raise
        except TimeoutError as error:
            if reply.ended:
                return
            record.error = UpstreamTimeout.code
            raise UpstreamTimeout(f"no complete answer within {deadline_s:g} s") from error

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
            answer = await self._steps.dispatcher.run(
                cascade(plan.attempts), request, salt=salt, decision=record.decision, tried=record.tried
            )
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

    async def _generate(
        self, answer: Answer, request: Request, reply: Reply, stream: StreamReply | None, record: Record
    ) -> None:
        try:
            if stream is not None and answer.response.status < 400:
                await self._relay.stream(answer, request, stream, record)
                return
            if stream is not None:
                await stream.give_way()
            await self._relay.whole(answer, request, reply, record)
        finally:
            await answer.response.close()

    def _count_unanswered(self, record: Record) -> None:
        if record.model == "-" and record.tried:
            record.cost_usd = cost_usd(self._steps.models, record.tried, record.usage)


def _ending(request: Request, error: MillraceError, watch: StreamWatch | None, record: Record) -> bytes:
    named = {"id": f"resp_{request.id}", "model": record.asked_model, "created_at": int(time.time())}
    opening, last = (watch.opening, watch.last) if watch is not None else (b"", b"")
    return error_frame(request.route.operation, error, opening=opening, last=last, named=named)


def _no_route(error: NoRoute) -> MillraceError:
    if isinstance(error, UnknownModel):
        return ModelNotFound(f"{error}; GET /v1/models lists what there is", param="model")
    return NotRoutable(str(error), param="model")
