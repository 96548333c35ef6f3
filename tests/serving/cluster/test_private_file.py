"""A private file appears whole and readable by its owner only, or not at all."""

import stat
from pathlib import Path

import pytest

from serving.cluster.private_file import write_private


def test_mode_folder_and_replacement(tmp_path: Path) -> None:
    path = tmp_path / "home" / "key"
    write_private(path, "one")
    write_private(path, b"two")
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["key"]


def test_a_failed_write_leaves_the_old_content_and_no_rest(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    target.mkdir()
    with pytest.raises(OSError, match="directory"):
        write_private(target, "content")
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]
