"""The operator's settings for media reach the gateway, and a host that is none stops it at its start."""

from pathlib import Path

import pytest

from models.spec import Catalog
from serving.composition import build_media, start_problems
from serving.errors import MediaRefused
from serving.settings import Settings
from serving.wire.request import Request
from serving.wire.routes import RELAYED
from tests.serving.media.pictures import data_url, png
from tests.serving.world import engine_spec

CATALOG = Catalog(path=Path("catalog.yaml"), ladder=("small",), models={"small": engine_spec("small")})


def asked(*urls: str) -> Request:
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    body = {"messages": [{"role": "user", "content": parts}]}
    return Request(id="r", route=RELAYED["/v1/chat/completions"], model="m", stream=False, wants_usage=False, body=body)


@pytest.mark.parametrize("hosts", [["https://cdn.example.com"], ["cdn.example.com", "10.0.0.1"]])
def test_a_host_that_is_none_fails_the_start(hosts: list[str]) -> None:
    settings = Settings.from_mapping({"require_key": False, "media_hosts": hosts}, {})
    (problem,) = start_problems(CATALOG, settings, {})
    assert problem.startswith(f"media_hosts: {hosts[-1]!r}: ")


def test_hosts_from_the_environment() -> None:
    settings = Settings.from_mapping({}, {"MILLRACE_MEDIA_HOSTS": "[cdn.example.com, '*.example.org']"})
    assert settings.media_hosts == ("cdn.example.com", "*.example.org")


LIMITS = {
    "max_media_bytes": ({"max_media_bytes": 20}, asked(data_url(png()))),
    "max_image_pixels": ({"max_image_pixels": 5}, asked(data_url(png(2, 3)))),
    "max_media_urls": ({"max_media_urls": 1, "media_hosts": ["a.example"]}, asked(*["https://a.example/"] * 2)),
    "media_hosts": ({}, asked("https://a.example/")),
}


@pytest.mark.parametrize(("given", "request_"), LIMITS.values(), ids=LIMITS.keys())
async def test_every_limit_is_named_where_it_is_met(
    given: dict[str, object], request_: Request, request: pytest.FixtureRequest
) -> None:
    media = build_media(Settings.from_mapping(given, {}))
    with pytest.raises(MediaRefused, match=request.node.callspec.id):
        await media.inlined(request_)
