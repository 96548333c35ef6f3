"""Which IP addresses the gateway may fetch from: public ones only. Pure.

`ipaddress.is_global` differs between versions of Python and calls some tunnels to private networks global, so what
leads inside by way of a wrapped IPv4 address is named here once more.
"""

import ipaddress

_DENIED = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "100.64.0.0/10",  # shared by carriers' NAT, and by clouds for their metadata services
        "192.88.99.0/24",  # 6to4 relays
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/96",  # IPv4-compatible, the unspecified address and loopback
        "::ffff:0:0/96",  # IPv4-mapped
        "::ffff:0:0:0/96",  # IPv4-translated
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",  # NAT64, local use
        "2001::/32",  # Teredo
        "2002::/16",  # 6to4
        "fec0::/10",  # site-local
        "ff00::/8",
    )
)


def is_public(address: str) -> bool:
    """Whether `address`, a literal without a zone, is one of the public internet."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if getattr(ip, "scope_id", None) is not None or not ip.is_global:
        return False
    return not any(ip.version == network.version and ip in network for network in _DENIED)
