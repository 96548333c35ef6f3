import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from serving.errors import ConfigError
from serving.media.fetch import _url
from serving.media.location import BadLocation, HostList, Location, read_location

HOST = "cdn.example.com"

BYPASSES = {
    "plain http": "http://cdn.example.com/x",
    "file": "file:///etc/passwd",
    "file, odd": "file:etc/passwd",
    "ftp": "ftp://cdn.example.com/x",
    "gopher": "gopher://127.0.0.1:6379/_x",
    "jar": "jar:https://cdn.example.com/x!/",
    "no scheme": "//cdn.example.com/x",
    "relative": "/etc/passwd",
    "empty": "",
    "no host": "https:///x",
    "one slash": "https:/cdn.example.com/x",
    "no slash": "https:cdn.example.com/x",
    "user": "https://cdn.example.com@169.254.169.254/x",
    "user and password": "https://a:b@cdn.example.com/x",
    "user, encoded": "https://cdn.example.com%40127.0.0.1/x",
    "two at signs": "https://a@b@cdn.example.com/x",
    "backslash": "https://127.0.0.1\\@cdn.example.com/x",
    "backslashes for slashes": "https:\\\\cdn.example.com/x",
    "backslash in the path": "https://cdn.example.com/\\x",
    "tab in the scheme": "ht\ttps://cdn.example.com/x",
    "tab in the host": "https://cdn.exa\tmple.com/x",
    "newline in the host": "https://cdn.example.com\n.evil.example/x",
    "newline at the end": "https://cdn.example.com/x\n",
    "request smuggled": "https://cdn.example.com/x HTTP/1.1\r\nHost: evil",
    "space before": " https://cdn.example.com/x",
    "space inside": "https://cdn.example.com /x",
    "zero byte": "https://cdn.example.com\0.evil.example/x",
    "no-break space": "https://cdn.example.com\u00a0/x",
    "zero-width space": "https://127.0.0.1\u200b/x",
    "other port": "https://cdn.example.com:8443/x",
    "port 80": "https://cdn.example.com:80/x",
    "port 0": "https://cdn.example.com:0/x",
    "huge port": "https://cdn.example.com:443443443/x",
    "empty port": "https://cdn.example.com:/x",
    "port that is text": "https://cdn.example.com:https/x",
    "two ports": "https://cdn.example.com:443:80/x",
    "trailing dot": "https://cdn.example.com./x",
    "localhost with a dot": "https://localhost./x",
    "dot first": "https://.example.com/x",
    "two dots": "https://cdn..example.com/x",
    "dots only": "https://.../x",
    "IPv4": "https://127.0.0.1/x",
    "IPv4, public": "https://1.1.1.1/x",
    "IPv4, short": "https://127.1/x",
    "IPv4, decimal": "https://2130706433/x",
    "IPv4, octal": "https://0177.0.0.1/x",
    "IPv4, hex": "https://0x7f.0.0.1/x",
    "IPv4, one hex": "https://0x7f000001/x",
    "IPv4, bare 0x": "https://127.0.0.0x/x",
    "IPv4, fullwidth digits": "https://\uff11\uff12\uff17.0.0.1/x",
    "IPv4, circled digits": "https://\u2460\u2461\u2466.0.0.1/x",
    "IPv4, ideographic dots": "https://127\u30020\u30020\u30021/x",
    "IPv4 under a wildcard": "https://10.0.0.1.nip.io./x",
    "IPv6": "https://[::1]/x",
    "IPv6, unspecified": "https://[::]/x",
    "IPv6, mapped": "https://[::ffff:127.0.0.1]/x",
    "IPv6, zone": "https://[fe80::1%25eth0]/x",
    "IPv6 without brackets": "https://::1/x",
    "percent-encoded host": "https://%31%32%37.0.0.1/x",
    "encoded slash in the host": "https://cdn.example.com%2f@127.0.0.1/x",
    "slash look-alike": "https://cdn.example.com\u2044evil.example/x",
    "question look-alike": "https://cdn.example.com\uff1f.evil.example/x",
    "hyphen first": "https://-cdn.example.com/x",
    "label too long": f"https://{'a' * 64}.example.com/x",
    "name too long": f"https://{'a.' * 127}example.com/x",
    "too long": "https://cdn.example.com/" + "x" * 2048,
    "path not ASCII": "https://cdn.example.com/\u00e9",
    "bidi override": "https://cdn.example.com\u202e/x",
}


