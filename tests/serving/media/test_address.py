import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.media.address import is_public

INSIDE = {
    "loopback": "127.0.0.1",
    "loopback, far": "127.255.255.254",
    "unspecified": "0.0.0.0",
    "this network": "0.1.2.3",
    "private 10": "10.0.0.1",
    "private 172": "172.16.0.1",
    "private 192": "192.168.1.1",
    "metadata service": "169.254.169.254",
    "shared by NAT": "100.64.0.1",
    "metadata service in shared space": "100.100.100.200",
    "documentation": "192.0.2.1",
    "benchmarking": "198.18.0.1",
    "6to4 relay": "192.88.99.1",
    "multicast": "224.0.0.1",
    "reserved": "240.0.0.1",
    "broadcast": "255.255.255.255",
    "v6 loopback": "::1",
    "v6 unspecified": "::",
    "v6 link-local": "fe80::1",
    "v6 link-local with a zone": "fe80::1%eth0",
    "v6 public with a zone": "2606:4700::1111%eth0",
    "v6 unique local": "fd00:ec2::254",
    "v6 site-local": "fec0::1",
    "v6 multicast": "ff02::1",
    "v4-mapped loopback": "::ffff:127.0.0.1",
    "v4-mapped public": "::ffff:1.1.1.1",
    "v4-mapped, in hex": "::ffff:7f00:1",
    "v4-compatible": "::127.0.0.1",
    "v4-translated": "::ffff:0:127.0.0.1",
    "6to4 of private": "2002:0a00:0001::",
    "6to4 of public": "2002:0101:0101::1",
    "NAT64 of metadata": "64:ff9b::169.254.169.254",
    "NAT64 local": "64:ff9b:1::1",
    "Teredo": "2001::1",
    "documentation v6": "2001:db8::1",
    "no address": "localhost",
    "octal": "0177.0.0.1",
    "decimal": "2130706433",
    "hex": "0x7f000001",
    "short": "127.1",
    "empty": "",
}


@pytest.mark.parametrize("address", INSIDE.values(), ids=INSIDE.keys())
def test_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "100.63.255.255", "100.128.0.0"]
)
def test_public(address: str) -> None:
    assert is_public(address)


@given(st.sampled_from(["::ffff:", "64:ff9b::", "::"]), st.ip_addresses(v=4))
def test_no_wrapped_v4_is_public(prefix: str, inner: ipaddress.IPv4Address) -> None:
    assert not is_public(f"{prefix}{inner}")


@given(st.ip_addresses())
def test_public_means_global(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    assert not is_public(str(address)) or (address.is_global and not address.is_multicast)
