"""docs/faults.md names every row that has a test, and every file of the fault suite."""

import ast
import re
from pathlib import Path

DOC = Path(__file__).parents[1] / "docs" / "faults.md"
SUITE = Path(__file__).parent / "faults"
JUDGES = {"test_endings.py"}
"""Tests of the suite's own tools."""


def rows_in(source: str) -> set[str]:
    """The rows named in `row(...)` marks and as first argument of `Fault(...)`."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    marks = [call.args for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "row"]
    faults = [call.args[:1] for call in calls if isinstance(call.func, ast.Name) and call.func.id == "Fault"]
    constants = [arg for args in marks + faults for arg in args if isinstance(arg, ast.Constant)]
    return {str(constant.value) for constant in constants}


def test_every_file_of_the_suite_is_named_and_exists() -> None:
    named = set(re.findall(r"\]\(\.\./tests/faults/(test_\w+\.py)\)", DOC.read_text()))
    assert named == {file.name for file in SUITE.glob("test_*.py")} - JUDGES


def test_every_row_with_a_test_is_listed() -> None:
    listed = set(re.findall(r"^\| (\d+) \|", DOC.read_text(), re.MULTILINE))
    tested = set().union(*(rows_in(file.read_text()) for file in SUITE.glob("test_*.py")))
    assert tested <= listed
    assert {str(row) for row in [*range(1, 8), *range(14, 29)]} <= listed
