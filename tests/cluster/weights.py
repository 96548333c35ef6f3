"""The Abacus weights for cluster tests: the committed ones, or random ones of the same shape while there are none."""

from pathlib import Path

COMMITTED = Path(__file__).parents[2] / "models" / "abacus" / "weights"


MODELS = ("abacus-small", "abacus-large")


def abacus_weights(folder: Path) -> Path:
    """The folder that holds both models' folders; `folder` takes random ones if need be."""
    if all((COMMITTED / name / "config.json").is_file() for name in MODELS):
        return COMMITTED
    for name in MODELS:
        _random_weights(folder / name)
    return folder


def _random_weights(folder: Path) -> None:
    import torch

    from models.abacus.export import export
    from models.abacus.network import Abacus
    from models.abacus.sizes import SIZES

    torch.manual_seed(0)
    size = SIZES[folder.name.removeprefix("abacus-")]
    export(Abacus(size), size, folder)
