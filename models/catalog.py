"""Loads the catalogue: a YAML file in, frozen specs out, or every mistake in it at once.

Knows nothing of requests, Ray or vLLM. Hosted keys are not read here unless an environment is passed in, because
engines load the same catalogue on machines that have no such key.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from models.catalog_checks import model_problems, together_problems
from models.catalog_schema import WireCatalog, WireEngine, WireHosted, WireModel, WirePrice
from models.document import Document, Location, Problem, read_document
from models.engine_checks import option_name
from models.errors import CatalogError
from models.hosted_keys import check_secrets
from models.spec import Catalog, EngineSpec, HostedSpec, ModelSpec, Price, Scalar, Timeouts
from models.vllm_options import ONE_WAY_SWITCHES
from models.wire import parse, shown

DEFAULT_CATALOG = Path(__file__).parent / "catalog.yaml"


def load_catalog(path: Path, *, env: Mapping[str, str] | None = None) -> Catalog:
    """The catalogue at `path`. Raises `CatalogError` with every problem; with `env`, hosted keys are checked too.

    Local weights must exist, relative to the file's own folder.
    """
    document = read_document(path)
    entries: dict[Location, WireModel] = {}
    ladder: list[str] = []
    if document.data is not None:
        ladder, entries = _understand(document)
    if document.problems:
        raise CatalogError(document.report())
    folder = path.resolve().parent
    specs = [_model(wire, folder) for wire in entries.values()]
    catalog = Catalog(path=path, ladder=tuple(ladder), models={spec.name: spec for spec in specs})
    if env is not None and (problems := check_secrets(catalog, env)):
        raise CatalogError(problems)
    return catalog


def find_catalog(name: str, *, beside: Path | None = None) -> Path:
    """The absolute path of a catalogue named in a config: relative names are looked up beside that config, then here.

    "Here" is the working directory, then the folder that holds the `models` package, so that a cluster whose workers
    start elsewhere finds the shipped one. A name found nowhere is returned relative to the first of these.
    """
    roots = [*([beside.resolve().parent] if beside else []), Path.cwd(), Path(__file__).resolve().parents[1]]
    candidates = [root / name for root in roots]
    return next((path for path in candidates if path.is_file()), candidates[0])


def _understand(document: Document) -> tuple[list[str], dict[Location, WireModel]]:
    """The entries as far as they can be read; what is wrong is noted in the document."""
    catalog, problems = parse(WireCatalog, document.data)
    document.add(*problems)
    entries: dict[Location, WireModel] = {}
    for i, data in enumerate(catalog.models):
        entry = _entry(document, data, ("models", i))
        if entry is not None:
            entries[("models", i)] = entry
    document.add(*_unless_known(document, together_problems(catalog.ladder, entries)))
    return catalog.ladder, entries


def _entry(document: Document, data: object, at: Location) -> WireModel | None:
    if not isinstance(data, dict):
        document.add(Problem(at, f"must be a mapping that describes a model, got {shown(data)}"))
        return None
    model, problems = parse(WireModel, data, at)
    document.add(*problems)
    document.add(*_unless_known(document, model_problems(model, at, document.path.resolve().parent)))
    return model


def _unless_known(document: Document, found: Iterable[Problem]) -> list[Problem]:
    """Without what only follows from another problem: a value of a wrong type or under a wrong key is not missing."""
    new = list(found)
    noted = [problem.location for problem in document.problems]
    noted += [problem.meant for problem in (*document.problems, *new) if problem.meant]
    return [p for p in new if not any(location[: len(p.location)] == p.location for location in noted)]


def _model(wire: WireModel, folder: Path) -> ModelSpec:
    """An entry without problems as a spec."""
    return ModelSpec(
        name=wire.name or "",
        tier=wire.tier or "",
        task=wire.task,
        context_length=wire.context_length or 0,
        capabilities=frozenset(wire.capabilities),
        price=_price(wire.price or WirePrice(), gpus=wire.engine.resources.num_gpus if wire.engine else 0.0),
        leaves_premises=bool(wire.leaves_premises),
        timeouts=Timeouts(**wire.timeouts.model_dump()),
        engine=_engine(wire.engine, folder) if wire.engine else None,
        hosted=_hosted(wire.hosted, folder) if wire.hosted else None,
    )


def _price(wire: WirePrice, *, gpus: float) -> Price:
    """The price of a replica: a second of it is a second of each of its GPUs, or of itself when it has none."""
    per_input = (wire.usd_per_million_input_tokens or 0.0) / 1e6
    cached = wire.usd_per_million_cached_tokens
    return Price(
        usd_per_gpu_second=(wire.usd_per_gpu_second or 0.0) * (gpus or 1.0),
        usd_per_input_token=per_input,
        usd_per_cached_token=per_input if cached is None else cached / 1e6,
        usd_per_output_token=(wire.usd_per_million_output_tokens or 0.0) / 1e6,
    )


def _engine(wire: WireEngine, folder: Path) -> EngineSpec:
    return EngineSpec(
        source=str((folder / wire.path).resolve()) if wire.path else wire.huggingface or "",
        revision=wire.revision,
        quantization=wire.quantization,
        args=_options(wire.args),
        num_cpus=wire.resources.num_cpus,
        num_gpus=wire.resources.num_gpus,
        tensor_parallel_size=wire.resources.tensor_parallel_size,
        min_replicas=wire.replicas.min,
        max_replicas=wire.replicas.min if wire.replicas.max is None else wire.replicas.max,
    )


def _options(args: Mapping[str, object]) -> dict[str, Scalar]:
    """vLLM options in one spelling: mappings as the JSON vLLM expects, one-way switches only where they are on."""
    named = {option_name(key): value for key, value in args.items()}
    return {k: _scalar(v) for k, v in named.items() if v is not False or k not in ONE_WAY_SWITCHES}


def _scalar(value: object) -> Scalar:
    return value if isinstance(value, str | int | float) else json.dumps(value, sort_keys=True)


def _hosted(wire: WireHosted, folder: Path) -> HostedSpec:
    return HostedSpec(
        base_url=(wire.base_url or "").rstrip("/"),
        model=wire.model or "",
        key_env=wire.key_env,
        key_file=(folder / wire.key_file).resolve() if wire.key_file else None,
        stand_in=wire.stand_in,
    )
