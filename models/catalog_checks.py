"""Which entries of the catalogue, alone or together, cannot work. Engines and hosted APIs have modules of their own."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from models.catalog_schema import WireModel, WirePrice
from models.document import Location, Problem
from models.engine_checks import engine_problems
from models.hosted_checks import hosted_problems
from models.spec import EMBED_TIER, FEATURES, OPERATIONS
from models.wire import did_you_mean, nearest, shown

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
RESERVED_NAMES: Mapping[str, str] = {
    "auto": "it asks Millrace to choose the model",
    "ladder": "it is the name of the policy behind `auto`",
    "gateway": "tables and reports call the gateway so",
}
"""Names no model may have, and why."""
GENERATING = frozenset({"chat", "completions", "responses", "messages"})
EMBEDDING = frozenset({"embeddings", "rerank", "score"})

Entries = Mapping[Location, WireModel]
"""Every entry that is a mapping, by where it stands."""


def model_problems(model: WireModel, at: Location, folder: Path) -> Iterator[Problem]:
    """Everything wrong with one entry by itself."""
    yield from _names(model, at)
    if model.context_length is None:
        yield Problem((*at, "context_length"), "is missing; tokens of prompt and answer together")
    yield from _capabilities(model, (*at, "capabilities"))
    yield from _price(model, (*at, "price"))
    if model.timeouts.total_s < model.timeouts.first_token_s:
        yield Problem((*at, "timeouts", "total_s"), "is less than first_token_s")
    yield from _where(model, at, folder)


def together_problems(ladder: Sequence[str], entries: Entries) -> Iterator[Problem]:
    """Everything wrong with the entries taken together."""
    yield from _ladder(ladder, entries)
    yield from _twice(entries)
    for at, model in entries.items():
        yield from _tier(ladder, model, (*at, "tier"))


def _names(model: WireModel, at: Location) -> Iterator[Problem]:
    if model.name is None:
        yield Problem((*at, "name"), "is missing; what clients ask for")
    elif not NAME.fullmatch(model.name):
        rule = "must be 1 to 63 letters, digits, '.', '_' or '-', the first a letter or digit"
        yield Problem((*at, "name"), f"{rule}, got {shown(model.name)}")
    elif model.name in RESERVED_NAMES:
        yield Problem((*at, "name"), f"'{model.name}' is taken: {RESERVED_NAMES[model.name]}")


def _capabilities(model: WireModel, at: Location) -> Iterator[Problem]:
    known = (*OPERATIONS, *FEATURES)
    other = EMBEDDING if model.task == "generate" else {*GENERATING, *FEATURES}
    for i, capability in enumerate(model.capabilities):
        if capability not in known:
            yield Problem((*at, i), f"unknown capability {shown(capability)}; {did_you_mean(capability, known)}")
        elif capability in other:
            yield Problem((*at, i), f"a model of task '{model.task}' cannot have '{capability}'")
    needed = GENERATING if model.task == "generate" else EMBEDDING
    if not model.capabilities:
        yield Problem(at, f"is missing; at least one of {', '.join(sorted(needed))}")


def _price(model: WireModel, at: Location) -> Iterator[Problem]:
    price = model.price or WirePrice()
    by_time = price.usd_per_gpu_second is not None
    by_token = price.usd_per_million_input_tokens is not None or price.usd_per_million_output_tokens is not None
    if not by_time and not by_token:
        yield Problem(at, "is missing; set usd_per_gpu_second, or usd_per_million_input_tokens and …output_tokens")
    elif by_time and (by_token or price.usd_per_million_cached_tokens is not None):
        yield Problem(at, "has two kinds; a model is paid either by GPU-second or by token")
    elif by_time and model.hosted is not None:
        yield Problem((*at, "usd_per_gpu_second"), "a hosted API is paid by token; nobody sees its GPU-seconds")
    elif by_token and price.usd_per_million_input_tokens is None:
        yield Problem((*at, "usd_per_million_input_tokens"), "is missing beside the price of output tokens")
    elif by_token and price.usd_per_million_output_tokens is None and model.task == "generate":
        yield Problem((*at, "usd_per_million_output_tokens"), "is missing beside the price of input tokens")


def _where(model: WireModel, at: Location, folder: Path) -> Iterator[Problem]:
    if model.engine is None and model.hosted is None:
        yield Problem((*at, "engine"), "is missing; set 'engine' (we host it) or 'hosted' (somebody else does)")
    elif model.engine is not None and model.hosted is not None:
        yield Problem((*at, "hosted"), "cannot stand beside 'engine'; write two models of different names")
    if model.engine is not None:
        yield from engine_problems(model, model.engine, (*at, "engine"), folder)
        if model.leaves_premises and model.hosted is None:
            yield Problem((*at, "leaves_premises"), "prompts to an engine stay on your machines; remove it")
    if model.hosted is not None:
        yield from hosted_problems(model.hosted, (*at, "hosted"))
        if model.leaves_premises is None:
            message = "is missing; say whether prompts sent there leave your machines (true or false)"
            yield Problem((*at, "leaves_premises"), message)


def _ladder(ladder: Sequence[str], entries: Entries) -> Iterator[Problem]:
    if not ladder:
        yield Problem(("ladder",), "is missing; the tiers of `model: auto`, cheapest first")
    if not entries:
        yield Problem(("models",), "is missing; at least one model")
    tiers = {model.tier for model in entries.values()}
    for i, tier in enumerate(ladder):
        if tier == EMBED_TIER:
            yield Problem(("ladder", i), f"'{EMBED_TIER}' stands outside the ladder; its models generate nothing")
        elif tier in ladder[:i]:
            yield Problem(("ladder", i), f"tier '{tier}' is on the ladder twice")
        elif tier not in tiers:
            yield Problem(("ladder", i), f"tier '{tier}' has no model; give one 'tier: {tier}', or remove the tier")


def _tier(ladder: Sequence[str], model: WireModel, at: Location) -> Iterator[Problem]:
    if model.tier is None:
        yield Problem(at, "is missing; a tier of the ladder, or 'embed'")
    elif (model.task == "embed") != (model.tier == EMBED_TIER):
        yield Problem(at, f"task '{model.task}' and tier '{model.tier}' do not fit; 'embed' goes with 'embed' only")
    elif model.tier not in (*ladder, EMBED_TIER):
        message = f"{shown(model.tier)} is not on the ladder; {did_you_mean(model.tier, [*ladder, EMBED_TIER])}"
        near = nearest(model.tier, ladder)
        yield Problem(at, message, meant=("ladder", ladder.index(near)) if near else ())


def _twice(entries: Entries) -> Iterator[Problem]:
    first: dict[str, Location] = {}
    for at, model in entries.items():
        if model.name in first:
            index = first[model.name][1]
            yield Problem((*at, "name"), f"'{model.name}' is the name of models[{index}] too; names are unique")
        elif model.name is not None:
            first[model.name] = at
