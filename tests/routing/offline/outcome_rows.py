"""Made-up outcomes for the tests of offline evaluation: three models, two tasks, one of them hard for the weak."""

import msgspec
import numpy as np

from routing.offline.outcomes import Outcome, Row

MODELS = ("small", "middle", "large")
PRICES = {"small": 1e-4, "middle": 4e-4, "large": 2e-3}
RIGHT = {"easy": (0.9, 0.92, 0.95), "hard": (0.2, 0.6, 0.9)}


def outcome_rows(count: int = 200, *, costs: bool = True, tasks: int = 2, seed: int = 0) -> list[Row]:
    """Every model is right with its task's probability; hard prompts are longer."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        task = ("easy", "hard")[number % tasks]
        chance = rng.random()
        outcomes = {
            model: Outcome(score=float(chance < right), cost_usd=PRICES[model] if costs else None)
            for model, right in zip(MODELS, RIGHT[task], strict=True)
        }
        prompt = "why " * int(rng.integers(1, 6) + (3 if task == "hard" else 0))
        rows.append(Row(f"{task}/{number}", "made-up", task, prompt, outcomes))
    return rows


def confident(rows: list[Row], seed: int = 0) -> list[Row]:
    """Confidences that overrate the weak model and still tell right from wrong."""
    rng = np.random.default_rng(seed)
    found = []
    for row in rows:
        one = row.outcomes["small"]
        sure = float(np.clip(0.75 + 0.2 * (one.score - 0.5) + rng.normal(0, 0.05), 0, 1))
        found.append(
            msgspec.structs.replace(
                row, outcomes=row.outcomes | {"small": msgspec.structs.replace(one, confidence=sure)}
            )
        )
    return found
