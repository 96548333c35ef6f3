"""The commands against a real gateway and real files; no Ray."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from serving.cli import app, main
from serving.cluster.ray_head import ClusterError
from serving.cluster.state import AppState
from serving.commands.status import report
from serving.keys import KeyRing, read_keys
from tests.doubles.running_gateway import GatewayServer


def run(*arguments: str, env: Mapping[str, str]) -> Result:
    return CliRunner().invoke(app, list(arguments), env=dict(env))


async def chat(gateway: GatewayServer, folder: Path, *arguments: str, key: str | None = None) -> Result:
    env = {"MILLRACE_HOME": str(folder), "MILLRACE_URL": gateway.url, "MILLRACE_API_KEY": key or gateway.key}
    return await asyncio.to_thread(run, "chat", *arguments, env=env)


async def test_chat_prints_the_answer_and_then_the_decision(gateway: GatewayServer, tmp_path: Path) -> None:
    done = await chat(gateway, tmp_path, "Sort 4 2 3.")
    assert done.exit_code == 0, done.output
    text, decision = done.output.strip().split("\n")
    assert text == "2 3 4"
    assert decision.startswith("[small-model (small), attempts 1, 0.")
    assert " USD, request " in decision


async def test_chat_says_when_a_stand_in_answered(gateway: GatewayServer, tmp_path: Path) -> None:
    done = await chat(gateway, tmp_path, "--model", "hosted-model", "Sort 4 2 3.")
    assert "[hosted-model (hosted, a stand-in)" in done.output


async def test_chat_with_an_answer_cut_short_fails(gateway: GatewayServer, tmp_path: Path) -> None:
    gateway.house.small.script(default={"cut_after": 3})
    done = await chat(gateway, tmp_path, "--model", "small-model", "Sort 4 2 3.")
    assert isinstance(done.exception, ClusterError)


async def test_chat_with_a_wrong_key_is_refused(gateway: GatewayServer, tmp_path: Path) -> None:
    done = await chat(gateway, tmp_path, "Sort 4 2 3.", key="mr-wrong")
    assert isinstance(done.exception, ClusterError)
    assert "401" in str(done.exception)


def test_chat_without_any_key_says_where_to_get_one(tmp_path: Path) -> None:
    done = run("chat", "Sort 4 2 3.", env={"MILLRACE_HOME": str(tmp_path), "MILLRACE_API_KEY": ""})
    assert isinstance(done.exception, ClusterError)
    assert "MILLRACE_API_KEY" in str(done.exception)


def test_keys_are_created_listed_and_revoked(tmp_path: Path) -> None:
    env = {"MILLRACE_HOME": str(tmp_path)}
    raw = run("keys", "create", "shop", "--name", "nightly", env=env).output.strip()
    tenant = KeyRing.load(tmp_path / "keys.json").authenticate(raw)
    assert tenant is not None
    listed = run("keys", "list", env=env).output
    assert tenant.key_id in listed
    assert raw not in listed
    assert run("keys", "revoke", tenant.key_id, env=env).exit_code == 0
    assert read_keys(tmp_path / "keys.json").keys == ()
    assert run("keys", "revoke", tenant.key_id, env=env).exit_code == 1


@pytest.mark.parametrize("command", ["status", "scrape-config"])
def test_commands_that_need_a_cluster_say_that_none_runs(tmp_path: Path, command: str) -> None:
    done = run(command, env={"MILLRACE_HOME": str(tmp_path)})
    assert isinstance(done.exception, ClusterError)
    assert "millrace up" in str(done.exception)


def test_down_without_a_cluster_is_done_already(tmp_path: Path) -> None:
    done = run("down", env={"MILLRACE_HOME": str(tmp_path)})
    assert done.exit_code == 0
    assert "Nothing runs" in done.output


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [(["status"], 1, "millrace up"), (["keys", "list"], 2, "millrace keys create")],
    ids=["cluster", "configuration"],
)
def test_failures_become_a_line_and_an_exit_code(
    arguments: list[str],
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MILLRACE_HOME", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["millrace", *arguments])
    with pytest.raises(SystemExit) as exit_info:
        main()
    assert exit_info.value.code == code
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_the_json_report_has_the_gateway_beside_the_models() -> None:
    apps = [AppState("gateway", "RUNNING", 2, (), ""), AppState("m", "DEPLOY_FAILED", 1, (), "no weights")]
    told = report("http://h:1", apps, ["m (small): no live replica"])
    assert (told["url"], told["ready"]) == ("http://h:1", False)
    assert told["gateway"]["status"] == "RUNNING"
    (model,) = told["models"]
    assert (model["name"], model["live"], model["error"]) == ("m", 0, "no weights")


def test_every_command_has_help() -> None:
    for command in ("up", "down", "status", "chat", "scrape-config", "keys"):
        assert run(command, "--help", env={}).exit_code == 0
