"""Which models to try for a request, in which order: the ladder, read with the scores of the prompt.

Pure: candidates, scores and options come in as arguments. Knows nothing of replicas, prices in force or clocks.
Invariants: a concrete name gives exactly one attempt; no attempt breaks the request's data policy, allow or deny
lists, needs or quality floor; no model is tried twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol, TypeAlias

import msgspec

from routing.cascade import Attempt, Reason
from routing.difficulty import Scores

AUTO = "auto"
"""The model name that asks for routing by whatever policy is in force."""

Hosted: TypeAlias = Literal["never", "fallback", "any"]
"""May the prompt leave the premises: never; only when no on-premises model can answer; or wherever the score says."""


class Candidate(msgspec.Struct, frozen=True):
    """A model as the policy sees it."""

    model: str
    tier: str
    leaves_premises: bool = False
    capabilities: frozenset[str] = frozenset()
    available: bool = True
    """False when it is known to have no live replica (or, for a hosted API, to be refusing)."""


class PlanRequest(msgspec.Struct, frozen=True):
    """What a plan depends on. `ladder`: tiers from cheapest to dearest; `candidates`: in order of preference."""

    model: str
    """`auto`, the policy's own name, or a concrete model."""
    ladder: Sequence[str]
    candidates: Sequence[Candidate]
    scores: Scores = msgspec.field(default_factory=dict)
    needs: frozenset[str] = frozenset()
    """Capabilities the answer takes, e.g. `{"chat", "tools"}`."""
    hosted: Hosted = "any"
    allow: frozenset[str] = frozenset()
    """Model or tier names; empty allows every one."""
    deny: frozenset[str] = frozenset()
    """Model or tier names; deny beats allow."""
    quality_floor: float | None = None
    """Least acceptable score: tiers scored below it are out. None: the policy's threshold guides, and binds nobody."""


class Exclusion(StrEnum):
    """Why a candidate is not in a plan; the value is the words a client reads."""

    OFF_LADDER = "its tier is not on the ladder"
    NEEDS = "lacks a capability the request needs"
    DENIED = "is on the request's deny list"
    NOT_ALLOWED = "is not on the request's allow list"
    DATA_POLICY = "prompts sent to it leave the premises, which the request forbids"
    BELOW_FLOOR = "is scored below the request's quality floor"
    BELOW_START = "is in a tier below the one the score starts at"
    UNAVAILABLE = "has no live replica, and others can answer"


class NoRoute(Exception):
    """No model may answer this request. `excluded` says why, per model; `lacking`: the capabilities it has not."""

    def __init__(self, model: str, excluded: Mapping[str, Exclusion], lacking: Mapping[str, Sequence[str]]) -> None:
        reasons = "; ".join(_why(why, name, lacking) for name, why in excluded.items())
        super().__init__(f"no model may answer {model!r}: {reasons or 'no model is configured'}")
        self.model = model
        self.excluded = excluded


def _why(why: Exclusion, name: str, lacking: Mapping[str, Sequence[str]]) -> str:
    named = f": {', '.join(lacking[name])}" if why is Exclusion.NEEDS else ""
    return f"{name} {why.value}{named}"


class UnknownModel(NoRoute):
    """No candidate has the name asked for."""

    def __init__(self, model: str) -> None:
        super().__init__(model, {}, {})
        self.args = (f"there is no model {model!r}",)


class Plan(msgspec.Struct, frozen=True):
    """What to try, first to last. `attempts` is never empty."""

    policy: str
    """The policy's name, or `direct` for a concrete model."""
    attempts: tuple[Attempt, ...]
    scores: Scores
    start_tier: str
    """The tier the scores (or the client's choice of model) start at, available or not."""
    excluded: Mapping[str, Exclusion] = msgspec.field(default_factory=dict)


class Policy(Protocol):
    """Turns a request into a plan."""

    def plan(self, request: PlanRequest) -> Plan:
        """The attempts to make. Raises `NoRoute` when nothing may answer."""
        ...


