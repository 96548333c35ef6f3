"""Reading YAML: the same data as any reader gives, with the line of every key, and every mistake noted."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from models.document import Document, Problem, dotted, read_document

KEYS = st.text("abcxyz_-", min_size=1, max_size=6)
SCALARS = st.none() | st.booleans() | st.integers() | st.text("ab c", max_size=5)
NESTED = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)
DATA = st.dictionaries(KEYS, NESTED, min_size=1, max_size=3)


@settings(max_examples=50, deadline=None)
@given(data=DATA)
def test_what_plain_yaml_reads_is_read_alike(data: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("document") / "file.yaml"
    path.write_text(yaml.safe_dump(data))

    document = read_document(path)

    assert document.data == data
    assert document.problems == []


def test_lines_are_those_of_the_keys(tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text("a: 1\nb:\n  - c: 2\n    d:\n      3\n")

    document = read_document(path)
    document.add(Problem(("b", 0, "d"), "deep"), Problem(("a",), "first"), Problem(("b", 0, "gone"), "missing"))

    assert document.report() == [
        f"{path}:1: a: first",
        f"{path}:3: b[0].gone: missing",
        f"{path}:4: b[0].d: deep",
    ]


def test_merged_options_are_read_once_and_overridden_by_own_ones(tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text("a: &a {x: 1, y: 2}\nb: &b\n  <<: *a\n  y: 3\nc: *b\nd:\n  <<: *b\n  x: 9\n")

    document = read_document(path)

    assert document.data == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}, "c": {"x": 1, "y": 3}, "d": {"x": 9, "y": 3}}
    assert document.problems == []


def test_data_is_found_by_its_place() -> None:
    document = Document(Path("x"), {"a": [{"b": 1}]})

    assert document.at(("a", 0, "b")) == 1
    assert document.at(("a", 1, "b")) is None
    assert document.at(("a", 0, "b", "c")) is None


def test_places_are_written_as_people_write_them() -> None:
    assert dotted(("models", 1, "engine", "args", "max-num-seqs")) == "models[1].engine.args.max-num-seqs"
    assert dotted(()) == ""
