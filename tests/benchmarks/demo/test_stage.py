"""The demo's configuration is the shipped one, with the stand-in's address and without models outside the ladder."""

from pathlib import Path

import yaml

from benchmarks.demo.stage import CATALOG, SERVE_CONFIG, model_of_tier, write_config

URL = "http://127.0.0.1:1234/v1"


def test_the_shipped_ladder_with_the_stand_in_at_its_place(tmp_path: Path) -> None:
    config = write_config(tmp_path, URL)
    shipped, written = (yaml.safe_load(path.read_text()) for path in (CATALOG, tmp_path / "catalog.yaml"))
    assert written["ladder"] == shipped["ladder"]
    assert [model["tier"] for model in written["models"]] == shipped["ladder"]
    by_name = {model["name"]: model for model in written["models"]}
    assert by_name["stand-in"]["hosted"]["base_url"] == URL
    assert by_name["stand-in"]["hosted"]["stand_in"] is True
    small = next(model for model in shipped["models"] if model["tier"] == "small")
    assert by_name[small["name"]]["engine"]["args"] == small["engine"]["args"]
    assert Path(by_name[small["name"]]["engine"]["path"]) == CATALOG.parent / small["engine"]["path"]
    assert config == tmp_path / "serve_config.yaml"


def test_every_engine_of_the_ladder_and_the_gateway_are_deployed(tmp_path: Path) -> None:
    serve = yaml.safe_load(write_config(tmp_path, URL).read_text())
    names = [application["name"] for application in serve["applications"]]
    assert names == ["gateway", f"engine-{model_of_tier('small')}", f"engine-{model_of_tier('large')}"]
    assert {application["args"]["catalog"] for application in serve["applications"]} == {str(tmp_path / "catalog.yaml")}
    shipped = yaml.safe_load(SERVE_CONFIG.read_text())
    assert serve["applications"][0]["deployments"] == shipped["applications"][0]["deployments"]
