"""The gateway alone: its command line refuses what cannot work, and what it builds starts."""

from pathlib import Path

import pytest
import typer

from models.catalog import DEFAULT_CATALOG
from models.spec import Catalog
from serving.errors import ConfigError
from serving.gateway import Gateway
from serving.settings import Settings
from serving.standalone import build, serve
from tests.serving.world import LADDER, engine_spec

CATALOG = Catalog(path=Path("catalog.yaml"), ladder=LADDER, models={"small": engine_spec("small")})


def test_it_builds_a_gateway() -> None:
    assert isinstance(build(CATALOG, Settings(), ["small=http://h:1", "small=http://h:2"]), Gateway)


def test_a_replica_without_a_url() -> None:
    with pytest.raises(ConfigError, match="'small': must be NAME=VALUE"):
        build(CATALOG, Settings(), ["small"])


@pytest.mark.parametrize(
    ("setting", "says"),
    [("max_body_bytes=-1", "max_body_bytes"), ("max_body=1", "max_body"), ("nothing", "must be NAME=VALUE")],
    ids=["bad value", "unknown", "no value"],
)
def test_settings_that_cannot_work_are_said_and_end_with_two(
    setting: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as caught:
        serve(catalog=DEFAULT_CATALOG, setting=[setting], replica=None)
    assert caught.value.exit_code == 2
    assert says in capsys.readouterr().err


def test_a_catalogue_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as caught:
        serve(catalog=tmp_path / "none.yaml", setting=None, replica=None)
    assert caught.value.exit_code == 2
    assert "none.yaml" in capsys.readouterr().err
