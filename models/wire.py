"""Checks plain data against a pydantic model and says what is wrong in words people can act on.

Knows nothing of any particular model. Every unknown key is answered with the nearest valid one; a value is shown only
where its key is known, because an unknown key may hold a secret.
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from models.document import Location, Problem

Wire = TypeVar("Wire", bound=BaseModel)


def parse(model: type[Wire], data: object, at: Location = ()) -> tuple[Wire, list[Problem]]:
    """`data` as a `model` without its bad parts, and a problem for each of those.

    Every field of `model` must have a default, so that whatever is left over can still be checked further.
    """
    try:
        return model.model_validate(data), []
    except ValidationError as error:
        details = error.errors(include_url=False)
    problems = [_problem(model, detail, at) for detail in details]
    for detail in details:
        data = _without(data, detail["loc"])
    return model.model_validate(data), problems


def nearest(name: str, valid: Iterable[str]) -> str | None:
    """The valid name that `name` was probably meant to be."""
    by_spelling = {choice.replace("_", "-"): choice for choice in sorted(valid)}
    near = difflib.get_close_matches(name.lower().replace("_", "-"), by_spelling, 1, 0.6)
    return by_spelling[near[0]] if near else None


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: the nearest valid one, or all of them when none is near."""
    choices = sorted(valid)
    near = nearest(name, choices)
    return f"did you mean '{near}'?" if near else f"valid here: {', '.join(choices)}"


def shown(value: object) -> str:
    """A value for a message, cut short."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _problem(model: type[BaseModel], detail: ErrorDetails, at: Location) -> Problem:
    place = (*at, *detail["loc"])
    if detail["type"] != "extra_forbidden":
        return Problem(place, _sentence(detail))
    key, valid = str(place[-1]), _fields_at(model, detail["loc"][:-1])
    near = nearest(key, valid)
    return Problem(place, f"unknown key; {did_you_mean(key, valid)}", meant=(*place[:-1], near) if near else ())


def _sentence(detail: ErrorDetails) -> str:
    kinds = {"model_type": "must be a mapping", "path_type": "must be a path"}
    text = kinds.get(detail["type"]) or detail["msg"].replace("Input should be", "must be")
    return f"{text}, got {shown(detail['input'])}"


def _fields_at(model: type[BaseModel], location: Location) -> list[str]:
    """Names of the fields of the model that sits at `location` inside `model`."""
    for part in location:
        if isinstance(part, str):
            model = _model_in(model.model_fields[part].annotation)
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel]:
    """The pydantic model inside an annotation such as `Engine | None` or `list[Model]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(_model_in(inner) for inner in get_args(annotation) if inner is not type(None))


def _without(data: object, location: Location) -> object:
    """A copy of `data` without what is at `location`; an item of a list takes the whole list with it."""
    if not location or not isinstance(data, Mapping):
        return {}
    key, rest = location[0], location[1:]
    if key not in data:
        return data
    kept = {k: v for k, v in data.items() if k != key}
    if rest and isinstance(data[key], Mapping):
        kept[key] = _without(data[key], rest)
    return kept
