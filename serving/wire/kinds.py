"""The kinds of parameter values: each says what is right in words and as JSON schema, and refuses what is not.

Knows no parameter. A bound is a number, or the name of one of `InputLimits`. Refusals are `BadRequest`s that name the
field and the fix; null never gets here, because it counts as absent.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

import msgspec

from serving.errors import BadRequest
from serving.wire.json_guard import json_type
from serving.wire.limits import InputLimits

INT64 = 2**63 - 1
_SHOWN_CHARS = 40

Bound = int | str
JsonSchema = Mapping[str, Any]


class Kind(Protocol):
    """What one parameter may be."""

    def check(self, name: str, value: Any, limits: InputLimits) -> None:
        """Raises `BadRequest` when `value` is not of this kind."""
        ...

    def says(self, limits: InputLimits) -> str:
        """The kind in words, as in "must be …"."""
        ...

    def schema(self, limits: InputLimits) -> JsonSchema:
        """The kind as JSON schema (2020-12)."""
        ...


def refuse(name: str, says: str, value: Any) -> NoReturn:
    """Raise the `BadRequest` for `value` where `says` was wanted."""
    raise BadRequest(f"{name}: must be {says}, not {shown(value)}", param=name)


def too_many(name: str, says: str, value: list[Any]) -> NoReturn:
    """Raise the `BadRequest` for a list that is too long."""
    raise BadRequest(f"{name}: must be {says}, not {len(value)} of them", param=name)


def shown(value: Any) -> str:
    """`value` as an error message shows it: short scalars as they were sent, everything else by its type."""
    if type(value) in (bool, int, float, str) and value != "":
        text = msgspec.json.encode(value).decode()
        if len(text) <= _SHOWN_CHARS:
            return text
    return json_type(value)


def resolved(bound: Bound, limits: InputLimits) -> int:
    """The number a bound stands for."""
    return bound if isinstance(bound, int) else int(getattr(limits, bound))


def _setting(bound: Bound) -> str:
    return f" (setting {bound})" if isinstance(bound, str) else ""


@dataclass(frozen=True, slots=True)
class Number:
    """A number from `low` to `high`."""

    low: float
    high: float

    def check(self, name: str, value: Any, limits: InputLimits) -> None:
        """See `Kind.check`."""
        if (type(value) is float or type(value) is int) and self.low <= value <= self.high:
            return
        refuse(name, self.says(limits), value)

    def says(self, limits: InputLimits) -> str:
        """See `Kind.says`."""
        return f"a number from {self.low:g} to {self.high:g}"

    def schema(self, limits: InputLimits) -> JsonSchema:
        """See `Kind.schema`."""
        return {"type": "number", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number from `low` to `high`; `2.0` is one, as in JSON schema."""

    low: int
    high: Bound = INT64

    def check(self, name: str, value: Any, limits: InputLimits) -> None:
        """See `Kind.check`."""
        whole = type(value) is int or (type(value) is float and value.is_integer())
        if whole and self.low <= value <= resolved(self.high, limits):
            return
        refuse(name, self.says(limits), value)

    def says(self, limits: InputLimits) -> str:
        """See `Kind.says`."""
        if self.high != INT64:
            return f"an integer from {self.low} to {resolved(self.high, limits)}{_setting(self.high)}"
        return "a 64-bit integer" if self.low < -1 else f"an integer of at least {self.low}"

    def schema(self, limits: InputLimits) -> JsonSchema:
        """See `Kind.schema`."""
        return {"type": "integer", "minimum": self.low, "maximum": resolved(self.high, limits)}


@dataclass(frozen=True, slots=True)
class OfType:
    """A boolean, a string or an object."""

    type: type
    words: str
    json_type: str

    def check(self, name: str, value: Any, limits: InputLimits) -> None:
        """See `Kind.check`."""
        if type(value) is not self.type:
            refuse(name, self.words, value)

    def says(self, limits: InputLimits) -> str:
        """See `Kind.says`."""
        return self.words

    def schema(self, limits: InputLimits) -> JsonSchema:
        """See `Kind.schema`."""
        return {"type": self.json_type}


