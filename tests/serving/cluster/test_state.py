"""Serve's details as rows: names, counts, load, and the reason behind a failure without its traceback."""

from typing import Any

import pytest

from serving.cluster.state import AppState, app_states, foreign_apps


def app(status: str = "RUNNING", *, message: str = "", wanted: int = 1, **deployment: Any) -> dict[str, Any]:
    """One application of `ServeInstanceDetails`."""
    engine = {"status": "HEALTHY", "message": "", "target_num_replicas": wanted, "replicas": []} | deployment
    return {"status": status, "message": message, "deployments": {"Engine": engine}}


def replica(name: str, *, state: str = "RUNNING", pid: int | None = 7) -> dict[str, Any]:
    return {"replica_id": name, "state": state, "pid": pid, "node_ip": "10.0.0.1"}


def only(details: dict[str, Any], engines: dict[str, Any] | None = None) -> AppState:
    (state,) = app_states({"applications": {"engine-m": details}}, engines)
    return state


def test_the_gateway_comes_first_and_engines_are_called_by_their_models() -> None:
    details = {"applications": {"engine-b": app(), "engine-a": app(), "gateway": app()}}
    assert [state.name for state in app_states(details)] == ["gateway", "a", "b"]


def test_a_replica_shows_the_engines_own_figures() -> None:
    state = only(app(replicas=[replica("r1")]), {"r1": {"running": 3, "waiting": 1, "kv_usage": 0.25}})
    (shown,) = state.replicas
    assert (shown.pid, shown.running, shown.waiting, shown.kv_usage) == (7, 3, 1, 0.25)


def test_a_replica_that_could_not_be_asked_has_no_load() -> None:
    (shown,) = only(app(replicas=[replica("r1")]), {"other": {"running": 3}}).replicas
    assert (shown.running, shown.waiting, shown.kv_usage) == (None, None, None)


def test_only_running_replicas_are_live() -> None:
    state = only(app(wanted=3, replicas=[replica("a"), replica("b", state="STARTING", pid=None)]))
    assert (state.live, state.wanted) == (1, 3)


def test_an_application_without_deployments_is_just_beginning() -> None:
    state = only({"status": "DEPLOYING", "message": "", "deployments": {}})
    assert (state.wanted, state.replicas, state.error, state.settled) == (0, (), "", False)


@pytest.mark.parametrize(
    ("status", "settled", "failed"),
    [("RUNNING", True, False), ("DEPLOYING", False, False), ("DEPLOY_FAILED", True, True), ("UNHEALTHY", False, True)],
)
def test_what_a_status_means(status: str, settled: bool, failed: bool) -> None:
    state = only(app(status))
    assert (state.settled, state.failed) == (settled, failed)


def test_the_error_is_the_reason_without_the_traceback() -> None:
    message = (
        "The deployment failed to start 3 times in a row. Error:\n"
        "Traceback (most recent call last):\n"
        '  File "x.py", line 1, in __init__\n'
        "serving.cluster.start_failure.EngineStartFailed: start failed: model m: no config.json\n"
    )
    details = app("DEPLOY_FAILED", message="application failed")
    details["deployments"]["Engine"] |= {"status": "DEPLOY_FAILED", "message": message}
    assert only(details).error == "model m: no config.json"


def test_a_failure_before_any_deployment_is_the_applications_own() -> None:
    assert only({"status": "DEPLOY_FAILED", "message": "import failed", "deployments": {}}).error == "import failed"


def test_a_healthy_application_has_no_error() -> None:
    assert only(app(message="all is well")).error == ""


def test_other_peoples_applications_are_told_apart() -> None:
    details = {"applications": {"engine-a": app(), "gateway": app(), "default": app(), "chatbot": app()}}
    assert foreign_apps(details) == ["chatbot", "default"]
    assert foreign_apps({"applications": {}}) == []
