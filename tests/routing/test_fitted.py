"""The fitted file: round trip, and an error that names file and field for every way it can be wrong."""

import base64
import json
from array import array
from collections.abc import Callable
from typing import Any

import pytest

from routing.difficulty import LinearDifficulty, TierWeights
from routing.features import SURFACE
from routing.fitted import DEFAULT_FILE, FittedFileError, _digest, decode, encode

WEIGHTS = TierWeights(0.25, [0.5] * len(SURFACE), [0.0, 1.0, -2.0, 0.5], slope=1.5, offset=-0.5)
DIFFICULTY = LinearDifficulty("test-1", {"small": WEIGHTS, "large": WEIGHTS}, 0.7)

Change = Callable[[dict[str, Any]], None]


def document(change: Change = lambda _: None) -> bytes:
    """A valid file with `change` made to it, signed again."""
    parsed = json.loads(encode(DIFFICULTY, record={"rows": 3}))
    change(parsed)
    parsed["sha256"] = _digest(parsed)
    return json.dumps(parsed).encode()


def floats(*values: float) -> str:
    return base64.b64encode(array("f", values).tobytes()).decode()


def test_round_trip() -> None:
    raw = encode(DIFFICULTY, record={"rows": 3})
    again = decode(raw, file="f.json")
    assert again == DIFFICULTY
    assert encode(again, record={"rows": 3}) == raw


def test_weights_are_stored_as_float32() -> None:
    third = TierWeights(0.0, [1 / 3] * len(SURFACE), [1 / 3])
    again = decode(encode(LinearDifficulty("t", {"small": third}, 0.5), record={}), file="f.json")
    assert again.tiers["small"].buckets == [array("f", [1 / 3])[0]]


CHANGES: list[tuple[str, Change]] = [
    ("format", lambda d: d.update(format="other")),
    ("feature_version", lambda d: d.update(feature_version=0)),
    ("surface", lambda d: d.update(surface=["chars"])),
    ("version", lambda d: d.update(version="")),
    ("version", lambda d: d.pop("version")),
    ("threshold", lambda d: d.update(threshold=1.5)),
    ("threshold", lambda d: d.update(threshold="high")),
    ("threshold", lambda d: d.update(threshold=True)),
    ("tiers", lambda d: d.update(tiers={})),
    ("tiers", lambda d: d.update(tiers=[])),
    ("tiers.small", lambda d: d["tiers"].update(small=3)),
    ("tiers.small.bias", lambda d: d["tiers"]["small"].pop("bias")),
    ("tiers.small.slope", lambda d: d["tiers"]["small"].update(slope=float("nan"))),
    ("tiers.large.offset", lambda d: d["tiers"]["large"].update(offset=None)),
    ("tiers.small.surface", lambda d: d["tiers"]["small"].update(surface=floats(1.0))),
    ("tiers.small.buckets", lambda d: d["tiers"]["small"].update(buckets="not base64!")),
    ("tiers.small.buckets", lambda d: d["tiers"]["small"].update(buckets="AAA=")),
    ("tiers.small.buckets", lambda d: d["tiers"]["small"].update(buckets=floats(1.0, 2.0, 3.0))),
    ("tiers.small.buckets", lambda d: d["tiers"]["small"].update(buckets=floats(1.0, float("inf")))),
]


@pytest.mark.parametrize(("field", "change"), CHANGES, ids=[f"{at}-{field}" for at, (field, _) in enumerate(CHANGES)])
def test_an_error_names_file_and_field(field: str, change: Change) -> None:
    with pytest.raises(FittedFileError) as caught:
        decode(document(change), file="dir/f.json")
    assert str(caught.value).startswith(f"dir/f.json: {field}: ")


def test_a_changed_file_is_refused() -> None:
    raw = encode(DIFFICULTY, record={}).replace(b'"threshold": 0.7', b'"threshold": 0.1')
    with pytest.raises(FittedFileError, match=r"^f\.json: sha256: "):
        decode(raw, file="f.json")


@pytest.mark.parametrize(
    ("raw", "message"),
    [(b"{", "f.json: not valid JSON"), (b"\xff", "f.json: not valid JSON"), (b"[]", "f.json: document: must be")],
    ids=["cut short", "not text", "not an object"],
)
def test_what_is_not_a_json_object_is_refused(raw: bytes, message: str) -> None:
    with pytest.raises(FittedFileError) as caught:
        decode(raw, file="f.json")
    assert str(caught.value).startswith(message)


def test_the_shipped_file_is_next_to_the_code() -> None:
    assert DEFAULT_FILE.name == "difficulty.json"
    assert DEFAULT_FILE.parent.name == "routing"


def test_the_shipped_file_loads_and_knows_more_than_the_length_of_a_prompt() -> None:
    document = DEFAULT_FILE.read_bytes()
    difficulty = decode(document, file=DEFAULT_FILE.name)
    assert set(difficulty.tiers) == {"small", "large"}
    easy, expert = difficulty.score("What is 2 + 3?"), difficulty.score("What is 4821 times 7793?")
    assert easy["small"] > difficulty.threshold > expert["small"]
