"""What containers say of their ends, and what their logs may cost."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from fairlead.node.logs import ContainerLog, last_words, prune
from fairlead.node.termination import FALLBACK, file_of, make_file, message
from tests.node.isolation import in_child


def log(directory: Path, *lines: bytes, limit: int = 1 << 20) -> Path:
    path = directory / "logs/c/0.log"
    written = ContainerLog(path, limit)
    for line in lines:
        written.write("stdout", line)
    written.finish("stdout")
    written.close()
    return path


CASES = {
    "from the file": (b"gave up", "File", 1, "gave up"),
    "of a success, too": (b"all done", "File", 0, "all done"),
    "no file": (None, "File", 1, ""),
    "4 KiB at most": (b"x" * 5000, "File", 1, "x" * 4096),
    "not text": (b"\xff!", "File", 1, "\ufffd!"),
    "the file before the log": (b"gave up", FALLBACK, 1, "gave up"),
    "the log of a failure": (b"", FALLBACK, 1, "one\ntwo\nthree"),
    "not of a success": (b"", FALLBACK, 0, ""),
}


@pytest.mark.parametrize("name", CASES)
def test_messages(name: str, tmp_path: Path) -> None:
    said, policy, code, expected = CASES[name]
    file = make_file(tmp_path, "c", 0)
    if said is None:
        file.unlink()
    else:
        file.write_bytes(said)
    path = log(tmp_path, b"one\ntw", b"o\nthree")
    assert message(file, policy, code, lambda: path) == expected


def test_a_run_has_a_file_of_its_own(tmp_path: Path) -> None:
    make_file(tmp_path, "c", 0).write_text("old")
    assert make_file(tmp_path, "c", 1).read_text() == ""
    assert not file_of(tmp_path, "c", 0).exists()


def test_the_end_of_a_log_is_bounded(tmp_path: Path) -> None:
    path = log(tmp_path, *(b"%d\n" % number for number in range(200)))
    assert last_words(path, 3, 100) == b"197\n198\n199\n"
    assert last_words(path, 80, 5) == b"\n199\n"
    assert last_words(tmp_path / "none", 80, 5) == b""


def test_a_log_and_its_predecessor_are_all_that_is_kept(tmp_path: Path) -> None:
    path = log(tmp_path, *[b"x" * 1000 + b"\n"] * 100, limit=10_000)
    sizes = {found.name: found.stat().st_size for found in path.parent.iterdir()}
    assert set(sizes) == {"0.log", "0.log.1"}
    assert max(sizes.values()) < 12_000
    for name in ("1.log", "2.log", "3.log", "other"):
        (path.parent / name).touch()
    prune(path.parent, 3)
    assert {found.name for found in path.parent.iterdir()} == {"2.log", "3.log", "other"}


def test_a_line_for_half_of_which_there_is_room_is_dropped_whole(tmp_path: Path) -> None:
    path = tmp_path / "0.log"

    def child() -> None:
        log = ContainerLog(path)
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        for line, size in ((b"first\n", most), (b"x" * 100 + b"\n", 100), (b"last\n", most)):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
            log.write("stdout", line)

    in_child(child)
    assert [line.split(" ", 3)[3] for line in path.read_text().splitlines()] == ["first", "last"]


def test_a_full_disk_costs_lines_and_nothing_else(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "0.log"
    os.symlink("/dev/full", path)
    written = ContainerLog(path)
    written.write("stdout", b"one\ntwo\n")
    written.close()
    assert capfd.readouterr().err.count("No space left on device: lines are dropped") == 1
