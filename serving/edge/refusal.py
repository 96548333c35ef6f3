"""An error as bytes on a connection that never came to be a request: the same shape and headers as any other."""

import os
from http import HTTPStatus

from serving.errors import MillraceError, render, retry_headers


def refusal(error: MillraceError) -> bytes:
    """A whole HTTP/1.1 response, after which the connection closes."""
    body = render(error)
    headers = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "connection": "close",
        "x-request-id": f"req-{os.urandom(12).hex()}",
        **retry_headers(error),
    }
    head = f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\n"
    return (head + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n").encode() + body
