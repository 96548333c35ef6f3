"""The door of an engine, as an ASGI app without a server."""

import json
from typing import Any

import pytest

from serving.replica.internal_token import InternalToken, metrics_token

TOKEN = "t0ken-of-this-cluster"
SCRAPER = metrics_token(TOKEN)


async def inner(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"inside"})
    else:
        await send({"type": f"{scope['type']}.inside"})


async def call(
    *authorization: str, path: str = "/v1/models", method: str = "GET", kind: str = "http"
) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []
    headers = [(b"authorization", value.encode("latin-1")) for value in authorization]
    scope = {"type": kind, "path": path, "method": method, "headers": headers}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        raise AssertionError("a refused request's body is not read")

    await InternalToken(inner, TOKEN)(scope, receive, send)  # type: ignore[arg-type]
    return sent


async def test_the_token_opens_every_path() -> None:
    for path in ("/v1/models", "/metrics", "/health", "/anything"):
        assert (await call(f"Bearer {TOKEN}", path=path))[0]["status"] == 200


@pytest.mark.parametrize(
    "authorization",
    [
        (),
        ("",),
        ("Bearer ",),
        (TOKEN,),
        (f"Bearer {TOKEN} ",),
        (f"bearer {TOKEN}",),
        (f"Basic {TOKEN}",),
        (f"Bearer {TOKEN[:-1]}",),
        (f"Bearer {TOKEN}x",),
        ("Bearer tök",),
        (f"Bearer {TOKEN}", f"Bearer {TOKEN}"),
        ("Bearer wrong", f"Bearer {TOKEN}"),
        (f"Bearer {SCRAPER}",),
    ],
)
async def test_anything_else_is_401_in_openais_shape(authorization: tuple[str, ...]) -> None:
    start, body = await call(*authorization)
    assert start["status"] == 401
    assert (b"www-authenticate", b"Bearer") in start["headers"]
    error = json.loads(body["body"])["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] == "invalid_api_key"
    assert TOKEN not in body["body"].decode()


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/metrics", "GET", 200),
        ("/metrics", "HEAD", 200),
        ("/metrics", "POST", 401),
        ("/metrics/", "GET", 401),
        ("/metricsx", "GET", 401),
        ("/v1/metrics", "GET", 401),
        ("/engine/state", "GET", 401),
        ("/v1/models", "GET", 401),
    ],
)
async def test_the_scrapers_token_opens_metrics_only(path: str, method: str, status: int) -> None:
    assert (await call(f"Bearer {SCRAPER}", path=path, method=method))[0]["status"] == status


async def test_lifespan_passes_and_websockets_do_not() -> None:
    assert await call(kind="lifespan") == [{"type": "lifespan.inside"}]
    assert (await call(kind="websocket"))[0]["type"] == "websocket.close"
    assert await call(f"Bearer {TOKEN}", kind="websocket") == [{"type": "websocket.inside"}]


def test_an_empty_token_is_refused_at_start() -> None:
    with pytest.raises(ValueError, match="empty"):
        InternalToken(inner, "")


def test_the_scrapers_token_is_derived_and_different() -> None:
    assert metrics_token(TOKEN) == metrics_token(TOKEN) != metrics_token(TOKEN + "x")
    assert SCRAPER != TOKEN
