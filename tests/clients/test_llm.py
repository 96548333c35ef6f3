"""The command `llm` against the live cluster: a model list in its own folder, then prompts from the command line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.clients.asked import FAULTS, HOSTED, QUESTION, SMALL, VERDICT, breaking, check_verdict
from tests.clients.matrix import matrix_column
from tests.clients.programs import VENV, Ran, run
from tests.cluster.live import LiveCluster

pytestmark = pytest.mark.usefixtures("venv")
FUNCTIONS = 'def add(a: int, b: int) -> str:\n    "Add."\n    return str(a + b)\n'
Llm = Callable[..., Ran]
covers = matrix_column("llm")


@pytest.fixture
def llm(millrace: LiveCluster, tmp_path: Path) -> Llm:
    shared = {
        "api_base": f"{millrace.url}/v1",
        "api_key_name": "millrace",
        "supports_schema": True,
        "supports_tools": True,
    }
    models = [
        {"model_id": "abacus", "model_name": SMALL, **shared},
        {"model_id": "abacus-responses", "model_name": SMALL, "responses": True, **shared},
        {"model_id": "abacus-completions", "model_name": SMALL, "completion": True, **shared},
        {"model_id": "nobody", "model_name": "abacus-huge", **shared},
        {"model_id": "hosted", "model_name": HOSTED, **shared},
    ]
    (tmp_path / "extra-openai-models.yaml").write_text(yaml.safe_dump(models))
    (tmp_path / "keys.json").write_text(json.dumps({"millrace": millrace.key}))

    def ask(*arguments: str) -> Ran:
        return run([str(VENV / "bin" / "llm"), *arguments], home=tmp_path, env={"LLM_USER_PATH": str(tmp_path)})

    return ask


def logged(llm: Llm) -> dict[str, object]:
    """What `llm` noted of its last answer."""
    (entry,) = json.loads(llm("logs", "-n", "1", "--json").out)
    return dict(entry)


@covers("chat stream")
def test_a_prompt_streams_and_its_usage_is_logged(llm: Llm) -> None:
    ran = llm("-m", "abacus", QUESTION, "-o", "temperature", "0")
    assert ran.status == 0, ran.err
    assert ran.out.strip()
    assert int(str(logged(llm)["output_tokens"])) > 0


@covers("chat")
def test_a_prompt_without_streaming(llm: Llm) -> None:
    ran = llm("-m", "abacus", "--no-stream", "-s", "Be brief.", QUESTION, "-o", "seed", "1")
    assert ran.status == 0, ran.err
    assert ran.out.strip()


@covers("json_schema")
def test_a_schema_is_kept(llm: Llm) -> None:
    ran = llm("-m", "abacus", "--schema", json.dumps(VERDICT), QUESTION, "-o", "max_tokens", "96")
    check_verdict(ran.json())


@covers("tools auto")
def test_functions_are_offered(llm: Llm) -> None:
    ran = llm("-m", "abacus", "--functions", FUNCTIONS, QUESTION, "-o", "temperature", "0")
    assert ran.status == 0, ran.err


@covers("completions")
def test_a_completion(llm: Llm) -> None:
    assert llm("-m", "abacus-completions", "7 + 5 =", "-o", "max_tokens", "4").status == 0


@covers("responses")
@pytest.mark.parametrize("option", ["--no-stream", "--no-log"], ids=["unary", "stream"])
def test_a_response(llm: Llm, option: str) -> None:
    ran = llm("-m", "abacus-responses", option, QUESTION)
    assert ran.status == 0, ran.err
    assert ran.out.strip()


@covers("models")
def test_models(llm: Llm) -> None:
    assert "abacus-responses" in llm("models").out


@covers("errors")
def test_an_unknown_model_is_an_error(llm: Llm) -> None:
    ran = llm("-m", "nobody", QUESTION)
    assert ran.status != 0
    assert "abacus-huge" in ran.err


@covers("stream endings")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_stream_that_breaks_off_is_an_error(llm: Llm, millrace: LiveCluster, fault: str) -> None:
    millrace.stand_in.script(breaking(fault))
    try:
        assert llm("-m", "hosted", QUESTION).status != 0
    finally:
        millrace.stand_in.reset()
