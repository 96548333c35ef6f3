"""A gateway that cannot start says everything it lacks, in words that survive Serve's status message."""

from pathlib import Path

import pytest

from models.catalog import DEFAULT_CATALOG, load_catalog
from serving.cluster.start_failure import GatewayStartFailed, reason_in
from serving.settings import Settings


@pytest.mark.filterwarnings("ignore")  # importing Serve warns about others
def test_everything_that_is_missing_is_named_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from serving.cluster.gateway_replica import GatewayReplica

    monkeypatch.delenv("MILLRACE_STAND_IN_KEY", raising=False)
    settings = Settings(home=tmp_path, difficulty_file=tmp_path / "none.json")
    with pytest.raises(GatewayStartFailed) as failed:
        GatewayReplica(load_catalog(DEFAULT_CATALOG), settings)
    reason = reason_in(f"Traceback (most recent call last):\nGatewayStartFailed: {failed.value}\n")
    assert reason.startswith("gateway: ")
    for lacking in ("MILLRACE_STAND_IN_KEY", "none.json", "keys.json"):
        assert lacking in reason
