"""An answer that comes before its request has arrived ends the connection: what is left of the body is not waited for.

For servers that would go on reading it, however slowly it comes. Pure ASGI, around the gateway.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_CLOSE = (b"connection", b"close")


def closing_early(app: ASGIApp) -> ASGIApp:
    """`app`, whose answers to requests that are still arriving carry `connection: close`."""

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _has_body(scope):
            await app(scope, receive, send)
            return
        arriving = True

        async def received() -> Message:
            nonlocal arriving
            message = await receive()
            arriving = bool(message.get("more_body"))
            return message

        async def sent(message: Message) -> None:
            if arriving and message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], _CLOSE]
            await send(message)

        await app(scope, received, sent)

    return outer


def _has_body(scope: Scope) -> bool:
    return any(
        (name == b"content-length" and value != b"0") or name == b"transfer-encoding"
        for name, value in scope["headers"]
    )
