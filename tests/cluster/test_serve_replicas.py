"""The contract of `ServeReplicas` with this version of Serve, read by a replica inside a real cluster."""

from tests.cluster.live import ENGINES, LiveCluster, ask, wait_for


def test_every_engine_has_one_live_replica_with_a_port_that_answers(live: LiveCluster) -> None:
    for model in ENGINES:
        replicas = wait_for(lambda model=model: live.replicas(f"engine-{model}"), what="a replica")
        deployment = live.application(f"engine-{model}")["deployments"]["Engine"]
        serve_ids = {replica["replica_id"] for replica in deployment["replicas"]}
        assert set(replicas) == serve_ids
        assert [ask(url + "/-/healthz").status for url in replicas.values()] == [200]


def test_an_application_that_does_not_exist_has_no_replicas(live: LiveCluster) -> None:
    assert live.replicas("engine-nobody") == {}


def test_every_reader_gets_the_same_token(live: LiveCluster) -> None:
    assert live.token == live.token
    assert len(live.token) >= 32
