"""Files that are replaced at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fairlead import files


def test_only_its_owner_may_read_it_unless_it_is_said_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o666)
    files.replace(path, b"new")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", 0o600)
    files.replace(path, b"newer", 0o644)
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("newer", 0o644 & ~_umask())
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.mkdir()
    (path / "inside").touch()
    with pytest.raises(OSError, match="directory"):
        files.replace(path, b"new")
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_process_of_the_same_number_left_is_no_obstacle(tmp_path: Path) -> None:
    path, left = tmp_path / "file", tmp_path / f".file.{os.getpid()}"
    left.write_text("half")
    files.replace(path, b"new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
