"""Local weights are looked at before an engine is started over them."""

import json
from pathlib import Path

import pytest

from serving.replica.model_folder import architectures, folder_problem, is_local


def test_a_complete_folder_is_fine(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert folder_problem(str(tmp_path)) is None


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    assert folder_problem(str(file)) == f"path {file} does not exist on this node"
    file.write_text("")
    assert folder_problem(str(file)) == f"path {file} is not a folder"
    assert folder_problem(str(tmp_path)) == f"folder {tmp_path} holds no config.json"
    (tmp_path / "config.json").write_text("{}")
    assert folder_problem(str(tmp_path)) == f"folder {tmp_path} holds no weights (*.safetensors or *.bin)"


@pytest.mark.parametrize(("source", "local"), [("/srv/m", True), ("./m", True), ("owner/name", False)])
def test_a_hugging_face_id_is_no_path(source: str, local: bool) -> None:
    assert is_local(source) is local
    assert local or folder_problem(source) is None


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (json.dumps({"architectures": ["LlamaForCausalLM"]}), ["LlamaForCausalLM"]),
        ("{}", []),
        ("{", []),
        (None, []),
    ],
    ids=["named", "unnamed", "broken", "absent"],
)
def test_architectures_are_read_or_unknown(tmp_path: Path, content: str | None, expected: list[str]) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    assert architectures(tmp_path) == expected