@dataclass(frozen=True, slots=True)
class LadderPolicy:
    """Start at the cheapest tier whose score reaches the threshold; go up the ladder when a tier fails.

    - No tier reaches it: start at the first tier above the scored ones, which may be hosted if the request says
      `hosted: any`; without one, at the best on-premises tier.
    - Nothing is scored (no fitted file for these tiers, or scoring failed): the best on-premises tier. A missing score
      is no evidence that a prompt is hard, so it never sends one away.
    - A plan that starts at a tier off the premises ends with the best on-premises one, as `hosted: fallback` would
      have begun. No other plan goes down the ladder: an error the client retries beats an answer known to be weak.
    - Models without a live replica are left out as long as another one remains; a tier skipped for it is a fallback.
    """

    threshold: float = 0.7
    """Least P(answers well) to start at, in [0, 1]. The request's quality floor takes its place."""
    name: str = "ladder"

    def plan(self, request: PlanRequest) -> Plan:
        """See `Policy.plan`."""
        if request.model not in (AUTO, self.name):
            return direct(request)
        excluded = {each.model: why for each in request.candidates if (why := _exclusion(request, each))}
        usable = _by_tier(request.ladder, [each for each in request.candidates if each.model not in excluded])
        if not usable:
            raise NoRoute(request.model, excluded, _lacking(request))
        start = _start(request, usable, self.threshold if request.quality_floor is None else request.quality_floor)
        order = _order(request, usable, start)
        tried = [each for each in order if each.available] or order
        excluded |= {each.model: Exclusion.BELOW_START for each in usable if each not in order}
        excluded |= {each.model: Exclusion.UNAVAILABLE for each in order if each not in tried}
        return Plan(self.name, _attempts(tried, start), request.scores, start, excluded)


def direct(request: PlanRequest) -> Plan:
    """The plan for a concrete model: one attempt, or `NoRoute` when the request itself rules it out.

    Neither scores nor the quality floor are looked at: the client made the choice.
    """
    named = [each for each in request.candidates if each.model == request.model]
    if not named:
        raise UnknownModel(request.model)
    why = _forbidden(request, named[0])
    if why:
        raise NoRoute(request.model, {request.model: why}, _lacking(request))
    return Plan("direct", (Attempt(request.model, named[0].tier, Reason.DIRECT),), request.scores, named[0].tier)


def _lacking(request: PlanRequest) -> dict[str, list[str]]:
    """Model → capabilities the request needs and it has not."""
    return {each.model: sorted(request.needs - each.capabilities) for each in request.candidates}


def _forbidden(request: PlanRequest, candidate: Candidate) -> Exclusion | None:
    """What the request itself has against a candidate, whatever its tier or score."""
    names = {candidate.model, candidate.tier}
    if not request.needs <= candidate.capabilities:
        return Exclusion.NEEDS
    if names & request.deny:
        return Exclusion.DENIED
    if request.allow and not names & request.allow:
        return Exclusion.NOT_ALLOWED
    if candidate.leaves_premises and request.hosted == "never":
        return Exclusion.DATA_POLICY
    return None


def _exclusion(request: PlanRequest, candidate: Candidate) -> Exclusion | None:
    if candidate.tier not in request.ladder:
        return Exclusion.OFF_LADDER
    floor = request.quality_floor
    if floor is not None and request.scores.get(candidate.tier, floor) < floor:
        return _forbidden(request, candidate) or Exclusion.BELOW_FLOOR
    return _forbidden(request, candidate)


def _by_tier(ladder: Sequence[str], candidates: Sequence[Candidate]) -> list[Candidate]:
    return [each for tier in ladder for each in candidates if each.tier == tier]


def _start(request: PlanRequest, usable: Sequence[Candidate], threshold: float) -> str:
    """The tier to start at; see `LadderPolicy` for the rules. `usable` is in ladder order and not empty."""
    local = [each.tier for each in usable if not each.leaves_premises]
    open_tiers = {each.tier for each in usable} if request.hosted == "any" or not local else set(local)
    passed_over = False
    for tier in request.ladder:
        score = request.scores.get(tier)
        if tier in open_tiers and (passed_over if score is None else score >= threshold):
            return tier
        passed_over = passed_over or score is not None
    return local[-1] if local else usable[0].tier


def _order(request: PlanRequest, usable: Sequence[Candidate], start: str) -> list[Candidate]:
    """The start tier, then upward; models off the premises last under `hosted: fallback`."""
    rank = {tier: place for place, tier in enumerate(request.ladder)}
    upward = [each for each in usable if rank[each.tier] >= rank[start]]
    if request.hosted == "fallback":
        upward.sort(key=lambda each: each.leaves_premises)
    local = [each for each in usable if not each.leaves_premises]
    if not local or local[-1] in upward:
        return upward
    return [*upward, *(each for each in local if each.tier == local[-1].tier)]


def _attempts(candidates: Sequence[Candidate], start: str) -> tuple[Attempt, ...]:
    """The first attempt is the score's choice if it is in the start tier; all others are fallbacks."""
    first, *rest = candidates
    chosen = Attempt(first.model, first.tier, Reason.SCORE if first.tier == start else Reason.FALLBACK)
    return (chosen, *(Attempt(each.model, each.tier, Reason.FALLBACK) for each in rest))
