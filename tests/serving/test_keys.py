"""API keys: what authenticates, what does not, and that the file survives writers, edits and crashes."""

import stat
import string
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import ConfigError
from serving.keys import PREFIX, KeyRing, Tenant, create_key, is_well_formed, read_keys, revoke_key


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> str:
    return create_key(tmp_path_factory.mktemp("keys") / "keys.json", "local")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "keys.json"


def test_a_created_key_authenticates_its_tenant(path: Path) -> None:
    raw = create_key(path, "shop", name="nightly")
    tenant = KeyRing.load(path).authenticate(raw)
    assert tenant == Tenant("shop", read_keys(path).keys[0].key_id, "nightly")


def test_keys_of_several_tenants_live_side_by_side(path: Path) -> None:
    raws = {name: create_key(path, name) for name in ("a", "b", "c")}
    ring = KeyRing.load(path)
    assert {name: tenant.id for name, raw in raws.items() if (tenant := ring.authenticate(raw))} == {
        "a": "a",
        "b": "b",
        "c": "c",
    }


def test_the_raw_key_is_not_in_the_file_and_nobody_else_may_read_it(path: Path) -> None:
    raw = create_key(path, "local")
    assert raw.removeprefix(PREFIX)[:43] not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert sorted(file.name for file in path.parent.iterdir()) == ["keys.json", "keys.json.lock"]


def test_a_key_of_another_file_does_not_authenticate(path: Path, key: str) -> None:
    create_key(path, "local")
    assert is_well_formed(key)
    assert KeyRing.load(path).authenticate(key) is None


@given(st.text())
def test_arbitrary_text_is_no_key(text: str) -> None:
    assert not is_well_formed(text)
    assert not is_well_formed(PREFIX + text)


@given(position=st.integers(min_value=3, max_value=51), letter=st.sampled_from(string.ascii_letters + string.digits))
def test_a_typo_is_told_apart_without_the_file(key: str, position: int, letter: str) -> None:
    typo = key[:position] + letter + key[position + 1 :]
    assert is_well_formed(typo) == (typo == key)


@given(st.integers(min_value=3, max_value=50))
def test_swapped_neighbours_are_told_apart(key: str, position: int) -> None:
    swapped = key[:position] + key[position + 1] + key[position] + key[position + 2 :]
    assert is_well_formed(swapped) == (swapped == key)


def test_a_new_key_is_seen_after_reload_and_a_revoked_one_is_gone(path: Path) -> None:
    first = create_key(path, "local")
    ring = KeyRing.load(path)
    assert not ring.reload_if_changed()
    second = create_key(path, "local")
    assert ring.authenticate(second) is None
    assert ring.reload_if_changed()
    tenant = ring.authenticate(second)
    assert tenant is not None
    assert revoke_key(path, tenant.key_id)
    assert not revoke_key(path, tenant.key_id)
    ring.reload_if_changed()
    assert ring.authenticate(second) is None
    assert ring.authenticate(first) is not None


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"pepper": "zz"}', '{"pepper": "' + "00" * 65 + '"}', '{"pepper": "00", "peper": 1}', "\x80"],
    ids=["empty", "list", "no pepper", "not hex", "a pepper too long to hash with", "unknown field", "binary"],
)
def test_a_broken_file_is_refused_and_the_last_good_keys_stay(path: Path, content: str) -> None:
    raw = create_key(path, "local")
    ring = KeyRing.load(path)
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"keys\.json: not a key file"):
        ring.reload_if_changed()
    assert ring.authenticate(raw) is not None


def test_a_missing_file_says_how_to_make_one(path: Path) -> None:
    with pytest.raises(ConfigError, match="millrace keys create"):
        KeyRing.load(path)


def test_a_removed_file_does_not_lock_everybody_out(path: Path) -> None:
    raw = create_key(path, "local")
    ring = KeyRing.load(path)
    path.unlink()
    with pytest.raises(ConfigError):
        ring.reload_if_changed()
    assert ring.authenticate(raw) is not None


def test_writers_in_several_processes_lose_no_key(path: Path) -> None:
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        raws = list(pool.map(create_key, [path] * 16, [f"t{i}" for i in range(16)]))
    ring = KeyRing.load(path)
    assert [tenant.id for raw in raws if (tenant := ring.authenticate(raw))] == [f"t{i}" for i in range(16)]
