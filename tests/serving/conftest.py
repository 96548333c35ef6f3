"""Stand-ins for the whole session, and a gateway in front of them for each test."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.doubles.running_gateway import GatewayServer, House, running_gateway
from tests.doubles.stand_in_process import running_stand_in


@pytest.fixture(scope="session")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Three stand-in processes."""
    folder = tmp_path_factory.mktemp("stand-ins")
    with ExitStack() as stack:
        yield House(*(stack.enter_context(running_stand_in(folder)) for _ in range(3)))


@pytest.fixture
def house(stand_ins: House) -> House:
    """The stand-ins, healthy and with nothing counted."""
    for stand_in in stand_ins.all:
        stand_in.reset()
    return stand_ins


@pytest.fixture
async def gateway(house: House, tmp_path: Path) -> AsyncIterator[GatewayServer]:
    """A ready gateway in front of them; the stand-ins count only what the test sends."""
    async with running_gateway(house, tmp_path) as server:
        await server.stop_probing()
        yield server
