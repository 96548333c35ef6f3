"""One stage for the scripted faults: a gateway process, a stand-in that does as each request says, and a deaf one.

Breakers, pauses and ejections are kept per model, so every test takes models of its own from a catalogue of many.
What kills engines or stops them has a pair of its own.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import aiohttp
import pytest

from tests.faults.asking import Client
from tests.faults.processes import Engine, engines, lone_gateway
from tests.faults.stage import UNBUDGETED, Stage, behind


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Running for all tests."""
    folder = tmp_path_factory.mktemp("stage")
    with ExitStack() as stack:
        (faulty,) = stack.enter_context(engines(1))
        (good,) = stack.enter_context(engines(1, options=["--deaf"]))
        gateway = stack.enter_context(lone_gateway(folder, behind(faulty.url, good.url), **UNBUDGETED))
        stage = Stage(gateway, faulty.stand_in, good.stand_in)
        stage.wait_proven()
        yield stage


@pytest.fixture
def pair() -> Iterator[list[Engine]]:
    """Two engines of one model."""
    with engines(2) as running:
        yield running


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """Without a limit on connections, cookies or decompression."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        yield session


@pytest.fixture
def client(stage: Stage, session: aiohttp.ClientSession) -> Client:
    """Of the stage's gateway."""
    return Client(session, stage.gateway.url, stage.gateway.key)
