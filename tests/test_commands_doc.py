"""docs/commands.md names every command, and every option with its variable, and none that is not there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from serving.cli import app

DOC = (Path(__file__).resolve().parents[1] / "docs" / "commands.md").read_text()


def commands(group: TyperGroup, before: str = "millrace") -> Iterator[tuple[str, typer.core.TyperCommand]]:
    """Every command of a group by its full name, those of groups in it included."""
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, f"{before} {name}")
        elif isinstance(command, typer.core.TyperCommand):
            yield f"{before} {name}", command


GROUP = typer.main.get_command(app)
assert isinstance(GROUP, TyperGroup)
COMMANDS = dict(commands(GROUP))
OPTIONS = sorted(
    {
        (option, parameter.envvar)
        for command in COMMANDS.values()
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("--") and option != "--help"
    },
    key=str,
)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_described(name: str) -> None:
    assert re.search(rf"`{name}\b", DOC)


@pytest.mark.parametrize(("option", "variable"), OPTIONS, ids=[option for option, _ in OPTIONS])
def test_an_option_is_described_with_its_variable(option: str, variable: str | None) -> None:
    assert f"`{option}` (`{variable}`" in DOC if variable else f"`{option}`" in DOC


def test_nothing_is_described_that_is_not_there() -> None:
    known = {option for option, _ in OPTIONS} | {"--help"}
    assert set(re.findall(r"--[a-z][a-z-]*", DOC)) <= known
