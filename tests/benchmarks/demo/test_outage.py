"""Living through an outage: asks until the model is back, counts everything, kills nothing but replicas."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from benchmarks.demo import outage
from benchmarks.demo.asking import Answer
from benchmarks.demo.outage import AT_ONCE, BACK_AFTER, kill_replica, live_through
from models.abacus.tasks import Problem, held_out

PROBLEMS = held_out(2, seed=1)


class Cluster:
    """Answers from the hosted tier until `back_at` questions were asked, then from the model."""

    def __init__(self, back_at: int) -> None:
        self._back_at = back_at
        self.asked: list[tuple[Problem, bool]] = []

    async def ask(self, problem: Problem, stream: bool) -> Answer:
        self.asked.append((problem, stream))
        answer = Answer(problem, stream, problem.answer, model="stand-in", tier="hosted", stand_in=True, attempts=2)
        if len(self.asked) <= self._back_at:
            return answer
        return replace(answer, model="large-model", tier="large", stand_in=False, attempts=1)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "PAUSE_S", 0.0)


async def test_it_asks_until_the_model_answers_again() -> None:
    cluster = Cluster(back_at=10)
    heard: list[Answer] = []
    lived = await live_through(PROBLEMS, "large-model", cluster.ask, lambda _, answer: heard.append(answer))
    assert lived.back
    assert lived.answers == heard
    assert [answer.tier for answer in heard].count("hosted") == 10
    assert [answer.tier for answer in heard].count("large") == BACK_AFTER
    assert {stream for _, stream in cluster.asked} == {True, False}
    assert [problem for problem, _ in cluster.asked[: len(PROBLEMS)]] == PROBLEMS


async def test_a_model_that_stays_away_ends_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "LIMIT_S", 0.05)
    lived = await live_through(PROBLEMS, "large-model", Cluster(back_at=10**9).ask, lambda *_: None)
    assert not lived.back
    assert lived.away_s >= 0.05
    assert len(lived.answers) >= AT_ONCE


def test_only_a_replica_is_killed() -> None:
    with pytest.raises(ValueError, match="no Serve replica"):
        kill_replica(os.getpid())


def test_a_replica_is_killed_at_once() -> None:
    titled = [sys.executable, "-c", "print('up', flush=True); input()", "ray::ServeReplica:engine-x:Engine"]
    with subprocess.Popen(titled, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        kill_replica(process.pid)
        assert process.wait(20) == -9
