"""Which hosted entries of the catalogue cannot work, or would send prompts or keys where they must not go."""

import ipaddress
import re
from collections.abc import Iterator
from urllib.parse import SplitResult, urlsplit

from models.catalog_schema import WireHosted
from models.document import Location, Problem
from models.wire import shown

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def hosted_problems(hosted: WireHosted, at: Location) -> Iterator[Problem]:
    """Everything wrong with one hosted API; `at` is where it stands."""
    if not hosted.model:
        yield Problem((*at, "model"), "is missing; the name that API knows the model by")
    if not hosted.base_url:
        yield Problem((*at, "base_url"), "is missing; e.g. https://api.example.com/v1")
    else:
        yield from _address(hosted, hosted.base_url, (*at, "base_url"))
    yield from _key(hosted, at)


def _key(hosted: WireHosted, at: Location) -> Iterator[Problem]:
    if not hosted.key_env and not hosted.key_file:
        yield Problem(
            (*at, "key_env"), "is missing; name the environment variable (or, as key_file, the file) with the key"
        )
    elif hosted.key_env and hosted.key_file:
        yield Problem((*at, "key_file"), "two places for one key; keep either 'key_env' or 'key_file'")
    if hosted.key_env and not VARIABLE.fullmatch(hosted.key_env):
        yield Problem((*at, "key_env"), "is not a name of an environment variable; the key itself must not stand here")


def _address(hosted: WireHosted, text: str, at: Location) -> Iterator[Problem]:
    try:
        url = urlsplit(text)
        url.port  # noqa: B018 - reading it checks it
    except ValueError as error:
        yield Problem(at, f"is not a URL: {error}")
        return
    if url.username is not None or url.password is not None:
        yield Problem(at, "must hold no user name or password; use key_env or key_file")
    elif url.scheme not in ("http", "https") or not url.hostname:
        yield Problem(at, f"must start with https:// or http:// and a host, got {shown(text)}")
    elif url.query or url.fragment:
        yield Problem(at, f"must end with the path, without '?' or '#', got {shown(text)}")
    elif url.scheme == "http" and not hosted.allow_plain_http and not _loopback(url):
        message = f"plain http would send prompts and the key readable to {url.hostname}"
        yield Problem(at, f"{message}; use https, or set allow_plain_http: true")


def _loopback(url: SplitResult) -> bool:
    host = url.hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
