"""The routes of stored responses: from path, method and query to the desk, and its answer to the client."""

from collections.abc import Mapping
from urllib.parse import parse_qsl

import msgspec

from serving.errors import BadRequest, MethodNotAllowed, RouteNotFound
from serving.keys import Tenant
from serving.responses.desk import Page, ResponseDesk
from serving.responses.objects import MAX_PAGE, deleted
from serving.wire.reply import Reply
from serving.wire.routes import STORED, Stored

STORED_PREFIX = "/v1/responses/"


def stored_route(path: str, method: str, reply: Reply) -> tuple[Stored, str]:
    """The route a path under /v1/responses/ means, and the id in it. Raises `RouteNotFound`, `MethodNotAllowed`."""
    id, _, rest = path.removeprefix(STORED_PREFIX).partition("/")
    pattern = f"{STORED_PREFIX}{{id}}/{rest}".rstrip("/")
    routes = {route.method: route for route in STORED if route.path == pattern}
    if not id or not routes:
        raise RouteNotFound(f"{path} is not served here; see docs/api.md")
    route = routes.get(method)
    if route is None:
        reply.headers["allow"] = ", ".join(routes)
        raise MethodNotAllowed(f"{pattern} takes {' or '.join(routes)}, not {method}")
    return route, id


async def answer_stored(desk: ResponseDesk, route: Stored, id: str, query: bytes, tenant: Tenant, reply: Reply) -> None:
    """Answer one of `STORED`. Raises what the desk raises, and `BadRequest` for a wrong query."""
    asked = dict(parse_qsl(query.decode("latin-1")))
    if route.operation == "responses.retrieve":
        if asked.get("stream", "false").lower() not in ("false", "0"):
            raise BadRequest("stream: a stored response is not streamed again; retrieve it without", param="stream")
        body = await desk.retrieve(tenant, id)
    elif route.operation == "responses.delete":
        await desk.delete(tenant, id)
        body = msgspec.json.encode(deleted(id))
    elif route.operation == "responses.cancel":
        body = await desk.cancel(tenant, id)
    else:
        body = msgspec.json.encode(await desk.input_items(tenant, id, _page(asked)))
    await reply.whole(200, body)


def _page(asked: Mapping[str, str]) -> Page:
    limit, order = asked.get("limit", "20"), asked.get("order", "desc")
    if not (limit.isascii() and limit.isdigit() and len(limit) <= 3 and 1 <= int(limit) <= MAX_PAGE):
        raise BadRequest(f"limit: must be a whole number from 1 to {MAX_PAGE}", param="limit")
    if order not in ("asc", "desc"):
        raise BadRequest("order: must be asc or desc", param="order")
    return Page(limit=int(limit), ascending=order == "asc", after=asked.get("after"))
