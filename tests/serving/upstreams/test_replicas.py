"""The shipped fake of the replica list."""

from serving.upstreams.replicas import ReplicaSource, StaticReplicas


def test_a_fixed_list_of_urls_is_a_source() -> None:
    source: ReplicaSource = StaticReplicas(["http://127.0.0.1:1", "http://127.0.0.1:2"])
    live = source.replicas()
    assert [replica.url for replica in live] == ["http://127.0.0.1:1", "http://127.0.0.1:2"]
    assert len({replica.id for replica in live}) == 2
    assert list(StaticReplicas([]).replicas()) == []
