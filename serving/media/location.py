"""The one reading of a URL that both the check and the fetch go by, and the operator's list of hosts. Pure.

A strict grammar rather than a lenient parser: what two parsers could read differently is refused by name.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import idna

from serving.errors import ConfigError

HTTPS_PORT = 443
MAX_URL_CHARS = 2048

_URL = re.compile(r"https://(?P<authority>[^/?#]+)(?P<path>/[^?#]*)?(?:\?(?P<query>[^#]*))?(?:#.*)?", re.IGNORECASE)
_PRINTABLE = re.compile(r"[^\s\x00-\x20\x7f\\]+")
_ASCII = re.compile(r"[\x21-\x7e]*")
_AUTHORITY = re.compile(r"(?P<host>[^:@\[\]%]+)(?::(?P<port>[0-9]{1,5}))?")
_LABEL = r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


class BadLocation(ValueError):
    """A URL or host that is not one we would fetch from; the message says what is wrong and what to do."""


@dataclass(frozen=True, slots=True)
class Location:
    """An https URL taken apart. `host` is in lower case and in ASCII, never an IP address."""

    host: str
    port: int
    path: str
    query: str


def read_location(text: str, *, ports: frozenset[int] = frozenset({HTTPS_PORT})) -> Location:
    """The parts of `text`. Raises `BadLocation` for anything but a plain https URL on one of `ports`."""
    if len(text) > MAX_URL_CHARS:
        raise BadLocation(f"the URL is longer than {MAX_URL_CHARS} characters")
    if not _PRINTABLE.fullmatch(text):
        raise BadLocation("the URL holds a space, a control character or a backslash; percent-encode it")
    parts = _URL.fullmatch(text)
    if parts is None:
        raise BadLocation("only 'data:' URLs and https:// URLs of listed hosts are taken")
    if "@" in parts["authority"]:
        raise BadLocation("a user name in the URL is not taken; leave out everything up to the '@'")
    authority = _AUTHORITY.fullmatch(parts["authority"])
    if authority is None:
        raise BadLocation("the URL must name its host by a DNS name")
    path, query = parts["path"] or "/", parts["query"] or ""
    if not _ASCII.fullmatch(path + query):
        raise BadLocation("the path of the URL is not ASCII; percent-encode it")
    port = int(authority["port"] or HTTPS_PORT)
    if port not in ports:
        raise BadLocation(f"port {port} is not taken; use {', '.join(map(str, sorted(ports)))}")
    return Location(ascii_host(authority["host"]), port, path, query)


def ascii_host(host: str) -> str:
    """`host` in lower case and in ASCII (IDNA 2008, UTS 46). Raises `BadLocation` for anything but a DNS name."""
    name = host.lower()
    if not name.isascii():
        try:
            name = idna.encode(host, uts46=True, std3_rules=True).decode()
        except (idna.IDNAError, UnicodeError) as error:
            raise BadLocation("the host of the URL is not a valid international name") from error
    if name.endswith("."):
        raise BadLocation("the host of the URL ends in a dot; leave the dot out")
    if not _NAME.fullmatch(name):
        raise BadLocation("the host of the URL is not a DNS name")
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        raise BadLocation("the URL names its host by an IP address; use its DNS name")
    return name


class HostList:
    """The hosts an operator listed: exact names, or `*.example.com` for every name below `example.com`."""

    def __init__(self, exact: Iterable[str], below: Iterable[str]) -> None:
        self._exact = frozenset(exact)
        self._below = tuple(f".{name}" for name in below)

    @classmethod
    def of(cls, entries: Iterable[str]) -> "HostList":
        """Read the setting. Raises `ConfigError` with every entry that is no host."""
        exact: list[str] = []
        below: list[str] = []
        problems: list[str] = []
        for entry in entries:
            wildcard = entry.startswith("*.")
            try:
                (below if wildcard else exact).append(ascii_host(entry.removeprefix("*.")))
            except BadLocation as error:
                problems.append(f"media_hosts: {entry!r}: {error}; list names such as cdn.example.com or *.example.com")
        if problems:
            raise ConfigError(problems)
        return cls(exact, below)

    def __bool__(self) -> bool:
        return bool(self._exact or self._below)

    def __contains__(self, host: str) -> bool:
        return host in self._exact or host.endswith(self._below)