@pytest.mark.parametrize("url", BYPASSES.values(), ids=BYPASSES.keys())
def test_refused(url: str) -> None:
    with pytest.raises(BadLocation):
        read_location(url)


NOT_LISTED = {
    "another host": "https://evil.example/x",
    "host as a prefix": "https://cdn.example.com.evil.example/x",
    "host as a suffix": "https://evilcdn.example.com/x",
    "host in the path": "https://evil.example/cdn.example.com",
    "host in the query": "https://evil.example?cdn.example.com",
    "host in the fragment": "https://evil.example#@cdn.example.com/",
    "fragment before the path": "https://evil.example#/../cdn.example.com",
    "host of a homograph": "https://cdn.ex\u0430mple.com/x",
    "localhost": "https://localhost/x",
    "parent": "https://example.com/x",
    "below": "https://a.cdn.example.com/x",
}


@pytest.mark.parametrize("url", NOT_LISTED.values(), ids=NOT_LISTED.keys())
def test_read_but_not_listed(url: str) -> None:
    assert read_location(url).host not in HostList.of([HOST])


READ = {
    "https://cdn.example.com/a/b.png?w=1&h=2": Location(HOST, 443, "/a/b.png", "w=1&h=2"),
    "https://cdn.example.com": Location(HOST, 443, "/", ""),
    "https://cdn.example.com?x": Location(HOST, 443, "/", "x"),
    "HTTPS://CDN.Example.COM:443/%2e%2e/x#frag": Location(HOST, 443, "/%2e%2e/x", ""),
    "https://b\u00fccher.example/x": Location("xn--bcher-kva.example", 443, "/x", ""),
    "https://cdn\u3002example\uff0ecom/x": Location(HOST, 443, "/x", ""),
    "https://my_bucket.example.com/a@b:c": Location("my_bucket.example.com", 443, "/a@b:c", ""),
}


@pytest.mark.parametrize(("url", "location"), READ.items(), ids=READ.keys())
def test_read(url: str, location: Location) -> None:
    assert read_location(url) == location


def test_other_ports_where_they_are_allowed() -> None:
    assert read_location("https://cdn.example.com:8443/", ports=frozenset({8443})).port == 8443


def test_wildcard_means_every_name_below() -> None:
    hosts = HostList.of(["*.example.com", "B\u00fccher.example"])
    assert "a.example.com" in hosts
    assert "a.b.example.com" in hosts
    assert "xn--bcher-kva.example" in hosts
    assert "example.com" not in hosts
    assert "evilexample.com" not in hosts
    assert bool(hosts)


def test_nothing_is_listed_by_default() -> None:
    assert not HostList.of([])
    assert HOST not in HostList.of([])
    assert "\0" not in HostList.of([])


@pytest.mark.parametrize(
    "entry", ["https://cdn.example.com", "127.0.0.1", "[::1]", "cdn.example.com/x", "*", "a:443", "*.", ""]
)
def test_entry_that_is_no_host(entry: str) -> None:
    with pytest.raises(ConfigError) as caught:
        HostList.of([HOST, entry])
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith(f"media_hosts: {entry!r}: ")


PIECES = [
    "https://",
    "http://",
    HOST,
    "@",
    "\\",
    "/",
    "?",
    "#",
    ":",
    "443",
    ":443",
    ".",
    "%",
    "127.0.0.1",
    "[::1]",
    "\t",
    "\u3002",
    "evil.example",
    "0x7f",
    "..",
    "%2f",
    "%40",
    "\u200b",
    "a",
]


@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join) | st.text(max_size=40))
def test_what_is_checked_is_what_is_fetched(url: str) -> None:
    """Another parser, given the URL that we would fetch, sees the host that we checked; no other byte of it leaks."""
    try:
        location = read_location(url)
    except BadLocation:
        return
    built = str(_url(location))
    assert URL(built).host == location.host
    assert URL(built).port == 443
    assert URL(built).user is None
    assert set(location.host) <= set(string.ascii_lowercase + string.digits + "-_.")
    assert not location.host.rpartition(".")[2].isdigit()
    assert built.isascii()
    assert not set(built) & set("\t\r\n \\\0")
