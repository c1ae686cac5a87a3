"""Reading logs: which lines, in which form, across files that are renamed while they are read."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.node.kubelet import containerlogs
from fairlead.node.kubelet.containerlogs import Options, Selected, options, read, tail_start
from fairlead.node.kubelet.http import Refused, parse
from fairlead.node.logs import ContainerLog

EARLY, LATE = b"2026-01-01T00:00:00.000000000Z", b"2026-01-02T00:00:00.000000000Z"
LINES = [
    EARLY + b" stdout F one",
    EARLY + b" stderr F two",
    LATE + b" stdout P thr",
    LATE + b" stdout F ee",
    b"garbage",
    LATE + b" stdout F ",
]


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [
        (Options(), b"one\ntwo\nthree\n\n"),
        (Options(since=LATE), b"three\n\n"),
        (Options(stream=b"stderr"), b"two\n"),
        (
            Options(timestamps=True, since=LATE),
            LATE + b" three\n" + LATE + b" \n",
        ),
        (Options(limit=5), b"one\nt"),
        (Options(limit=1000), b"one\ntwo\nthree\n\n"),
    ],
)
def test_what_is_shown(wanted: Options, shown: bytes) -> None:
    selected = Selected(wanted)
    assert b"".join(selected.show([line]) for line in LINES) == shown
    assert Selected(wanted).show(LINES) == shown
    assert selected.full is (wanted.limit == 5)


def asked(query: str) -> Options:
    return options(parse(f"GET /containerLogs/n/p/c?{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode()), 1e9)


def test_what_a_query_asks_for() -> None:
    assert asked("") == Options()
    assert asked("follow=true&previous=true&timestamps=1&tailLines=3&limitBytes=9&stream=Stderr") == Options(
        follow=True, previous=True, timestamps=True, tail=3, limit=9, stream=b"stderr"
    )
    assert asked("sinceSeconds=100").since == b"2001-09-09T01:45:00.000000000Z"
    assert asked("sinceTime=2026-01-01T02:00:00%2B02:00").since == EARLY
    for wrong in ("tailLines=-1", "limitBytes=x", "sinceTime=now", "stream=none", "tailLines=²"):
        with pytest.raises(Refused):
            asked(wrong)


@given(
    st.lists(st.binary(max_size=30).map(lambda text: text.replace(b"\n", b"")), max_size=30),
    st.integers(0, 40),
)
def test_the_end_of_a_file(lines: list[bytes], count: int) -> None:
    file = os.memfd_create("log")
    try:
        text = b"".join(line + b"\n" for line in lines)
        os.write(file, text)
        start, found = tail_start(file, len(text), count) if count else (len(text), 0)
        assert found == min(count, len(lines))
        assert text[start:] == b"".join(line + b"\n" for line in lines[len(lines) - found :])
    finally:
        os.close(file)


def test_a_file_of_many_blocks_is_read_from_its_end() -> None:
    file = os.memfd_create("log")
    line = b"x" * 999 + b"\n"
    os.write(file, line * 1000)
    assert tail_start(file, 1_000_000, 300) == (700_000, 300)
    assert tail_start(file, 1_000_000, 2000) == (0, 1000)
    os.close(file)


def collected(path: Path, wanted: Options) -> bytes:
    async def main() -> bytes:
        return b"".join([piece async for piece in read(path, wanted, lambda: False)])

    return asyncio.run(main())


def test_a_log_that_was_full_is_read_with_the_file_before_it(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    log = ContainerLog(path, limit=400)
    for number in range(15):
        log.write("stdout", b"line %d\n" % number)
    log.close()
    assert path.with_name("0.log.1").exists()
    whole = collected(path, Options()).splitlines()
    assert whole[-1] == b"line 14"
    assert len(whole) > 8, "both files"
    assert collected(path, Options(tail=2)) == b"line 13\nline 14\n"
    assert collected(path, Options(tail=10)).splitlines() == whole[-10:]
    assert collected(path, Options(tail=0)) == b""
    assert collected(tmp_path / "none.log", Options()) == b""


def test_a_log_is_shown_as_it_was_when_it_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    log = ContainerLog(path, limit=100_000)
    for number in range(1000):
        log.write("stdout", b"line %d\n" % number)
    with path.open("ab") as file:
        file.write(EARLY + b" stdout F being writ")  # a line that is being written

    async def shown(wanted: Options) -> list[bytes]:
        text = b""
        async for piece in read(path, wanted, lambda: True):
            text += piece
            log.write("stdout", b"later\n" * 2000)
        return text.splitlines()

    assert asyncio.run(shown(Options(tail=2))) == [b"line 998", b"line 999"]
    log.close()
    assert collected(path, Options(tail=1)) == b"later\n"


def test_a_log_that_is_renamed_while_it_is_opened_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_bytes(EARLY + b" stdout F one\n")
    path.with_name("0.log.1").hardlink_to(path)
    assert collected(path, Options()) == b"one\n"


def test_a_log_that_is_followed_goes_on_in_the_next_file(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "0.log"
        log = ContainerLog(path, limit=200)
        log.write("stdout", b"line 0\n")
        runs = True
        shown = bytearray()
        pieces = containerlogs.read(path, Options(follow=True), lambda: runs)
        for number in range(1, 12):
            shown += await anext(pieces)
            log.write("stdout", b"line %d\n" % number)
        runs = False
        async for piece in pieces:
            shown += piece
        log.close()
        assert shown == b"".join(b"line %d\n" % number for number in range(12))

    asyncio.run(main())
