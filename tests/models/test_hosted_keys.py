"""Keys of hosted APIs: found where the catalogue says, named when missing, never shown."""

from pathlib import Path

import pytest

from models.catalog import load_catalog
from models.errors import CatalogError
from models.hosted_keys import check_secrets, read_hosted_key
from models.spec import HostedSpec

CATALOG = """\
ladder: [hosted]
models:
  - name: away
    tier: hosted
    context_length: 4096
    capabilities: [chat]
    price: {usd_per_million_input_tokens: 2, usd_per_million_output_tokens: 8}
    leaves_premises: true
    hosted: {base_url: "https://api.example.com/v1", model: big, WHERE}
"""


def written(folder: Path, where: str) -> Path:
    path = folder / "catalog.yaml"
    path.write_text(CATALOG.replace("WHERE", where))
    return path


@pytest.mark.parametrize(
    ("env", "reason"),
    [
        pytest.param({}, "environment variable AWAY_KEY is not set", id="missing"),
        pytest.param({"AWAY_KEY": ""}, "environment variable AWAY_KEY is empty", id="empty"),
        pytest.param({"AWAY_KEY": " \n"}, "environment variable AWAY_KEY is empty", id="blank"),
        pytest.param({"AWAY_KEY": "hush hush"}, "no spaces or line breaks", id="two words"),
        pytest.param({"AWAY_KEY": "hüsh"}, "printable ASCII", id="not ASCII"),
    ],
)
def test_a_key_that_cannot_be_used_is_reported_with_its_variable(
    tmp_path: Path, env: dict[str, str], reason: str
) -> None:
    path = written(tmp_path, "key_env: AWAY_KEY")

    (message,) = check_secrets(load_catalog(path), env)

    assert message.startswith(f"{path}: models[0].hosted.key_env: away: ")
    assert reason in message
    assert "hush" not in message


def test_the_catalogue_loads_without_the_key_unless_an_environment_is_given(tmp_path: Path) -> None:
    path = written(tmp_path, "key_env: AWAY_KEY")

    assert load_catalog(path).models
    assert load_catalog(path, env={"AWAY_KEY": "hush"}).models
    with pytest.raises(CatalogError, match="AWAY_KEY is not set"):
        load_catalog(path, env={})


def test_a_key_file_is_read_beside_the_catalogue(tmp_path: Path) -> None:
    catalog = load_catalog(written(tmp_path, "key_file: away.key"))
    hosted = catalog.models["away"].hosted
    assert hosted is not None

    (missing,) = check_secrets(catalog, {})
    (tmp_path / "away.key").write_text("hush\n")

    assert f"key_file {tmp_path / 'away.key'} cannot be read: No such file" in missing
    assert check_secrets(catalog, {}) == []
    assert read_hosted_key(hosted, {}) == "hush"


def test_a_binary_key_file_is_refused_without_showing_it(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"\xff\xfe")
    hosted = HostedSpec(base_url="https://x/v1", model="m", key_file=tmp_path / "key")

    with pytest.raises(CatalogError, match="not text"):
        read_hosted_key(hosted, {})
