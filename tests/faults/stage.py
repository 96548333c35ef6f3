"""What stands behind the gateway of the scripted faults, and who answers there.

`engine-7` and `hosted-7` are the same faulty stand-in, reached over the two transports; `second` is the good one, a
tier above. Each fault takes a number of its own, so that no breaker or pause carries over from another test. Only
models of faults that are silence have short timeouts: a busy machine must not look like a fault.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.cluster.live import wait_for
from tests.doubles.stand_in_process import StandInProcess
from tests.faults.processes import Behind, LoneGateway, engine_model, hosted_model

MODELS = 100
"""Of each role and patience; the tests of one session take one each."""
ROLES = ("engine", "hosted")
KINDS = ("engine", "engine-quick", "hosted", "hosted-quick")
SECOND = "second"
PATIENT = {"connect_s": 10.0, "first_token_s": 20.0, "idle_s": 20.0, "total_s": 40.0}
SILENCE = frozenset({"hang", "stall_after"})
"""What only a timeout ends."""
NO_SCRIPT: Mapping[str, Any] = {}
UNBUDGETED = {"retry_ratio": 1, "retry_floor": 10_000, "canary_interval_s": 3600}
"""Settings of the stage: nearly every request here needs a retry, and nobody else shall ask the stand-ins."""


@dataclass(slots=True)
class Stage:
    """The gateway and the two stand-ins. `fresh` gives a model no test has used."""

    gateway: LoneGateway
    faulty: StandInProcess
    good: StandInProcess
    _numbers: Mapping[str, Iterator[int]] = field(default_factory=lambda: {kind: iter(range(MODELS)) for kind in KINDS})

    def fresh(self, role: str, script: Mapping[str, Any] = NO_SCRIPT) -> str:
        """`role`: engine or hosted; `script` tells whether it takes patience or not."""
        kind = f"{role}-quick" if SILENCE & script.keys() else role
        return f"{kind}-{next(self._numbers[kind])}"

    def wait_proven(self) -> None:
        """Until nobody is asked for a token any more."""
        proven = len(KINDS) * MODELS + 1
        wait_for(lambda: self.gateway.metric("millrace_probes_total", outcome="passed") >= proven, what="the stage")

    def attempts(self, decision: str) -> tuple[int, int]:
        """How often the request of this decision reached the faulty stand-in, and the good one."""
        return _count(self.faulty, decision), _count(self.good, decision)


def _count(stand_in: StandInProcess, decision: str) -> int:
    """Upstreams know a request as `<decision>-<number of the attempt>`."""
    return sum(seen.rpartition("-")[0] == decision for seen, _ in stand_in.requests())


def behind(faulty_url: str, good_url: str) -> Behind:
    """The catalogue and replicas of the stage."""
    names = {kind: [f"{kind}-{number}" for number in range(MODELS)] for kind in KINDS}
    models = [engine_model(name, "small", **PATIENT) for name in names["engine"]]
    models += [engine_model(name, "small") for name in names["engine-quick"]]
    models += [hosted_model(name, "small", faulty_url, **PATIENT) for name in names["hosted"]]
    models += [hosted_model(name, "small", faulty_url) for name in names["hosted-quick"]]
    models.append(engine_model(SECOND, "large", **PATIENT))
    faulty = {name: [faulty_url] for name in names["engine"] + names["engine-quick"]}
    return Behind(models, {**faulty, SECOND: [good_url]})


def between(model: str) -> dict[str, Any]:
    """The routing that leaves a request the faulty `model` first and the good one after it."""
    return {"allow": [model, SECOND]}
