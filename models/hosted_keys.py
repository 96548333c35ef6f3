"""Reads the key of a hosted API from where the catalogue says it is.

Never puts a key into a message. The environment is passed in.
"""

from collections.abc import Mapping

from models.errors import CatalogError
from models.spec import Catalog, HostedSpec


def read_hosted_key(hosted: HostedSpec, env: Mapping[str, str]) -> str:
    """The key, without surrounding whitespace. Raises `CatalogError` saying where it was looked for."""
    if hosted.key_file is not None:
        where = f"key_file {hosted.key_file}"
        try:
            text = hosted.key_file.read_text()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not text"
            raise CatalogError([f"{where} cannot be read: {reason}"]) from error
    else:
        where = f"environment variable {hosted.key_env}"
        if hosted.key_env is None or hosted.key_env not in env:
            raise CatalogError([f"{where} is not set; it must hold the key of {hosted.base_url}"])
        text = env[hosted.key_env]
    return _usable(text.strip(), where)


def check_secrets(catalog: Catalog, env: Mapping[str, str]) -> list[str]:
    """One line for every hosted model whose key is missing or unusable, naming file and key."""
    problems: list[str] = []
    for i, model in enumerate(catalog.models.values()):
        if model.hosted is None:
            continue
        try:
            read_hosted_key(model.hosted, env)
        except CatalogError as error:
            key = "key_file" if model.hosted.key_file is not None else "key_env"
            problems += [f"{catalog.path}: models[{i}].hosted.{key}: {model.name}: {p}" for p in error.problems]
    return problems


def _usable(key: str, where: str) -> str:
    if not key:
        raise CatalogError([f"{where} is empty; it must hold the key"])
    if not key.isascii() or any(not character.isprintable() or character == " " for character in key):
        raise CatalogError([f"{where} must hold the key alone: printable ASCII, no spaces or line breaks inside"])
    return key
