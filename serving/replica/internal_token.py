"""The door of an engine: pure ASGI middleware that demands the cluster's internal token on every path.

Knows nothing of what is behind it. A derived token opens `GET /metrics` and nothing else, so that a scraper cannot
send prompts. Comparisons take constant time; neither token is ever logged.
"""

import hashlib
import hmac

from starlette.types import ASGIApp, Receive, Scope, Send

from serving.errors import Unauthenticated, render

METRICS_PATH = "/metrics"
METHODS_OF_SCRAPERS = ("GET", "HEAD")


def metrics_token(token: str) -> str:
    """The token for scrapers: cannot be turned back into the internal one."""
    return hmac.new(token.encode(), b"metrics", hashlib.sha256).hexdigest()


class InternalToken:
    """Answers 401 unless `Authorization: Bearer <token>` fits."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        if not token:
            raise ValueError("the internal token is empty: every caller would be let in")
        self._app = app
        self._bearer = f"Bearer {token}".encode()
        self._scraper = f"Bearer {metrics_token(token)}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] == "lifespan" or self._admits(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "unauthenticated"})
        else:
            await refuse(send)

    def _admits(self, scope: Scope) -> bool:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(given) != 1:  # two of them: which one counts is a matter of taste, so none does
            return False
        if hmac.compare_digest(given[0], self._bearer):
            return True
        return _is_scrape(scope) and hmac.compare_digest(given[0], self._scraper)


def _is_scrape(scope: Scope) -> bool:
    return scope["path"] == METRICS_PATH and scope.get("method") in METHODS_OF_SCRAPERS


async def refuse(send: Send) -> None:
    """401 in OpenAI's error shape."""
    body = render(Unauthenticated("this port answers the gateway only"))
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"www-authenticate", b"Bearer"),
    ]
    await send({"type": "http.response.start", "status": Unauthenticated.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
