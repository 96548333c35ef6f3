"""The README keeps its word: every make target, command, file and example model it names exists."""

import re
from pathlib import Path

from models.catalog import DEFAULT_CATALOG
from serving.cli import app

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()


def test_every_make_target_exists() -> None:
    named = set(re.findall(r"\bmake ([a-z-]+)", README))
    assert {"demo", "test"} <= named
    assert named <= set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))


def test_every_command_exists() -> None:
    named = set(re.findall(r"\bmillrace (up|down|status|chat|keys|scrape-config|[a-z]+)\b", README))
    known = {command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands}
    known |= {group.name for group in app.registered_groups}
    assert named
    assert named <= known


def test_every_linked_file_exists() -> None:
    linked = re.findall(r"\]\(([^)#]+)\)", README)
    assert linked
    assert [link for link in linked if not link.startswith("http") and not (ROOT / link).exists()] == []


def test_every_model_it_shows_is_in_the_shipped_catalogue() -> None:
    shown = set(re.findall(r"`(abacus-[a-z]+)`", README))
    assert shown
    assert all(f"name: {name}" in DEFAULT_CATALOG.read_text() for name in shown)
