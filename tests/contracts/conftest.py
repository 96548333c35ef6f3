"""The rigs of the `Upstream` contract: each test of it runs once for every implementation."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.contracts.upstream_rig import Rig, engine_rig, fake_rig, hosted_rig
from tests.doubles.stand_in_process import StandInProcess, running_stand_in


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandInProcess]:
    """The far end of those over HTTP."""
    with running_stand_in(tmp_path_factory.mktemp("stand-in")) as process:
        yield process


@pytest.fixture(params=[fake_rig, hosted_rig, engine_rig], ids=["fake", "hosted", "engine"])
async def rig(request: pytest.FixtureRequest, stand_in: StandInProcess) -> AsyncIterator[Rig]:
    """One implementation after another."""
    async with request.param(stand_in) as built:
        yield built
