"""What of a container's log somebody wants to read, and reading it: from an end, up to a size, and on as it grows.

Upstream: kubelet/pkg/cri/streaming, pkg/kubelet/kuberuntime/logs (ReadLogs), which reads the last file only.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fairlead.node.kubelet.http import Refused, Request
from fairlead.node.logs import stamp

BLOCK = 64 << 10
"""Bytes that are read at a time."""

POLL_SECONDS = 0.05
"""How often a log that is followed is looked at; nothing is done for logs that nobody follows."""

STREAMS = {"": None, "All": None, "Stdout": b"stdout", "Stderr": b"stderr"}


@dataclass(frozen=True)
class Options:
    """As in PodLogOptions; `since` is a stamp as in the log, "" for the beginning."""

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    since: bytes = b""
    tail: int | None = None
    limit: int | None = None
    stream: bytes | None = None


def options(request: Request, now: float) -> Options:
    """What a query asks for. Raises Refused for what it cannot."""
    since = b""
    if seconds := _number(request, "sinceSeconds"):
        since = stamp(int((now - seconds) * 1e9)).encode()
    if text := request.text("sinceTime"):
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise Refused(400, f"sinceTime: {text!r} is no time in the form of RFC 3339") from None
        since = stamp(int(moment.timestamp() * 1e9)).encode()
    if request.text("stream") not in STREAMS:
        raise Refused(400, f"stream: {request.text('stream')!r} is none of All, Stdout, Stderr")
    return Options(
        follow=request.flag("follow"),
        previous=request.flag("previous"),
        timestamps=request.flag("timestamps"),
        since=since,
        tail=_number(request, "tailLines"),
        limit=_number(request, "limitBytes"),
        stream=STREAMS[request.text("stream")],
    )


def _number(request: Request, name: str) -> int | None:
    text = request.text(name)
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Refused(400, f"{name}: {text!r} is no whole number from 0 on")
    return int(text)


class Selected:
    """Turns lines of a log into what is shown of them, until `limit` bytes are. Pure but for what it has shown."""

    def __init__(self, wanted: Options) -> None:
        self._wanted = wanted
        self._left = wanted.limit
        self._partial = False
        """Whether the last line was a piece of one that goes on."""

    @property
    def full(self) -> bool:
        """Whether nothing more is shown."""
        return self._left == 0

    def show(self, lines: list[bytes]) -> bytes:
        """What is shown of whole lines of the file; lines that are none of ours are passed over."""
        wanted, shown = self._wanted, bytearray()
        for line in lines:
            moment, _, rest = line.partition(b" ")
            stream, _, rest = rest.partition(b" ")
            tag, space, text = rest.partition(b" ")
            if not space or (wanted.since and moment < wanted.since):
                continue
            if wanted.stream is not None and stream != wanted.stream:
                continue
            if wanted.timestamps and not self._partial:
                shown += moment + b" "
            shown += text
            self._partial = tag == b"P"
            if not self._partial:
                shown += b"\n"
        if self._left is not None:
            del shown[self._left :]
            self._left -= len(shown)
        return bytes(shown)


def whole(file: int) -> int:
    """Bytes of a file up to the end of its last whole line: the next may be being written."""
    at = os.fstat(file).st_size
    while at > 0:
        start = max(0, at - BLOCK)
        position = os.pread(file, at - start, start).rfind(b"\n")
        if position >= 0:
            return start + position + 1
        at = start
    return 0


def tail_start(file: int, size: int, lines: int) -> tuple[int, int]:
    """Where the last so many of the lines in its first `size` bytes begin, and how many of them there are.

    Reads them, and no more.
    """
    at, found = size, 0
    while at > 0:
        start = max(0, at - BLOCK)
        block = os.pread(file, at - start, start)
        position = len(block)
        while (position := block.rfind(b"\n", 0, position)) >= 0:
            if start + position == size - 1:
                continue  # the end of the last line begins no other
            found += 1
            if found == lines:
                return start + position + 1, lines
        at = start
    return 0, min(lines, found + (size > 0))


async def read(path: Path, wanted: Options, running: Callable[[], bool]) -> AsyncGenerator[bytes, None]:
    """What is to be seen of the log at `path`, with the file that it was renamed from, piece by piece.

    It is followed, if that is wanted, while `running` says that there may be more.
    """
    selected = Selected(wanted)
    files = _open(path)
    try:
        # What is there now: one who writes faster than it is read does not make it longer.
        sizes = [whole(file) for file in files]
        _seek(files, sizes, wanted.tail)
        for file, size in zip(files, sizes, strict=True):
            for lines in _lines(file, size):
                if shown := selected.show(lines):
                    yield shown
                if selected.full:
                    return
                await asyncio.sleep(0)
        rest = bytearray()
        while wanted.follow and files:
            # Asked first: what was written before that is read then.
            goes_on, renamed = running(), _renamed(files[-1], path)
            while data := os.read(files[-1], BLOCK):
                *lines, last = (bytes(rest) + data).split(b"\n")
                rest[:] = last
                if shown := selected.show(lines):
                    yield shown
                if selected.full:
                    return
                await asyncio.sleep(0)
            if renamed:
                # Not where it was just renamed once more: then the next time.
                with contextlib.suppress(FileNotFoundError):
                    fresh = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                    os.close(files.pop())
                    files.append(fresh)
            elif goes_on:
                await asyncio.sleep(POLL_SECONDS)
            else:
                return
    finally:
        for file in files:
            os.close(file)


def _open(path: Path) -> list[int]:
    """The older file, if there is one, and the log. It may become the older one meanwhile: none is left out then."""
    found: list[int] = []
    for one in (path, path.with_name(path.name + ".1")):
        with contextlib.suppress(FileNotFoundError):
            found.insert(0, os.open(one, os.O_RDONLY | os.O_CLOEXEC))
    if len(found) == 2 and os.path.sameopenfile(*found):
        os.close(found.pop())
    return found


def _seek(files: list[int], sizes: list[int], tail: int | None) -> None:
    """Puts the files where the last so many lines begin."""
    if tail is None:
        return
    for file, size in zip(reversed(files), reversed(sizes), strict=True):
        start, found = tail_start(file, size, tail) if tail else (size, 0)
        os.lseek(file, start, os.SEEK_SET)
        tail -= found


def _lines(file: int, size: int) -> Iterator[list[bytes]]:
    """The lines from where the file is up to `size` bytes of it, in pieces."""
    rest = b""
    left = size - os.lseek(file, 0, os.SEEK_CUR)
    while left > 0 and (data := os.read(file, min(BLOCK, left))):
        left -= len(data)
        *lines, rest = (rest + data).split(b"\n")
        yield lines


def _renamed(file: int, path: Path) -> bool:
    """Whether another file is at the path now: it was full."""
    try:
        return not os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False
