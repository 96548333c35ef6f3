"""The ladder policy: where it starts, what it falls back to, what it refuses, and what holds for every request."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from routing.cascade import Attempt, Reason
from routing.policy import AUTO, Candidate, Exclusion, Hosted, LadderPolicy, NoRoute, Plan, PlanRequest, UnknownModel

CHAT = frozenset({"chat"})
SMALL = Candidate("s", "small", capabilities=CHAT)
LARGE = Candidate("l", "large", capabilities=CHAT | {"tools"})
HOSTED = Candidate("h", "hosted", leaves_premises=True, capabilities=CHAT | {"tools"})
LADDER = ("small", "large", "hosted")
REQUEST = PlanRequest(AUTO, LADDER, (SMALL, LARGE, HOSTED), {"small": 0.9, "large": 0.95}, needs=CHAT)
HARD = replace(REQUEST, scores={"small": 0.1, "large": 0.2})
POLICY = LadderPolicy(0.7)


def models(plan: Plan) -> list[str]:
    return [attempt.model for attempt in plan.attempts]


def down(*names: str) -> tuple[Candidate, ...]:
    return tuple(replace(each, available=each.model not in names) for each in REQUEST.candidates)


@pytest.mark.parametrize(
    ("request_", "expected", "start"),
    [
        (REQUEST, ["s", "l", "h"], "small"),
        (replace(REQUEST, model="ladder"), ["s", "l", "h"], "small"),
        (replace(REQUEST, scores={"small": 0.7, "large": 0.1}), ["s", "l", "h"], "small"),
        (replace(REQUEST, scores={"small": 0.3, "large": 0.8}), ["l", "h"], "large"),
        (HARD, ["h", "l"], "hosted"),
        (replace(HARD, hosted="fallback"), ["l", "h"], "large"),
        (replace(HARD, hosted="never"), ["l"], "large"),
        (replace(HARD, scores={"small": 0.1}), ["l", "h"], "large"),
        (replace(HARD, scores={"large": 0.1}), ["h", "l"], "hosted"),
        (replace(REQUEST, scores={}), ["l", "h"], "large"),
        (replace(REQUEST, scores={"elsewhere": 0.1}), ["l", "h"], "large"),
        (replace(REQUEST, scores={}, candidates=(HOSTED,)), ["h"], "hosted"),
        (replace(HARD, candidates=(SMALL, LARGE)), ["l"], "large"),
        (replace(HARD, candidates=(HOSTED,), hosted="fallback"), ["h"], "hosted"),
        (replace(REQUEST, needs=CHAT | {"tools"}), ["l", "h"], "large"),
        (replace(REQUEST, deny=frozenset({"small"})), ["l", "h"], "large"),
        (replace(REQUEST, allow=frozenset({"l", "small"})), ["s", "l"], "small"),
        (replace(REQUEST, quality_floor=0.92), ["l", "h"], "large"),
        (replace(REQUEST, quality_floor=0.99), ["h"], "hosted"),
        (replace(REQUEST, quality_floor=0.1, scores={"small": 0.2, "large": 0.9}), ["s", "l", "h"], "small"),
        (replace(REQUEST, quality_floor=0.99, scores={}), ["l", "h"], "large"),
        (replace(REQUEST, ladder=("hosted", "large", "small"), scores={"small": 0.9}), ["s"], "small"),
    ],
    ids=[
        "easy",
        "the policy's own name",
        "a score equal to the threshold",
        "medium",
        "hard goes to the hosted tier, and on premises if that fails",
        "hard, hosted as a fallback only",
        "hard, hosted never",
        "an unscored tier above one too weak",
        "an unscored tier below one too weak",
        "nothing scored",
        "only other tiers scored",
        "nothing scored, nothing on premises",
        "hard, no hosted tier",
        "fallback with nothing on premises",
        "needs what small lacks",
        "denied tier",
        "allowed model and tier",
        "quality floor above small",
        "quality floor above all that is scored",
        "quality floor below the threshold",
        "quality floor without scores",
        "the ladder's order decides, not the candidates'",
    ],
)
def test_where_a_plan_starts_and_what_follows(request_: PlanRequest, expected: list[str], start: str) -> None:
    plan = POLICY.plan(request_)
    assert models(plan) == expected
    assert plan.start_tier == start
    assert [attempt.reason for attempt in plan.attempts] == [Reason.SCORE] + [Reason.FALLBACK] * (len(expected) - 1)
    assert plan.policy == "ladder"
    assert plan.scores == request_.scores


@pytest.mark.parametrize(
    ("candidates", "expected", "first"),
    [
        (down("s"), ["l", "h"], Reason.FALLBACK),
        (down("l"), ["s", "h"], Reason.SCORE),
        (down("s", "l"), ["h"], Reason.FALLBACK),
        (down("s", "l", "h"), ["s", "l", "h"], Reason.SCORE),
    ],
    ids=["start tier down", "next tier down", "all on premises down", "everything down"],
)
def test_models_without_a_replica_are_skipped_while_others_remain(
    candidates: tuple[Candidate, ...], expected: list[str], first: Reason
) -> None:
    plan = POLICY.plan(replace(REQUEST, candidates=candidates))
    assert models(plan) == expected
    assert plan.attempts[0].reason is first
    assert plan.start_tier == "small"


def test_two_models_of_a_tier_are_tried_in_their_order() -> None:
    second = replace(SMALL, model="s2")
    plan = POLICY.plan(replace(REQUEST, candidates=(SMALL, LARGE, second, HOSTED)))
    assert models(plan) == ["s", "s2", "l", "h"]


def test_in_a_mixed_tier_fallback_prefers_what_stays_on_the_premises() -> None:
    elsewhere = replace(LARGE, model="l-elsewhere", leaves_premises=True)
    request = replace(REQUEST, candidates=(elsewhere, SMALL, LARGE), scores={"small": 0.1, "large": 0.9})
    assert models(POLICY.plan(replace(request, hosted="any"))) == ["l-elsewhere", "l"]
    assert models(POLICY.plan(replace(request, hosted="fallback"))) == ["l", "l-elsewhere"]
    assert models(POLICY.plan(replace(request, hosted="never"))) == ["l"]


def test_a_plan_says_what_it_leaves_out_and_why() -> None:
    embed = Candidate("e", "embed", capabilities=CHAT)
    request = replace(REQUEST, candidates=(*down("h"), embed), scores={"small": 0.1, "large": 0.9})
    assert POLICY.plan(request).excluded == {
        "e": Exclusion.OFF_LADDER,
        "s": Exclusion.BELOW_START,
        "h": Exclusion.UNAVAILABLE,
    }


@pytest.mark.parametrize(
    ("request_", "model", "why"),
    [
        (replace(REQUEST, needs=CHAT | {"vision"}), "l", Exclusion.NEEDS),
        (replace(REQUEST, deny=frozenset({"s", "l", "h"})), "s", Exclusion.DENIED),
        (replace(REQUEST, allow=frozenset({"other"})), "s", Exclusion.NOT_ALLOWED),
        (replace(REQUEST, candidates=(HOSTED,), hosted="never"), "h", Exclusion.DATA_POLICY),
        (replace(REQUEST, candidates=(SMALL,), quality_floor=0.95), "s", Exclusion.BELOW_FLOOR),
        (replace(REQUEST, ladder=()), "s", Exclusion.OFF_LADDER),
        (replace(REQUEST, model="l", deny=frozenset({"large"})), "l", Exclusion.DENIED),
        (replace(REQUEST, model="l", allow=frozenset({"small"})), "l", Exclusion.NOT_ALLOWED),
        (replace(REQUEST, model="h", hosted="never"), "h", Exclusion.DATA_POLICY),
        (replace(REQUEST, model="s", needs=frozenset({"embeddings"})), "s", Exclusion.NEEDS),
    ],
    ids=[
        "needs",
        "all denied",
        "none allowed",
        "data policy",
        "quality floor",
        "empty ladder",
        "concrete, tier denied",
        "concrete, not allowed",
        "concrete, data policy",
        "concrete, needs",
    ],
)
def test_no_route_says_why(request_: PlanRequest, model: str, why: Exclusion) -> None:
    with pytest.raises(NoRoute) as caught:
        POLICY.plan(request_)
    assert caught.value.model == request_.model
    assert caught.value.excluded[model] is why
    assert f"{model} {why.value}" in str(caught.value)
    assert not isinstance(caught.value, UnknownModel)


def test_no_route_names_the_capabilities_that_are_missing() -> None:
    able = Candidate("able", "small", capabilities=frozenset({"chat", "json", "tools"}))
    unable = Candidate("unable", "small", capabilities=frozenset({"chat"}))
    needy = PlanRequest(
        "auto", ("small",), (able, unable), needs=frozenset({"chat", "tools", "json"}), deny=frozenset({"able"})
    )
    with pytest.raises(NoRoute) as caught:
        POLICY.plan(needy)
    assert str(caught.value).endswith("deny list; unable lacks a capability the request needs: json, tools")


def test_no_route_without_any_model() -> None:
    with pytest.raises(NoRoute, match="no model is configured"):
        POLICY.plan(replace(REQUEST, candidates=()))


def test_an_unknown_model_is_told_apart() -> None:
    with pytest.raises(UnknownModel, match="there is no model 'gpt'"):
        POLICY.plan(replace(REQUEST, model="gpt"))


@pytest.mark.parametrize("hosted", ["fallback", "any"])
def test_a_concrete_model_goes_straight_whatever_its_score_tier_or_state(hosted: Hosted) -> None:
    off_ladder = Candidate("e", "embed", leaves_premises=True, capabilities=CHAT, available=False)
    request = replace(REQUEST, model="e", candidates=(off_ladder, SMALL), hosted=hosted, quality_floor=1.0)
    plan = POLICY.plan(request)
    assert plan.attempts == (Attempt("e", "embed", Reason.DIRECT),)
    assert (plan.policy, plan.start_tier) == ("direct", "embed")


NAMES = ("a", "b", "c", "d", "e")
TIERS = (*LADDER, "off")
CANDIDATES = st.lists(
    st.builds(
        Candidate,
        st.sampled_from(NAMES),
        st.sampled_from(TIERS),
        st.booleans(),
        st.sampled_from([CHAT, CHAT | {"tools"}]),
        st.booleans(),
    ),
    max_size=5,
    unique_by=lambda candidate: candidate.model,
)
SETS = st.frozensets(st.sampled_from([*NAMES, *TIERS]), max_size=3)
REQUESTS = st.builds(
    PlanRequest,
    model=st.sampled_from([AUTO, "ladder", *NAMES]),
    ladder=st.just(LADDER),
    candidates=CANDIDATES,
    scores=st.dictionaries(st.sampled_from(TIERS), st.floats(0, 1)),
    needs=st.sampled_from([CHAT, CHAT | {"tools"}]),
    hosted=st.sampled_from(get_args(Hosted)),
    allow=SETS,
    deny=SETS,
    quality_floor=st.none() | st.floats(0, 1),
)


@given(REQUESTS, st.floats(0, 1))
def test_every_plan_keeps_the_request_s_terms(request_: PlanRequest, threshold: float) -> None:
    try:
        plan = LadderPolicy(threshold).plan(request_)
    except NoRoute:
        return
    tried = [each for name in models(plan) for each in request_.candidates if each.model == name]
    assert plan.attempts
    assert len(set(models(plan))) == len(plan.attempts)
    assert not {each.model for each in tried} & set(plan.excluded)
    for each in tried:
        assert request_.needs <= each.capabilities
        assert not {each.model, each.tier} & request_.deny
        assert not request_.allow or {each.model, each.tier} & request_.allow
        assert not (each.leaves_premises and request_.hosted == "never")
    if request_.model in NAMES:
        assert plan.attempts == (Attempt(request_.model, tried[0].tier, Reason.DIRECT),)
        return
    assert {*models(plan), *plan.excluded} == {each.model for each in request_.candidates}
    floor = request_.quality_floor
    assert floor is None or all(request_.scores.get(each.tier, floor) >= floor for each in tried)
    assert len({each.available for each in tried}) == 1, "a dead model is tried only where all are dead"


@given(REQUESTS, st.floats(0, 1))
def test_plans_go_up_the_ladder(request_: PlanRequest, threshold: float) -> None:
    """But for the best on-premises tier at the end of a plan that starts off the premises."""
    try:
        plan = LadderPolicy(threshold).plan(replace(request_, model=AUTO))
    except NoRoute:
        return
    leaves = {each.model: each.leaves_premises for each in request_.candidates}
    start, names = LADDER.index(plan.start_tier), models(plan)
    ranks = [LADDER.index(attempt.tier) for attempt in plan.attempts]
    upward = [rank for rank in ranks if rank >= start]
    if request_.hosted == "fallback":
        assert [leaves[name] for name in names] == sorted(leaves[name] for name in names)
    else:
        assert upward == sorted(upward)
    below = [name for name, rank in zip(names, ranks, strict=True) if rank < start]
    assert not any(leaves[name] for name in below)
    assert names[len(names) - len(below) :] == below


@given(REQUESTS, st.floats(0, 1), st.floats(0, 1))
def test_a_higher_threshold_never_starts_lower_on_the_premises(request_: PlanRequest, one: float, other: float) -> None:
    request_ = replace(request_, model=AUTO, hosted="never", quality_floor=None)
    try:
        starts = [LadderPolicy(threshold).plan(request_).start_tier for threshold in sorted((one, other))]
    except NoRoute:
        return
    assert LADDER.index(starts[0]) <= LADDER.index(starts[1])
