"""The one module that imports vLLM: an engine from flags, and vLLM's own app over it.

Imported only inside an engine replica. vLLM moves these names every few releases;
tests/serving/replica/test_vllm_adapter.py checks every one that is used here.
"""

import asyncio
import types
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.entrypoints.launchers.api_server.app_state import init_app_state
from vllm.entrypoints.launchers.app import build_app
from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
from vllm.entrypoints.serve.exception_handling.error_response import create_error_response
from vllm.model_executor.models.registry import ModelRegistry
from vllm.usage.usage_lib import UsageContext
from vllm.utils.argparse_utils import FlexibleArgumentParser
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.metrics.loggers import StatLoggerBase

from serving.replica.model_folder import architectures
from serving.replica.stats import EngineStats
from serving.replica.stream_errors import StreamErrors

SHUTDOWN_S = 3.0
"""How long EngineCore may take to end by itself; on a CPU it does not, and is killed."""


class VllmEngine:
    """One running `AsyncLLM`. Create it inside the loop that will serve its app; it blocks until the model is loaded.

    Raises whatever vLLM raises for a model it cannot load.
    """

    def __init__(self, flags: Sequence[str], stats: EngineStats) -> None:
        self._args = parse(flags)
        _inspect_in_process(self._args.model)
        config = AsyncEngineArgs.from_cli_args(self._args).create_engine_config(
            usage_context=UsageContext.OPENAI_API_SERVER
        )
        self._engine = AsyncLLM.from_vllm_config(
            config, usage_context=UsageContext.OPENAI_API_SERVER, stat_loggers=[_feeding(stats)]
        )

    async def app(self) -> ASGIApp:
        """vLLM's complete OpenAI-compatible app."""
        await self._engine.reset_mm_cache()
        tasks = await self._engine.get_supported_tasks()
        app: Any = build_app(self._args, tasks, self._engine.model_config)
        app.state.server = types.SimpleNamespace()  # vLLM's handler of engine errors writes to it
        await init_app_state(self._engine, app.state, self._args, tasks)
        return StreamErrors(app, _described)

    def unfinished(self) -> int:
        """Requests accepted and not yet answered."""
        return int(self._engine.get_num_unfinished_requests())

    async def check(self) -> None:
        """Raises when the engine process is dead."""
        await self._engine.check_health()

    async def shutdown(self) -> None:
        """End the engine's processes and wait for them."""
        await asyncio.to_thread(self._engine.shutdown, timeout=SHUTDOWN_S)


def _described(error: Exception) -> Mapping[str, Any]:
    """The error object that vLLM would have answered with, had it known in time."""
    return dict(create_error_response(error).error.model_dump())


def parse(flags: Sequence[str]) -> Namespace:
    """vLLM's own reading of its flags. Raises `SystemExit` on unknown ones, as argparse does."""
    args: Namespace = make_arg_parser(FlexibleArgumentParser()).parse_args(list(flags))
    validate_parsed_serve_args(args)
    return args


def _inspect_in_process(model: str) -> None:
    """Spare vLLM the subprocess it starts to look at a model class: a second import of everything, ten seconds."""
    for name in architectures(Path(model)):
        registered = ModelRegistry.models.get(name)
        if registered is not None:
            ModelRegistry.register_model(name, registered.load_model_cls())


def _feeding(stats: EngineStats) -> Any:
    """A per-engine stat logger factory that hands every step to `stats`."""

    class Feeder(StatLoggerBase):  # type: ignore[misc]
        def __init__(self, vllm_config: Any, engine_index: int = 0) -> None:
            pass

        def record(
            self, scheduler_stats: Any, iteration_stats: Any, mm_cache_stats: Any = None, engine_idx: int = 0
        ) -> None:
            stats.record(scheduler_stats, iteration_stats)

        def log_engine_initialized(self) -> None:
            pass

    return Feeder
