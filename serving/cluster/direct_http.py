"""HTTP from the commands to this cluster: no proxy in between, whatever the environment says, and no Ray.

Every failure is an `OSError`: refused, timed out, cut short, or an answer that is not HTTP.
"""

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse


@contextmanager
def opened(request: str | urllib.request.Request, *, timeout_s: float) -> Iterator[HTTPResponse]:
    """The answer, to be read inside the block. Raises `urllib.error.HTTPError` for a status of 400 or more."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout_s) as answer:
            yield answer
    except HTTPException as error:
        raise ConnectionError(f"not HTTP, or cut short ({type(error).__name__})") from error
