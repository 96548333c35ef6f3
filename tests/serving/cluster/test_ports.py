"""A free port can be bound, is nobody's, and is not one that outgoing connections are given."""

import socket
from pathlib import Path

import pytest

from serving.cluster import ports
from serving.cluster.ports import PORTS, free_port


def test_it_can_be_bound() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", free_port()))


def test_a_taken_one_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        port = free_port()
        taken.bind(("127.0.0.1", port))
        monkeypatch.setattr(ports, "PORTS", range(port, port + 1))
        with pytest.raises(OSError, match=f"no free port from {port}"):
            free_port()


def test_no_outgoing_connection_is_given_one() -> None:
    lowest, _ = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert max(PORTS) < lowest