BOOLEAN = OfType(bool, "true or false", "boolean")
TEXT = OfType(str, "a string", "string")
OBJECT = OfType(dict, "an object", "object")


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of a few words."""

    words: tuple[str, ...]

    def check(self, name: str, value: Any, limits: InputLimits) -> None:
        """See `Kind.check`."""
        if not isinstance(value, str) or value not in self.words:
            refuse(name, self.says(limits), value)

    def says(self, limits: InputLimits) -> str:
        """See `Kind.says`."""
        return " or ".join(f'"{word}"' for word in self.words)

    def schema(self, limits: InputLimits) -> JsonSchema:
        """See `Kind.schema`."""
        return {"enum": list(self.words)}


@dataclass(frozen=True, slots=True)
class Strings:
    """A list of at most `most` strings, each of at most `chars` characters; one string alone too, where `alone`."""

    most: Bound
    chars: Bound
    alone: bool = False

    def check(self, name: str, value: Any, limits: InputLimits) -> None:
        """See `Kind.check`."""
        listed = [value] if self.alone and isinstance(value, str) else value
        if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
            refuse(name, self.says(limits), value)
        if len(listed) > resolved(self.most, limits):
            too_many(name, self.says(limits), listed)
        if any(len(one) > resolved(self.chars, limits) for one in listed):
            raise BadRequest(f"{name}: must be {self.says(limits)}; one is longer", param=name)

    def says(self, limits: InputLimits) -> str:
        """See `Kind.says`."""
        most, chars = resolved(self.most, limits), resolved(self.chars, limits)
        start = "a string or a list" if self.alone else "a list"
        settings = " and ".join(bound for bound in (self.most, self.chars) if isinstance(bound, str))
        named = f" (settings {settings})" if settings else ""
        return f"{start} of at most {most} strings of at most {chars} characters{named}"

    def schema(self, limits: InputLimits) -> JsonSchema:
        """See `Kind.schema`."""
        text = {"type": "string", "maxLength": resolved(self.chars, limits)}
        listed = {"type": "array", "items": text, "maxItems": resolved(self.most, limits)}
        return {"anyOf": [text, listed]} if self.alone else listed


@dataclass(frozen=True, slots=True)
class Listed:
    """A list of at most `most` things; `numbers`: each an integer from 0 on."""

    most: Bound
    numbers: bool = False

    def check(self, name: str, value: Any, limits: InputLimits) -> None:
        """See `Kind.check`."""
        if not isinstance(value, list) or (self.numbers and not token_ids(value)):
            refuse(name, self.says(limits), value)
        if len(value) > resolved(self.most, limits):
            too_many(name, self.says(limits), value)

    def says(self, limits: InputLimits) -> str:
        """See `Kind.says`."""
        things = " integers from 0 on" if self.numbers else ""
        return f"a list of at most {resolved(self.most, limits)}{things}{_setting(self.most)}"

    def schema(self, limits: InputLimits) -> JsonSchema:
        """See `Kind.schema`."""
        items = {"type": "integer", "minimum": 0} if self.numbers else {}
        return {"type": "array", "items": items, "maxItems": resolved(self.most, limits)}


def token_ids(value: list[Any]) -> bool:
    """Are these all integers that could be ids of tokens? None at all are."""
    return not value or (set(map(type, value)) == {int} and min(value) >= 0 and max(value) < 2**31)


@dataclass(frozen=True, slots=True)
class Checked:
    """A kind of its own: `words` and `json_schema` describe what the function lets pass."""

    words: str
    json_schema: JsonSchema
    function: Callable[[str, Any, InputLimits], None]

    def check(self, name: str, value: Any, limits: InputLimits) -> None:
        """See `Kind.check`."""
        self.function(name, value, limits)

    def says(self, limits: InputLimits) -> str:
        """See `Kind.says`."""
        return self.words

    def schema(self, limits: InputLimits) -> JsonSchema:
        """See `Kind.schema`."""
        return self.json_schema
