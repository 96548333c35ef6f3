"""docs/api.md says what the code does: its generated parts are up to date, and the rest names what there is."""

import re
from pathlib import Path

import pytest

from serving.reference import API_DOC, write
from serving.wire.headers import ANSWER_HEADERS
from serving.wire.openapi import error_codes
from serving.wire.reference import PARTS, filled
from serving.wire.request import RoutingOptions
from tests.doubles.upstream import chat_answer
from tests.serving.asgi_call import ask, running
from tests.serving.world import World

DOC = API_DOC.read_text()
CODES = {kind.code for kinds in error_codes().values() for kind in kinds}


def section(title: str) -> str:
    """The text under a heading."""
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", DOC, re.MULTILINE | re.DOTALL)
    assert found, f"docs/api.md has no section {title!r}"
    return found[1]


def first_cells(title: str) -> list[str]:
    """The names in the first column of a section's table."""
    cells = [line.split("|")[1] for line in section(title).splitlines() if line.startswith("| ")]
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def test_generated_parts_are_up_to_date() -> None:
    assert filled(DOC) == DOC, "run `make docs`"


@pytest.mark.parametrize("name", PARTS)
def test_every_part_is_in_the_document_once(name: str) -> None:
    assert DOC.count(f"<!-- generated: {name} -->\n") == 1
    assert DOC.count(f"<!-- end of {name} -->\n") == 1


def test_an_outdated_part_is_written_anew_and_the_rest_left_alone(tmp_path: Path) -> None:
    outdated = tmp_path / "api.md"
    outdated.write_text(DOC.replace("| 404 | `model_not_found`", "| 418 | `teapot`"))
    write(outdated)
    assert outdated.read_text() == DOC


def test_a_part_that_nobody_writes() -> None:
    with pytest.raises(KeyError, match="weather"):
        filled("<!-- generated: weather -->\n<!-- end of weather -->")


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_error_code_is_in_the_table(code: str) -> None:
    assert len(re.findall(rf"^\| \d{{3}} \| `{code}` \|", section("Errors"), re.MULTILINE)) == 1


def test_routing_keys() -> None:
    assert set(first_cells("Which model answers")) == set(RoutingOptions.__struct_fields__)


ASKED = {
    "answer": ({"model": "auto"}, {}),
    "answer of a stand-in": ({"model": "cloud"}, {}),
    "refusal": ({"model": "nobody"}, {}),
    "without a key": ({"model": "auto"}, {"x-api-key": "mr-wrong"}),
}


@pytest.mark.parametrize(("fields_", "headers"), ASKED.values(), ids=ASKED.keys())
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/nowhere", "/v1/models"])
async def test_every_header_of_an_answer_is_described(
    path: str, fields_: dict[str, str], headers: dict[str, str]
) -> None:
    world = World()
    for upstream in world.upstreams.values():
        upstream.next(chat_answer("4"))
    async with running(world) as app:
        body = fields_ | {"messages": [{"role": "user", "content": "2+2?"}]}
        call = await ask(app, path, body, headers=headers or None)
    assert set(call.headers) - {"content-type", "content-length"} <= {one.name for one in ANSWER_HEADERS}
    assert "x-request-id" in call.headers
