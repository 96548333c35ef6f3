"""The contract with vLLM 0.32: every name, signature and state name that the adapter relies on still exists."""

import inspect
from dataclasses import replace
from typing import Any

import pytest

from models.spec import EngineSpec, ModelSpec, Price
from serving.replica.flags import flags
from serving.replica.stats import EngineStats

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # importing vLLM warns about others

ENGINE = EngineSpec(source="weights", quantization="fp8_per_channel", revision="main", args={"max-num-seqs": 4})
SPEC = ModelSpec(
    name="m",
    tier="small",
    task="generate",
    context_length=256,
    capabilities=frozenset({"chat"}),
    price=Price(),
    leaves_premises=False,
    engine=ENGINE,
)


@pytest.fixture(scope="module")
def adapter() -> Any:
    return pytest.importorskip("serving.replica.vllm_adapter", exc_type=ImportError)


@pytest.mark.parametrize(
    "spec",
    [
        SPEC,
        replace(SPEC, task="embed"),
        replace(SPEC, engine=replace(ENGINE, num_gpus=2, tensor_parallel_size=2)),
    ],
    ids=["cpu", "embeddings", "gpus"],
)
def test_vllm_understands_every_flag(adapter: Any, spec: ModelSpec) -> None:
    args = adapter.parse(flags(spec))
    assert args.model == "weights"
    assert args.served_model_name == ["m"]
    assert args.max_model_len == 256
    assert args.quantization == "fp8_per_channel"
    assert args.enable_prompt_tokens_details is True
    assert args.max_num_seqs == 4


def test_an_unknown_flag_is_refused(adapter: Any) -> None:
    with pytest.raises(SystemExit):
        adapter.parse(["--model", "weights", "--no-such-flag", "1"])


def test_the_engine_is_made_with_the_arguments_we_pass(adapter: Any) -> None:
    made = inspect.signature(adapter.AsyncLLM.from_vllm_config).parameters
    assert {"vllm_config", "usage_context", "stat_loggers"} <= set(made)
    config = inspect.signature(adapter.AsyncEngineArgs.create_engine_config).parameters
    assert "usage_context" in config
    for name in ("check_health", "get_num_unfinished_requests", "get_supported_tasks", "reset_mm_cache", "shutdown"):
        assert callable(getattr(adapter.AsyncLLM, name))
    assert "timeout" in inspect.signature(adapter.AsyncLLM.shutdown).parameters


def test_the_app_is_built_with_the_arguments_we_pass(adapter: Any) -> None:
    assert list(inspect.signature(adapter.build_app).parameters) == ["args", "supported_tasks", "model_config"]
    state = inspect.signature(adapter.init_app_state).parameters
    assert list(state) == ["engine_client", "state", "args", "supported_tasks"]


def test_the_engine_error_handler_still_reads_the_server_from_the_state() -> None:
    from vllm.entrypoints.serve.exception_handling.handlers import vllm_error

    assert "app.state.server" in inspect.getsource(vllm_error)


def test_our_stat_logger_is_one_of_vllms_and_gets_what_it_sends(adapter: Any) -> None:
    from vllm.v1.metrics.stats import IterationStats, PrefixCacheStats, SchedulerStats

    stats = EngineStats(clock=lambda: 0.0)
    logger = adapter._feeding(stats)(None, 0)
    assert isinstance(logger, adapter.StatLoggerBase)
    ours = list(inspect.signature(type(logger).record).parameters)
    assert ours == list(inspect.signature(adapter.StatLoggerBase.record).parameters)
    iteration = IterationStats()
    iteration.num_generation_tokens = 3
    scheduler = SchedulerStats(num_running_reqs=2, prefix_cache_stats=PrefixCacheStats(queries=64, hits=32))
    logger.record(scheduler, iteration)
    seen = stats.state(model="m", replica="r", pid=1, pids=(), unfinished=2, problem=None)
    assert (seen.running, seen.prefix_queries, seen.prefix_hits, seen.generated_tokens) == (2, 64, 32, 3)


def test_a_model_class_can_be_looked_at_without_a_subprocess(adapter: Any) -> None:
    registered = adapter.ModelRegistry.models["LlamaForCausalLM"]
    assert callable(registered.load_model_cls)
    assert callable(adapter.ModelRegistry.register_model)
