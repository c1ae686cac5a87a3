"""Container logs in the format of the Container Runtime Interface.

A line is `2026-11-23T09:00:00.123456789Z stdout F text`; `P` instead of `F` marks a piece of a line that goes on.
Source: kubernetes/design-proposals-archive, node/kubelet-cri-logging.md.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

LARGEST = 10 * 1024 * 1024
"""Bytes of a file, as the kubelet's containerLogMaxSize, before the next one is begun."""

LONGEST_PIECE = 16384
"""Bytes of one line of output before it is cut, as containerd does."""


def stamp(nanoseconds: int) -> str:
    """RFC 3339 with nanoseconds, in UTC."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09d}Z"


class ContainerLog:
    """A log file that is renamed to `FILE.1` when it has `limit` bytes, or `LARGEST`: it and that one are kept."""

    def __init__(self, path: Path, limit: int | None = None) -> None:
        self._path = path
        self._limit = LARGEST if limit is None else limit
        self._pending: dict[str, bytes] = {}
        self._failed = False
        path.parent.mkdir(parents=True, exist_ok=True)
        self._open()

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(self._path, flags, 0o640)
        self._size = os.fstat(self._fd).st_size

    def write(self, stream: str, data: bytes) -> None:
        """Appends output of `stream` ("stdout" or "stderr"); a line without its end waits for more."""
        moment = stamp(time.time_ns())
        lines = (self._pending.pop(stream, b"") + data).split(b"\n")
        rest = lines.pop()
        for line in lines:
            self._append(moment, stream, line)
        while len(rest) >= LONGEST_PIECE:
            self._put(moment, stream, "P", rest[:LONGEST_PIECE])
            rest = rest[LONGEST_PIECE:]
        if rest:
            self._pending[stream] = rest

    def finish(self, stream: str) -> None:
        """The stream has ended: what waits for the end of its line is written as a piece."""
        rest = self._pending.pop(stream, b"")
        if rest:
            self._put(stamp(time.time_ns()), stream, "P", rest)

    def close(self) -> None:
        """Closes the file."""
        os.close(self._fd)

    def _append(self, moment: str, stream: str, line: bytes) -> None:
        while len(line) > LONGEST_PIECE:
            self._put(moment, stream, "P", line[:LONGEST_PIECE])
            line = line[LONGEST_PIECE:]
        self._put(moment, stream, "F", line)

    def _put(self, moment: str, stream: str, tag: str, text: bytes) -> None:
        """Writes a line, or drops it where the disk is full: a container's output must not be the pod's end."""
        try:
            if self._size >= self._limit:
                self._rotate()
            self._write(f"{moment} {stream} {tag} ".encode() + text + b"\n")
        except OSError as error:
            if not self._failed:
                complain(f"{self._path}: {error}: lines are dropped")
            self._failed = True
        else:
            self._failed = False

    def _write(self, line: bytes) -> None:
        """Writes a whole line. Raises OSError, with nothing of it in the file: the next one would go on there."""
        written = os.write(self._fd, line)
        try:
            while written < len(line):  # the disk had room for so much
                written += os.write(self._fd, line[written:])
        except OSError:
            os.ftruncate(self._fd, self._size)
            raise
        self._size += written

    def _rotate(self) -> None:
        self._path.rename(self._path.with_name(self._path.name + ".1"))
        os.close(self._fd)
        self._open()


def complain(text: str) -> None:
    """Says it on standard error, which may lie on the same full disk."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr)


def prune(directory: Path, attempt: int) -> None:
    """Removes a container's logs but those of the run before `attempt` and of later ones."""
    for path in directory.glob("*.log*"):
        number = path.name.partition(".")[0]
        if number.isdecimal() and int(number) < attempt - 1:
            path.unlink(missing_ok=True)


def last_words(path: Path, lines: int, size: int) -> bytes:
    """The end of a log, as the container wrote it: at most so many lines and bytes. Cost: that of its last 256 KiB."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 256 * 1024))
            raw = file.read().split(b"\n")[-lines - 1 :]
    except OSError:
        return b""
    words = b""
    for line in raw:
        _, _, rest = line.partition(b" ")
        _, _, rest = rest.partition(b" ")
        tag, space, text = rest.partition(b" ")
        if space:
            words += text + (b"\n" if tag == b"F" else b"")
    return words[-size:]
