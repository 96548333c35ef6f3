"""The key of the person at this machine: made once, kept private, never made up for a home that has other keys."""

import stat
from pathlib import Path

from serving.cluster.default_key import TENANT, ensure_key, read_default_key
from serving.cluster.home import Home
from serving.keys import KeyRing, create_key, read_keys, revoke_key


def test_the_first_start_makes_a_key_and_later_ones_find_it(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    first = ensure_key(home)
    assert first.new
    assert first.raw is not None
    tenant = KeyRing.load(home.keys).authenticate(first.raw)
    assert tenant is not None
    assert tenant.id == TENANT
    assert stat.S_IMODE(home.default_key.stat().st_mode) == 0o600
    again = ensure_key(home)
    assert (again.raw, again.new) == (first.raw, False)
    assert len(read_keys(home.keys).keys) == 1


def test_a_home_with_keys_of_others_gets_none_added(tmp_path: Path) -> None:
    home = Home(tmp_path)
    create_key(home.keys, "shop")
    assert ensure_key(home).raw is None
    assert len(read_keys(home.keys).keys) == 1


def test_a_revoked_default_key_is_not_offered(tmp_path: Path) -> None:
    home = Home(tmp_path)
    ensure_key(home)
    revoke_key(home.keys, read_keys(home.keys).keys[0].key_id)
    assert ensure_key(home).raw is None


def test_no_key_kept(tmp_path: Path) -> None:
    assert read_default_key(Home(tmp_path)) is None
