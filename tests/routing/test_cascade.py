"""The cascade, driven with lists: no event loop, no upstream."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.cascade import AcceptAll, Attempt, Cascade, Evidence, Judge, Reason, Verdict, cascade

SMALL = Attempt("small-1", "small", Reason.SCORE)
LARGE = Attempt("large-1", "large", Reason.FALLBACK)
HOSTED = Attempt("hosted-1", "hosted", Reason.FALLBACK)
FAILED = Evidence(Verdict.FAILED, status=503)
GOOD = Evidence(Verdict.ANSWERED, status=200, text="good")
WEAK = Evidence(Verdict.ANSWERED, status=200, text="weak")


class AcceptGood:
    """Accepts answers that say they are good."""

    def accepts(self, attempt: Attempt, evidence: Evidence) -> bool:
        return evidence.text == "good"


def drive(run: Cascade, answers: list[Evidence]) -> list[Attempt]:
    """The attempts made when they are answered in turn by `answers`."""
    made: list[Attempt] = []
    try:
        made.append(next(run))
        for answer in answers:
            made.append(run.send(answer))
    except StopIteration:
        pass
    return made


@pytest.mark.parametrize(
    ("answers", "models"),
    [
        ([GOOD], ["small-1"]),
        ([FAILED, GOOD], ["small-1", "large-1"]),
        ([FAILED, FAILED, GOOD], ["small-1", "large-1", "hosted-1"]),
        ([FAILED, FAILED, FAILED], ["small-1", "large-1", "hosted-1"]),
        ([WEAK], ["small-1"]),
    ],
    ids=["first answers", "second answers", "third answers", "all fail", "without a judge a weak answer stands"],
)
def test_failures_go_up_until_something_answers(answers: list[Evidence], models: list[str]) -> None:
    assert [attempt.model for attempt in drive(cascade([SMALL, LARGE, HOSTED]), answers)] == models


def test_planned_reasons_stand_while_nothing_is_rejected() -> None:
    assert drive(cascade([SMALL, LARGE]), [FAILED, GOOD]) == [SMALL, LARGE]


def test_a_rejected_answer_escalates() -> None:
    made = drive(cascade([SMALL, LARGE, HOSTED], AcceptGood()), [WEAK, GOOD])
    assert [(attempt.model, attempt.reason) for attempt in made] == [
        ("small-1", Reason.SCORE),
        ("large-1", Reason.ESCALATION),
    ]


def test_a_failure_after_a_rejection_is_a_fallback() -> None:
    made = drive(cascade([SMALL, LARGE, HOSTED], AcceptGood()), [WEAK, FAILED, GOOD])
    assert [attempt.reason for attempt in made] == [Reason.SCORE, Reason.ESCALATION, Reason.FALLBACK]


def test_the_last_answer_is_delivered_unjudged() -> None:
    run = cascade([SMALL], AcceptGood())
    next(run)
    with pytest.raises(StopIteration):
        run.send(WEAK)


def test_nothing_to_try() -> None:
    assert drive(cascade([]), []) == []


ATTEMPTS = st.lists(st.sampled_from([SMALL, LARGE, HOSTED]), max_size=6)
EVIDENCE = st.lists(st.sampled_from([FAILED, GOOD, WEAK]), min_size=8, max_size=8)


@given(ATTEMPTS, EVIDENCE, st.sampled_from([AcceptAll(), AcceptGood()]))
def test_never_more_attempts_than_planned_and_none_after_acceptance(
    attempts: list[Attempt], answers: list[Evidence], judge: Judge
) -> None:
    made = drive(cascade(attempts, judge), answers)
    assert [attempt.model for attempt in made] == [attempt.model for attempt in attempts[: len(made)]]
    before_last = list(zip(made[:-1], answers, strict=False))
    assert not any(
        answer.verdict is Verdict.ANSWERED and judge.accepts(attempt, answer) for attempt, answer in before_last
    )
    if 0 < len(made) < len(attempts):
        assert judge.accepts(made[-1], answers[len(made) - 1])
