"""Both Abacus models serve on a CPU with their weights quantized to FP8 per channel, as the catalogue example says."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from models.catalog import load_catalog
from tests.cluster.live import LiveCluster, ask, engine_application, wait_for

EXAMPLE = Path(__file__).parents[2] / "models" / "examples" / "catalog-fp8.yaml"
MODELS = ("abacus-small", "abacus-large")


@pytest.fixture(scope="module")
def quantized(live: LiveCluster) -> Iterator[LiveCluster]:
    catalog = live.folder / "fp8.yaml"
    catalog.write_text(EXAMPLE.read_text().replace("../abacus/weights", str(_weights(live))))
    live.deploy([engine_application(model, catalog, name=f"fp8-{model}") for model in MODELS])
    live.wait_running([f"fp8-{model}" for model in MODELS])
    yield live
    live.deploy()


def _weights(live: LiveCluster) -> Path:
    engine = load_catalog(live.catalog).models["abacus-small"].engine
    assert engine is not None
    return Path(engine.source).parent


@pytest.mark.parametrize("model", MODELS)
def test_serves_with_fp8_weights(quantized: LiveCluster, model: str) -> None:
    replicas = wait_for(lambda: quantized.replicas(f"fp8-{model}"), what="the quantized replica")
    body = {"model": model, "messages": [{"role": "user", "content": "7 + 5"}], "max_tokens": 3, "ignore_eos": True}
    answer = ask(next(iter(replicas.values())) + "/v1/chat/completions", body=body, token=quantized.token)
    assert answer.status == 200
    assert answer.json()["usage"]["completion_tokens"] == 3
