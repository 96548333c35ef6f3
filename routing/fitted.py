"""The fitted difficulty as a file: versioned JSON with base64 float32 weights and a SHA-256 over all of it.

Turns bytes into a `LinearDifficulty` and back; whoever wires the process reads the file (`DEFAULT_FILE`). Anything
wrong is a `FittedFileError` naming file and field. Invariant: the same weights give the same bytes.
"""

import base64
import binascii
import hashlib
import json
import math
import sys
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from routing.difficulty import LinearDifficulty, TierWeights
from routing.features import FEATURE_VERSION, SURFACE

FORMAT = "millrace-difficulty-1"

DEFAULT_FILE = Path(__file__).with_name("difficulty.json")
"""Fitted on Abacus outcomes; `make fit-difficulty` rebuilds it."""

_REFIT = "fit it again with `make fit-difficulty`"


class FittedFileError(ValueError):
    """The file cannot be used; the message names the file, the field and the fix."""


class _Reader:
    """One JSON object of the file: fetches fields of the right type, or says which one is wrong."""

    def __init__(self, file: str, path: str, value: Any) -> None:
        self._file, self._path = file, path
        if not isinstance(value, dict):
            raise self.wrong("", f"must be a JSON object; {_REFIT}")
        self._values: dict[str, Any] = value

    def wrong(self, name: str, problem: str) -> FittedFileError:
        """The error for field `name`."""
        return FittedFileError(f"{self._file}: {f'{self._path}{name}'.rstrip('.') or 'document'}: {problem}")

    def names(self) -> list[str]:
        return list(self._values)

    def inner(self, name: str) -> "_Reader":
        return _Reader(self._file, f"{self._path}{name}.", self._values.get(name))

    def text(self, name: str) -> str:
        value = self._values.get(name)
        if not isinstance(value, str) or not value:
            raise self.wrong(name, f"must be a non-empty string; {_REFIT}")
        return value

    def number(self, name: str) -> float:
        value = self._values.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.wrong(name, f"must be a finite number; {_REFIT}")
        return float(value)

    def expect(self, name: str, wanted: object) -> None:
        """Demand one exact value."""
        if self._values.get(name) != wanted:
            raise self.wrong(name, f"is {self._values.get(name)!r}, but this version reads {wanted!r}; {_REFIT}")

    def floats(self, name: str) -> list[float]:
        """Base64 of little-endian float32 values, all finite."""
        try:
            values = _unpack(base64.b64decode(self.text(name), validate=True))
        except (binascii.Error, ValueError) as error:
            raise self.wrong(name, f"must be base64 of float32 values ({error}); {_REFIT}") from error
        if not all(map(math.isfinite, values)):
            raise self.wrong(name, f"holds values that are not finite; {_REFIT}")
        return values


def decode(document: bytes, *, file: str) -> LinearDifficulty:
    """Check and unpack a fitted file. `file`: how to name it in errors. Raises `FittedFileError`."""
    try:
        parsed = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise FittedFileError(f"{file}: not valid JSON: {error}; {_REFIT}") from error
    root = _Reader(file, "", parsed)
    root.expect("format", FORMAT)
    root.expect("feature_version", FEATURE_VERSION)
    root.expect("surface", list(SURFACE))
    root.expect("sha256", _digest(parsed))
    threshold = root.number("threshold")
    if not 0 <= threshold <= 1:
        raise root.wrong("threshold", "must be a probability from 0 to 1")
    tiers = root.inner("tiers")
    if not tiers.names():
        raise root.wrong("tiers", f"names no tier; {_REFIT}")
    return LinearDifficulty(root.text("version"), {name: _tier(tiers.inner(name)) for name in tiers.names()}, threshold)


def _tier(reader: _Reader) -> TierWeights:
    surface, buckets = reader.floats("surface"), reader.floats("buckets")
    if len(surface) != len(SURFACE):
        raise reader.wrong("surface", f"holds {len(surface)} values instead of {len(SURFACE)}; {_REFIT}")
    if not buckets or len(buckets) & (len(buckets) - 1):
        raise reader.wrong("buckets", f"holds {len(buckets)} values, which is not a power of two; {_REFIT}")
    return TierWeights(reader.number("bias"), surface, buckets, reader.number("slope"), reader.number("offset"))


def encode(difficulty: LinearDifficulty, *, record: Mapping[str, object]) -> bytes:
    """The file of `difficulty`. `record`: how it was fitted and how well it does; kept for readers, not used."""
    document: dict[str, object] = {
        "format": FORMAT,
        "version": difficulty.version,
        "feature_version": FEATURE_VERSION,
        "surface": list(SURFACE),
        "threshold": difficulty.threshold,
        "record": record,
        "tiers": {name: _fields(weights) for name, weights in difficulty.tiers.items()},
    }
    document["sha256"] = _digest(document)
    return json.dumps(document, indent=1).encode() + b"\n"


def _fields(weights: TierWeights) -> dict[str, object]:
    return {
        "bias": weights.bias,
        "slope": weights.slope,
        "offset": weights.offset,
        "surface": _pack(weights.surface),
        "buckets": _pack(weights.buckets),
    }


def _digest(document: Mapping[str, object]) -> str:
    """SHA-256 of everything but the digest itself, in canonical JSON."""
    content = {key: value for key, value in document.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _pack(values: Sequence[float]) -> str:
    return base64.b64encode(_little_endian(array("f", values)).tobytes()).decode()


def _unpack(raw: bytes) -> list[float]:
    values = array("f")
    values.frombytes(raw)
    return _little_endian(values).tolist()


def _little_endian(values: "array[float]") -> "array[float]":
    if sys.byteorder == "big":  # pragma: no cover
        values.byteswap()
    return values
