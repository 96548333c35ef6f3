"""What Serve calls to build an engine application refuses arguments that cannot work."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from models.catalog import DEFAULT_CATALOG
from serving.app import EngineArgs, engine
from serving.errors import ConfigError

CATALOG = """
ladder: [hosted]
models:
  - name: elsewhere
    tier: hosted
    context_length: 1024
    capabilities: [chat]
    price: {usd_per_million_input_tokens: 1.0, usd_per_million_output_tokens: 1.0}
    leaves_premises: true
    hosted: {base_url: "http://127.0.0.1:9/v1", model: m, key_env: KEY}
"""


def test_unknown_arguments_are_refused() -> None:
    with pytest.raises(ValidationError, match="replicas"):
        EngineArgs.model_validate({"catalog": DEFAULT_CATALOG, "model": "m", "replicas": 2})


@pytest.mark.filterwarnings("ignore")  # importing Serve warns about others
@pytest.mark.parametrize("model", ["nobody", "elsewhere"])
def test_a_model_we_do_not_host_is_refused(tmp_path: Path, model: str) -> None:
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text(CATALOG)
    with pytest.raises(ConfigError, match=f"no self-hosted model '{model}'"):
        engine(EngineArgs(catalog=catalog, model=model))
