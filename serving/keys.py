"""API keys: who may ask. A file of keyed hashes, and the ring that looks a raw key up in memory.

Knows nothing of HTTP. A raw key is shown once, when it is made; at rest there is only its blake2b digest keyed with a
pepper, in a file of mode 0600 that is replaced as a whole, never edited, so a reader sees the old file or the new one.
Authentication compares no secrets byte by byte: the raw key is hashed and its digest looked up in a dict. How long
that takes depends only on digests, and without the pepper nobody can steer what digest a guess has.
"""

import fcntl
import hashlib
import os
import secrets
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from serving.cluster.private_file import write_private
from serving.errors import ConfigError

PREFIX = "mr-"
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_BYTES = 32
_SECRET_CHARS = 43
_CHECK_CHARS = 6
_KEY_CHARS = len(PREFIX) + _SECRET_CHARS + _CHECK_CHARS


@dataclass(frozen=True, slots=True)
class Tenant:
    """Who sends a request: the tenant's `id`, and the public `key_id` and `name` of the key that was used."""

    id: str
    key_id: str
    name: str


class KeyRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One key at rest. `digest`: hex of the keyed hash; `created_at`: ISO 8601, UTC."""

    key_id: str
    tenant: str
    name: str
    digest: str
    created_at: str


class KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file. `pepper`: hex of the hash key; with another pepper every key in the file is void."""

    pepper: str
    keys: tuple[KeyRecord, ...] = ()


class KeyRing:
    """The keys of one file, in memory. `reload_if_changed` is the only method that touches the disk."""

    def __init__(self, path: Path, content: KeyFile, stamp: tuple[int, ...]) -> None:
        self._path = path
        self._set(content, stamp)

    @classmethod
    def load(cls, path: Path) -> "KeyRing":
        """Read the file. Raises ConfigError when it is missing, unreadable or not a key file."""
        stamp = _stamp(path)
        return cls(path, read_keys(path), stamp)

    def authenticate(self, raw: str) -> Tenant | None:
        """The tenant of a raw key, or None. No I/O; constant time as far as the secret goes (see above)."""
        if len(raw) != _KEY_CHARS:  # bounds the hashing of whatever is sent
            return None
        return self._tenants.get(_digest(self._pepper, raw))

    def reload_if_changed(self) -> bool:
        """Re-read the file when it was replaced; one `stat` when not. True when it was re-read.

        Call it about once a second beside the requests, never within one. Raises ConfigError when the new file cannot
        be used; the keys read last stay in force then.
        """
        stamp = _stamp(self._path)
        if stamp == self._seen:
            return False
        self._set(read_keys(self._path), stamp)
        return True

    def _set(self, content: KeyFile, stamp: tuple[int, ...]) -> None:
        self._seen = stamp
        self._pepper = bytes.fromhex(content.pepper)
        self._tenants: Mapping[bytes, Tenant] = {
            bytes.fromhex(key.digest): Tenant(key.tenant, key.key_id, key.name) for key in content.keys
        }


def create_key(path: Path, tenant: str, *, name: str = "default") -> str:
    """Make a key for `tenant`, store its hash and return the raw key: the only time it is seen.

    Creates the file (0600) and its folder (0700) when they are missing. Safe against writers in other processes.
    """
    raw = _new_raw_key()
    with _locked(path):
        content = read_keys(path) if path.exists() else KeyFile(pepper=secrets.token_hex(32))
        digest = _digest(bytes.fromhex(content.pepper), raw)
        record = KeyRecord(_new_key_id(), tenant, name, digest.hex(), datetime.now(UTC).isoformat(timespec="seconds"))
        _replace(path, KeyFile(content.pepper, (*content.keys, record)))
    return raw


def revoke_key(path: Path, key_id: str) -> bool:
    """Remove a key by its public id; gateways notice within about a second. False when there is no such key."""
    with _locked(path):
        content = read_keys(path)
        kept = tuple(key for key in content.keys if key.key_id != key_id)
        if len(kept) == len(content.keys):
            return False
        _replace(path, KeyFile(content.pepper, kept))
    return True


def read_keys(path: Path) -> KeyFile:
    """The content of a key file. Raises ConfigError naming the file and what to do."""
    try:
        content = msgspec.json.decode(path.read_bytes(), type=KeyFile)
        _digest(bytes.fromhex(content.pepper), "")
        for key in content.keys:
            bytes.fromhex(key.digest)
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror}; `millrace keys create` makes the file and a key"]) from error
    except ValueError as error:
        raise ConfigError([f"{path}: not a key file ({error}); restore it, or remove it and make new keys"]) from error
    return content


def is_well_formed(raw: str) -> bool:
    """Could this be a key? The last six characters are a checksum, so a typo is told apart without the key file."""
    if len(raw) != _KEY_CHARS or not raw.isascii() or not raw.startswith(PREFIX):
        return False
    secret = raw[len(PREFIX) : -_CHECK_CHARS]
    return raw[-_CHECK_CHARS:] == _checksum(secret)


def _new_raw_key() -> str:
    secret = _base62(int.from_bytes(secrets.token_bytes(_SECRET_BYTES), "big"), _SECRET_CHARS)
    return PREFIX + secret + _checksum(secret)


def _new_key_id() -> str:
    return "key_" + _base62(secrets.randbits(64), 11)


def _checksum(secret: str) -> str:
    return _base62(zlib.crc32(secret.encode()), _CHECK_CHARS)


def _base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))


def _digest(pepper: bytes, raw: str) -> bytes:
    return hashlib.blake2b(raw.encode(), key=pepper, digest_size=32).digest()


def _stamp(path: Path) -> tuple[int, ...]:
    """What changes whenever the file is replaced; zeros when it is missing."""
    try:
        stat = path.stat()
    except OSError:
        return (0, 0, 0)
    return (stat.st_ino, stat.st_mtime_ns, stat.st_size)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the writers' lock of `path`: a file beside it, because `path` itself is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(path.with_name(path.name + ".lock"), "w", opener=_private) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, mode=0o600)


def _replace(path: Path, content: KeyFile) -> None:
    write_private(path, msgspec.json.format(msgspec.json.encode(content)))
