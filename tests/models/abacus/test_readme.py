"""The README's tables name what the code has."""

from __future__ import annotations

from pathlib import Path

import pytest

import models.abacus
from models.abacus.sizes import SIZES
from models.abacus.tasks import FAMILIES, Band

LINES = (Path(models.abacus.__file__).parent / "README.md").read_text().splitlines()


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_bands_of_every_family_are_described(family):
    (row,) = [line for line in LINES if line.startswith(f"| {family.name} |")][:1]
    cells = [cell.strip() for cell in row.strip("|").split("|")][1:]
    assert [bool(cell) for cell in cells] == [band in family.draws for band in Band]


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
def test_dimensions_are_those_of_the_code(size):
    (row,) = [line for line in LINES if line.startswith("| hidden, layers")]
    assert f"{size.hidden}, {size.layers}, {size.heads}, {size.feed_forward}" in row
