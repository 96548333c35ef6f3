"""The baselines on public outcomes, beside what others measured: if these differ, nothing else can be compared.

Shown, not judged. Published values are named in the row, from the data folder's own notes.
"""

from dataclasses import dataclass

from benchmarks.data import RoutingData
from benchmarks.report import Bar
from routing.offline.evaluate import Evaluation, evaluate
from routing.offline.metrics import RESAMPLES
from routing.offline.pools import PoolResult

MIXTRAL, GPT_4 = "mistralai/Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview"
LLAMAS = ("llama3.1-8b", "llama3.1-70b", "llama3.1-405b")
MIXED = frozenset({"mmlu", "medmcqa", "triviaqa", "truthfulqa"})


@dataclass(frozen=True, slots=True)
class Yardstick:
    """One file, two models, and the APGR that was measured before for each baseline."""

    title: str
    file: str
    models: tuple[str, str]
    labels: int | None
    apgr: dict[str, float]


YARDSTICKS = (
    Yardstick(
        "MMLU", "routellm-mmlu", (MIXTRAL, GPT_4), None,
        {"random": 0.502, "prompt length": 0.583, "task identity": 0.674, "oracle": 1.268},
    ),
    Yardstick(
        "MMLU, 1,500 labels", "routellm-mmlu", (MIXTRAL, GPT_4), 1500,
        {"random": 0.502, "prompt length": 0.580, "task identity": 0.642, "oracle": 1.269},
    ),
    Yardstick(
        "GSM8K", "routellm-gsm8k", (MIXTRAL, GPT_4), None,
        {"random": 0.500, "prompt length": 0.597, "oracle": 1.115},
    ),
    Yardstick(
        "MT-Bench", "routellm-mtbench", (MIXTRAL, GPT_4), None,
        {"random": 0.493, "prompt length": 0.523, "task identity": 0.698, "oracle": 0.953},
    ),
    Yardstick(
        "llmrouter 8B to 51B", "llmrouter", ("llama-3.1-8b-instruct", "llama-3.1-nemotron-51b-instruct"), None,
        {"random": 0.500, "prompt length": 0.627, "task identity": 0.851, "oracle": 2.05},
    ),
)  # fmt: skip
LINEAR = 0.778
"""Area of the single Llama models on the mixed workload, as measured before."""


def yardsticks(data: RoutingData, *, resamples: int = RESAMPLES) -> list[Bar]:
    """Baselines between two models and, for the mixed workload, by cost."""
    found = [bar for one in YARDSTICKS for bar in _beside(one, data, resamples)]
    return found + [
        _area(one) for one in mixed(data, resamples).pool if one.name in ("linear (single models)", *_POOL_BASELINES)
    ]


_POOL_BASELINES = ("random", "prompt length", "task identity", "oracle")


def _beside(yardstick: Yardstick, data: RoutingData, resamples: int) -> list[Bar]:
    found = baselines_of(yardstick, data, resamples)
    return [
        Bar(
            f"{yardstick.title}: {one.name} (before: {yardstick.apgr[one.name]})",
            one.apgr.value,
            "APGR",
            low=one.apgr.low,
            high=one.apgr.high,
        )
        for one in found.pair
        if one.name in yardstick.apgr
    ]


def baselines_of(yardstick: Yardstick, data: RoutingData, resamples: int = RESAMPLES) -> Evaluation:
    """Baselines alone, intervals included."""
    return evaluate(
        data.rows(yardstick.file), yardstick.models, labels=yardstick.labels, resamples=resamples, learned=False
    )


def mixed(data: RoutingData, resamples: int = RESAMPLES) -> Evaluation:
    """The mixed workload's baselines: four tasks, three Llama models, costs as billed, five folds of seed 1."""
    rows = [row for row in data.rows("mzelling-llama") if row.task in MIXED]
    return evaluate(rows, LLAMAS, seed=1, resamples=resamples, learned=False)


def _area(one: PoolResult) -> Bar:
    before = f" (before: {LINEAR})" if one.name.startswith("linear") else ""
    return Bar(f"mixed: {one.name}{before}", one.area.value, "area", low=one.area.low, high=one.area.high)
