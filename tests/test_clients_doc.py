"""docs/clients.md says of each client what the client suite really covers, no more and no less."""

import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOC = (ROOT / "docs" / "clients.md").read_text()
SUITE = ROOT / "tests" / "clients"


def covered() -> dict[str, set[str]]:
    """Features by client, as the suite's tests are marked."""
    features: defaultdict[str, set[str]] = defaultdict(set)
    for file in SUITE.glob("test_*.py"):
        source = file.read_text()
        (client,) = re.findall(r'covers = matrix_column\("([a-z-]+)"\)', source)
        features[client].update(re.findall(r'covers\("([^"]+)"\)', source))
    return dict(features)


def documented() -> dict[str, set[str]]:
    """Features by client, as the page's matrix shows them."""
    rows = [line.strip("| ").split(" | ") for line in DOC.split("## What is tested")[1].splitlines() if line[:1] == "|"]
    features: defaultdict[str, set[str]] = defaultdict(set)
    for feature, *cells in rows[2:]:
        for client, cell in zip(rows[0][1:], cells, strict=False):
            if cell.strip(" |") == "✓":
                features[client.strip()].add(feature.strip())
    return dict(features)


def test_the_matrix_is_that_of_the_suite() -> None:
    assert documented() == covered()


def test_the_versions_are_those_of_the_lock_files() -> None:
    lock = (SUITE / "node" / "package-lock.json").read_text()
    pins = (SUITE / "requirements.txt").read_text()
    for name, version in re.findall(r"^\| (langchain-openai|`llm`) (\d+\.\d+)", DOC, re.MULTILINE):
        assert f"{name.strip('`')}=={version}." in pins or f"{name.strip('`')}=={version}\n" in pins
    for package, shown in (
        ("openai", "openai-node"),
        ("@openai/codex", "Codex CLI"),
        ("opencode-linux-x64", "opencode"),
    ):
        (version,) = re.findall(rf'"node_modules/{package}": {{\s+"version": "(\d+\.\d+)', lock)
        assert f"| {shown} {version} |" in DOC


def test_the_lock_file_names_no_registry() -> None:
    assert '"resolved"' not in (SUITE / "node" / "package-lock.json").read_text()
