"""docs/configuration.md describes every setting and every key of the catalogue, as the code does."""

from pathlib import Path

import pytest
from pydantic import BaseModel

from models import catalog_schema
from models.catalog_schema import Wire
from models.spec import FEATURES, OPERATIONS
from serving.settings import Settings, variable

DOC = (Path(__file__).resolve().parents[1] / "docs" / "configuration.md").read_text()
WIRE_MODELS = [
    v for v in vars(catalog_schema).values() if isinstance(v, type) and issubclass(v, Wire) and v is not Wire
]
KEYS = [(model, name) for model in WIRE_MODELS for name in model.model_fields]


def row(model: type[BaseModel], name: str) -> str:
    """The line of the table that describes a field, found by the description in the code."""
    lines = [line for line in DOC.splitlines() if line.startswith(f"| `{name}` |")]
    description = model.model_fields[name].description
    assert description, f"{model.__name__}.{name} has no description"
    return next((line for line in lines if f"| {description} |" in line), "")


@pytest.mark.parametrize(("model", "name"), KEYS, ids=[f"{model.__name__}.{name}" for model, name in KEYS])
def test_a_key_of_the_catalogue_is_described(model: type[BaseModel], name: str) -> None:
    assert row(model, name)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_a_setting_is_described_with_its_default_and_variable(name: str) -> None:
    default = Settings.model_fields[name].default
    shown = "none" if default is None else str(default).lower() if isinstance(default, bool) else f"`{default}`"

    assert f"| {shown} |" in row(Settings, name)
    assert f"| `{variable(name)}` |" in row(Settings, name)


@pytest.mark.parametrize("capability", [*OPERATIONS, *FEATURES])
def test_a_capability_is_named(capability: str) -> None:
    assert f"`{capability}`" in DOC
