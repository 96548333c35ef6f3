"""docs/api.md names every route, header, error code, routing key and dropped field there is, and none that is not."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

import serving.errors
from serving.errors import ConfigError, MillraceError
from serving.wire.request import DROPPED, RoutingOptions
from serving.wire.routes import CONTROL, RELAYED
from tests.doubles.upstream import chat_answer
from tests.serving.asgi_call import ask, running
from tests.serving.world import World

DOC = (Path(__file__).resolve().parents[1] / "docs" / "api.md").read_text()
ERRORS = [
    each
    for each in vars(serving.errors).values()
    if isinstance(each, type) and issubclass(each, MillraceError) and each is not ConfigError
]


def section(title: str) -> str:
    """The text under a heading."""
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", DOC, re.MULTILINE | re.DOTALL)
    assert found, f"docs/api.md has no section {title!r}"
    return found[1]


def first_cells(title: str) -> list[str]:
    """The names in the first column of a section's table."""
    cells = [line.split("|")[1] for line in section(title).splitlines() if line.startswith("| ")]
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


@pytest.mark.parametrize("error", ERRORS, ids=lambda each: each.__name__)
def test_every_error_is_in_the_table(error: type[MillraceError]) -> None:
    assert f"| {error.status} | `{error.code}` | `{error.type}` |" in section("Errors")


def test_the_table_has_no_other_codes() -> None:
    codes = re.findall(r"^\| \d{3} \| `(\w+)`", section("Errors"), re.MULTILINE)
    assert sorted(codes) == sorted(each.code for each in ERRORS)


def test_routes() -> None:
    assert first_cells("Routes") == [*RELAYED, "/v1/models", "/v1/models/{name}", *CONTROL[:4]]
    for route in RELAYED.values():
        streams = "yes" if route.streams else "no"
        assert f"| `{route.path}` | POST | `{route.operation}` | {streams} | API key |" in DOC


def test_dropped_fields() -> None:
    assert set(re.findall(r"^- `(\w+)`", section("Fields that are dropped"), re.MULTILINE)) == DROPPED


def test_routing_keys() -> None:
    assert set(first_cells("Which model answers")) == {one.name for one in fields(RoutingOptions)}


@pytest.mark.parametrize("model", ["auto", "cloud"])
async def test_every_header_of_an_answer_is_described(model: str) -> None:
    world = World()
    for upstream in world.upstreams.values():
        upstream.next(chat_answer("4"))
    async with running(world) as app:
        body = {"model": model, "messages": [{"role": "user", "content": "2+2?"}]}
        call = await ask(app, "/v1/chat/completions", body)
    described = set(first_cells("What every answer says about itself"))
    sent = {name for name in call.headers if name.startswith("x-")}
    assert sent == described - ({"x-millrace-stand-in"} if model == "auto" else set())
