"""What one engine replica is started with: vLLM's command-line flags and the process environment.

A pure function of a catalogue entry; imports neither vLLM nor Ray and touches no file. Whatever the entry says
wins over the defaults here.
"""

from collections.abc import Iterator

from models.spec import EngineSpec, ModelSpec, Scalar

CPU_KV_CACHE_BYTES = 64 * 1024 * 1024
"""KV cache of an engine on a CPU when its entry names none; without it vLLM claims 0.92 of the machine's memory."""
CPU_BLOCK_TOKENS = 32
"""Tokens per KV block on a CPU. vLLM's own default there is 128: shorter prompts would never share a prefix."""


def flags(spec: ModelSpec) -> list[str]:
    """Command-line flags for `vllm serve`, without the command itself."""
    engine = engine_of(spec)
    return [
        flag for name, value in (_defaults(spec, engine) | dict(engine.args)).items() for flag in _flag(name, value)
    ]


def environment(spec: ModelSpec, *, local: bool) -> dict[str, str]:
    """Environment of the replica's processes. `local`: the weights are a folder here, so nothing is downloaded."""
    engine = engine_of(spec)
    settings = {
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_MAX_N_SEQUENCES": "64",  # answers per request; vLLM's own bound is 16,384
        "TOKENIZERS_PARALLELISM": "false",  # the tokenizer already runs beside an event loop
    }
    if local:
        settings |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    if engine.num_gpus == 0:
        settings |= _cpu_environment(engine)
    return settings


def engine_of(spec: ModelSpec) -> EngineSpec:
    """The engine section of an entry. Raises `ValueError` for a hosted model."""
    if spec.engine is None:
        raise ValueError(f"model {spec.name}: not an engine of ours, it has no `engine` section")
    return spec.engine


def _cpu_environment(engine: EngineSpec) -> dict[str, str]:
    settings = {
        "OMP_NUM_THREADS": str(max(1, int(engine.num_cpus))),
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # `auto` pins every replica of the machine to the same cores
        # vLLM compiles its logprobs function even when told to be eager: a stall of seconds at the first request that
        # asks for them, and a dead engine on a machine without a C++ compiler.
        "TORCH_COMPILE_DISABLE": "1",
        "VLLM_PLUGINS": "",  # entry points of other packages stay out of the replica
    }
    if engine.tensor_parallel_size == 1:
        # Keeps the one worker inside EngineCore: a process, its 0.8 GB and its import time less, and steps that
        # do not cross shared memory. vLLM turns `uni` into `mp` on a CPU unless this says 0.
        settings["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    return settings


def _defaults(spec: ModelSpec, engine: EngineSpec) -> dict[str, Scalar]:
    defaults: dict[str, Scalar] = {
        "model": engine.source,
        "served-model-name": spec.name,
        "max-model-len": spec.context_length,
        "enable-prompt-tokens-details": True,  # `cached_tokens` in usage
        "prefix-caching-hash-algo": "sha256_cbor",  # the one that agrees across replicas and versions of Python
        "disable-fastapi-docs": True,
    }
    if engine.revision is not None:
        defaults["revision"] = engine.revision
    if engine.quantization is not None:
        defaults["quantization"] = engine.quantization
    if engine.tensor_parallel_size > 1:
        defaults |= {"tensor-parallel-size": engine.tensor_parallel_size, "distributed-executor-backend": "mp"}
    if spec.task == "embed":
        defaults["runner"] = "pooling"
    return defaults | (_cpu_defaults(engine) if engine.num_gpus == 0 else {})


def _cpu_defaults(engine: EngineSpec) -> dict[str, Scalar]:
    defaults: dict[str, Scalar] = {
        "dtype": "bfloat16",
        "enforce-eager": True,  # compiling costs more than small models win
        "kv-cache-memory-bytes": CPU_KV_CACHE_BYTES,
        "block-size": CPU_BLOCK_TOKENS,
    }
    if engine.tensor_parallel_size == 1:
        defaults["distributed-executor-backend"] = "uni"
    return defaults


def _flag(name: str, value: Scalar) -> Iterator[str]:
    if value is True:
        yield f"--{name}"
    elif value is False:
        yield f"--no-{name}"
    else:
        yield f"--{name}"
        yield str(value)
