"""The key of the person at this machine: made on first start, kept in the home so that `millrace chat` works.

Other tenants' keys are made with `millrace keys create` and stored nowhere in the clear.
"""

from dataclasses import dataclass

from serving.cluster.home import Home
from serving.cluster.private_file import write_private
from serving.keys import KeyRing, create_key

TENANT = "local"


@dataclass(frozen=True, slots=True)
class DefaultKey:
    """`raw` is None when keys exist but none is kept here. `new`: it was made just now."""

    raw: str | None
    new: bool = False


def ensure_key(home: Home) -> DefaultKey:
    """The default key of `home`, made when the home has no keys at all. Raises `ConfigError` for a broken key file."""
    if not home.keys.exists():
        raw = create_key(home.keys, TENANT)
        write_private(home.default_key, raw + "\n")
        return DefaultKey(raw, new=True)
    kept = read_default_key(home)
    known = kept is not None and KeyRing.load(home.keys).authenticate(kept) is not None
    return DefaultKey(kept if known else None)


def read_default_key(home: Home) -> str | None:
    """The key kept in `home`, None when there is none."""
    try:
        return home.default_key.read_text().strip() or None
    except OSError:
        return None
