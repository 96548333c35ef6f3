"""Which TCP ports of this machine listen, and on which IPv4 address, read from /proc."""

import socket
import struct
from pathlib import Path

LISTEN = "0A"


def listening() -> set[tuple[str, int]]:
    """Pairs of address and port; an IPv6 socket counts as address `::`."""
    return {*_ipv4(), *_ipv6()}


def _ipv4() -> set[tuple[str, int]]:
    return {(socket.inet_ntoa(struct.pack("<I", int(host, 16))), int(port, 16)) for host, port in _local("tcp")}


def _ipv6() -> set[tuple[str, int]]:
    return {("::", int(port, 16)) for _, port in _local("tcp6")}


def _local(table: str) -> list[list[str]]:
    rows = [line.split() for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]]
    return [row[1].split(":") for row in rows if row[3] == LISTEN]
