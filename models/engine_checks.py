"""Which engine entries of the catalogue cannot work, and why.

Looks at the file system only to see that local weights are there; knows nothing of Ray and imports no vLLM.
"""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

from models.catalog_schema import WireEngine, WireModel, WireResources
from models.document import Location, Problem
from models.quantizations import DEPRECATED, GPU_ONLY, QUANTIZATIONS
from models.reserved_options import RESERVED_OPTIONS
from models.vllm_options import ONE_WAY_SWITCHES, OPTIONS, SWITCHES
from models.wire import did_you_mean, shown

HUGGINGFACE_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def option_name(key: str) -> str:
    """A vLLM option as the catalogue may write it, in the one spelling used inside."""
    return key.replace("_", "-")


def engine_problems(model: WireModel, engine: WireEngine, at: Location, folder: Path) -> Iterator[Problem]:
    """Everything wrong with one engine; `at` is where it stands, `folder` where relative paths start."""
    yield from _source(model, engine, at, folder)
    yield from _quantization(engine, at)
    yield from _resources(engine, engine.resources, (*at, "resources"))
    if engine.replicas.max is not None and engine.replicas.max < engine.replicas.min:
        message = f"is less than min ({engine.replicas.max} < {engine.replicas.min})"
        yield Problem((*at, "replicas", "max"), message)
    for key, value in engine.args.items():
        yield from _option(key, value, (*at, "args", key))
    yield from _runner(model, engine, at)


def _source(model: WireModel, engine: WireEngine, at: Location, folder: Path) -> Iterator[Problem]:
    if engine.path is not None and engine.huggingface is not None:
        yield Problem((*at, "huggingface"), "two sources; keep either 'path' or 'huggingface'")
    elif engine.huggingface is not None:
        yield from _hub(engine, at, engine.huggingface)
    elif engine.path is None:
        yield Problem((*at, "path"), "the source is missing; set 'path' (a local folder) or 'huggingface' (owner/name)")
    else:
        yield from _local(model, (*at, "path"), (folder / engine.path).resolve())
        if engine.revision is not None:
            yield Problem((*at, "revision"), "only a Hugging Face source has revisions; remove it")


def _hub(engine: WireEngine, at: Location, huggingface: str) -> Iterator[Problem]:
    if not HUGGINGFACE_ID.fullmatch(huggingface):
        yield Problem((*at, "huggingface"), f"must look like 'owner/name', got {shown(huggingface)}")
    if not engine.revision:
        yield Problem((*at, "revision"), "is missing; name a commit or tag, so that every replica has the same weights")


def _local(model: WireModel, at: Location, source: Path) -> Iterator[Problem]:
    if not source.exists():
        yield Problem(at, f"no such folder: {source}")
    elif source.is_file():
        if source.suffix != ".gguf":
            yield Problem(at, f"must be a folder with the weights, not a file: {source}")
    elif not any((source / name).is_file() for name in ("config.json", "params.json")):
        yield Problem(at, f"no config.json in {source}; it must be a folder with a model's weights")
    else:
        yield from _length(model, at, source / "config.json")


def _length(model: WireModel, at: Location, config: Path) -> Iterator[Problem]:
    """vLLM refuses a context longer than the positions a model was made for."""
    try:
        positions = json.loads(config.read_bytes()).get("max_position_embeddings") if config.is_file() else None
    except (OSError, ValueError, AttributeError) as error:
        yield Problem(at, f"{config} cannot be read: {error}")
        return
    if isinstance(positions, int) and model.context_length is not None and model.context_length > positions:
        message = f"is more than the {positions} positions of the weights (max_position_embeddings in {config})"
        yield Problem((*at[:-2], "context_length"), message)


def _quantization(engine: WireEngine, at: Location) -> Iterator[Problem]:
    method, where = engine.quantization, (*at, "quantization")
    if method is None:
        return
    if method not in QUANTIZATIONS:
        yield Problem(where, f"{shown(method)} is unknown to vLLM; {did_you_mean(method, QUANTIZATIONS)}")
    elif method in GPU_ONLY and engine.resources.num_gpus == 0:
        yield Problem(where, f"'{method}' cannot run with resources.num_gpus 0: {GPU_ONLY[method]}")
    elif method in DEPRECATED and not _args(engine).get("allow-deprecated-quantization"):
        yield Problem(where, f"'{method}' is deprecated; vLLM needs args.allow-deprecated-quantization: true for it")


def _resources(engine: WireEngine, resources: WireResources, at: Location) -> Iterator[Problem]:
    gpus = resources.num_gpus
    if gpus > 1 and not gpus.is_integer():
        yield Problem((*at, "num_gpus"), f"more than one GPU must be a whole number, got {gpus}")
    pipeline = _args(engine).get("pipeline-parallel-size", 1)
    stages = pipeline if isinstance(pipeline, int) else 1
    needed = resources.tensor_parallel_size * stages
    if gpus > 0 and math.ceil(gpus) < needed:
        parts = f"{resources.tensor_parallel_size}" + (f" x {stages} pipeline stages" if stages > 1 else "")
        yield Problem((*at, "tensor_parallel_size"), f"{parts} needs {needed} GPUs, but num_gpus is {gpus:g}")


def _option(key: str, value: object, at: Location) -> Iterator[Problem]:
    name = option_name(key)
    stem = name.partition(".")[0]
    if stem in RESERVED_OPTIONS:
        yield Problem(at, f"cannot be set here: {RESERVED_OPTIONS[stem]}")
    elif stem not in OPTIONS:
        yield Problem(at, f"unknown to vLLM; {_nearest_option(name)}")
    elif name in SWITCHES | ONE_WAY_SWITCHES:
        if not isinstance(value, bool):
            yield Problem(at, f"must be true or false, got {shown(value)}")
    elif value is None or isinstance(value, list) or (isinstance(value, bool) and "." not in name):
        yield Problem(at, f"must be one value (text, a number, or a mapping), got {shown(value)}")


def _nearest_option(name: str) -> str:
    hint = did_you_mean(name.lstrip("-").removeprefix("no-"), OPTIONS - RESERVED_OPTIONS.keys())
    return hint if hint.startswith("did") else "see 'vllm serve --help=all' for its options"


def _runner(model: WireModel, engine: WireEngine, at: Location) -> Iterator[Problem]:
    runner = _args(engine).get("runner")
    fitting = ("pooling",) if model.task == "embed" else ("auto", "generate")
    if runner is not None and runner not in fitting:
        yield Problem((*at, "args", "runner"), f"{shown(runner)} does not fit task '{model.task}'; remove it")
    if "tools" in model.capabilities and not _calls_tools(engine):
        message = (
            "'tools' needs args.enable-auto-tool-choice: true and args.tool-call-parser, or vLLM refuses tool calls"
        )
        yield Problem((*at[:-1], "capabilities"), message)


def _calls_tools(engine: WireEngine) -> bool:
    args = _args(engine)
    return bool(args.get("enable-auto-tool-choice")) and "tool-call-parser" in args


def _args(engine: WireEngine) -> dict[str, object]:
    return {option_name(key): value for key, value in engine.args.items()}
