"""From a catalogue entry to vLLM's flags and the replica's environment."""

from dataclasses import replace

import pytest

from models.spec import EngineSpec, ModelSpec, Price
from serving.replica.flags import environment, flags

ENGINE = EngineSpec(source="weights")
SPEC = ModelSpec(
    name="m",
    tier="small",
    task="generate",
    context_length=1024,
    capabilities=frozenset({"chat"}),
    price=Price(),
    leaves_premises=False,
    engine=ENGINE,
)


def value(given: list[str], name: str) -> str:
    """The value behind the one flag of this name."""
    assert given.count(name) == 1
    return given[given.index(name) + 1]


def on(engine: EngineSpec, **more: object) -> list[str]:
    return flags(replace(SPEC, engine=engine, **more))  # type: ignore[arg-type]


def test_the_served_name_is_the_catalogue_name() -> None:
    given = on(ENGINE)
    assert value(given, "--served-model-name") == "m"
    assert value(given, "--model") == "weights"
    assert value(given, "--max-model-len") == "1024"
    assert "--enable-prompt-tokens-details" in given


def test_on_a_cpu_memory_is_bounded_and_short_prompts_share_prefixes() -> None:
    given = on(ENGINE)
    assert int(value(given, "--kv-cache-memory-bytes")) < 2**30
    assert value(given, "--block-size") == "32"
    assert "--enforce-eager" in given


def test_on_a_gpu_vllm_decides() -> None:
    given = on(replace(ENGINE, num_gpus=1))
    assert not {"--kv-cache-memory-bytes", "--block-size", "--enforce-eager", "--dtype"} & set(given)


def test_the_entry_wins_over_every_default() -> None:
    args = {"block-size": 64, "enforce-eager": False, "max-num-seqs": 8, "seed": 3}
    given = on(replace(ENGINE, args=args))
    assert value(given, "--block-size") == "64"
    assert value(given, "--max-num-seqs") == "8"
    assert "--no-enforce-eager" in given
    assert "--enforce-eager" not in given


@pytest.mark.parametrize(
    ("engine", "name", "expected"),
    [
        (replace(ENGINE, revision="v2"), "--revision", "v2"),
        (replace(ENGINE, quantization="fp8_per_channel"), "--quantization", "fp8_per_channel"),
        (replace(ENGINE, num_gpus=2, tensor_parallel_size=2), "--tensor-parallel-size", "2"),
        (replace(ENGINE, num_gpus=2, tensor_parallel_size=2), "--distributed-executor-backend", "mp"),
    ],
    ids=["revision", "quantization", "tensor parallel", "executor"],
)
def test_fields_become_flags(engine: EngineSpec, name: str, expected: str) -> None:
    assert value(on(engine), name) == expected


def test_embeddings_use_the_pooling_runner() -> None:
    assert value(on(ENGINE, task="embed"), "--runner") == "pooling"
    assert "--runner" not in on(ENGINE)


def test_a_hosted_model_has_no_engine() -> None:
    with pytest.raises(ValueError, match="model m: not an engine"):
        flags(replace(SPEC, engine=None))


def test_no_replica_phones_home() -> None:
    for engine in (ENGINE, replace(ENGINE, num_gpus=1)):
        settings = environment(replace(SPEC, engine=engine), local=False)
        assert (settings["VLLM_NO_USAGE_STATS"], settings["DO_NOT_TRACK"]) == ("1", "1")
        assert "HF_HUB_OFFLINE" not in settings


def test_local_weights_need_no_network() -> None:
    assert environment(SPEC, local=True)["HF_HUB_OFFLINE"] == "1"


@pytest.mark.parametrize(("num_cpus", "threads"), [(0.25, "1"), (1, "1"), (2.5, "2"), (8, "8")])
def test_a_replica_uses_as_many_threads_as_it_asked_for(num_cpus: float, threads: str) -> None:
    settings = environment(replace(SPEC, engine=replace(ENGINE, num_cpus=num_cpus)), local=True)
    assert settings["OMP_NUM_THREADS"] == threads
    assert settings["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"


def test_gpu_replicas_keep_their_threads_and_plugins() -> None:
    settings = environment(replace(SPEC, engine=replace(ENGINE, num_gpus=1)), local=True)
    assert not {"OMP_NUM_THREADS", "VLLM_PLUGINS", "VLLM_ENABLE_V1_MULTIPROCESSING"} & set(settings)


def test_the_worker_gets_a_process_of_its_own_only_when_there_are_several() -> None:
    several = replace(SPEC, engine=replace(ENGINE, tensor_parallel_size=2))
    assert environment(SPEC, local=True)["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"
    assert "VLLM_ENABLE_V1_MULTIPROCESSING" not in environment(several, local=True)
    assert value(flags(SPEC), "--distributed-executor-backend") == "uni"
