"""Looks into a local folder of weights before an engine is started over it. Imports neither vLLM nor Ray."""

import json
from pathlib import Path


def is_local(source: str) -> bool:
    """Is this catalogue source a folder on this machine, rather than a Hugging Face id?"""
    return source.startswith(("/", "."))


def folder_problem(source: str) -> str | None:
    """Why nothing can be loaded from a local source, or None. A Hugging Face id is not looked at."""
    if not is_local(source):
        return None
    folder = Path(source)
    if not folder.exists():
        return f"path {source} does not exist on this node"
    if not folder.is_dir():
        return f"path {source} is not a folder"
    if not (folder / "config.json").is_file():
        return f"folder {source} holds no config.json"
    if not any(folder.glob("*.safetensors")) and not any(folder.glob("*.bin")):
        return f"folder {source} holds no weights (*.safetensors or *.bin)"
    return None


def architectures(folder: Path) -> list[str]:
    """The model classes named by a folder's config.json; empty for anything else."""
    try:
        config = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError):
        return []
    return list(config.get("architectures", []))
