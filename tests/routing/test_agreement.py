"""Whether two answers say the same."""

import pytest

from routing.agreement import agreement


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        ("The Mona Lisa", "mona lisa.", (1.0, 1.0)),
        ("A", "A.", (1.0, 1.0)),
        ("A", "B", (0.0, 0.0)),
        ("", "", (1.0, 1.0)),
        ("", "B", (0.0, 0.0)),
        ("red blue", "blue green", (0.5, 0.0)),
        ("blue red", "red blue", (1.0, 0.0)),
    ],
)
def test_agreement(one: str, other: str, found: tuple[float, float]) -> None:
    assert agreement(one, other) == found
