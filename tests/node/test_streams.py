"""A container's output: into the log, and to those who are attached, who let it wait."""

from __future__ import annotations

import os
import selectors
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead.node.logs import ContainerLog
from fairlead.node.sandbox.streams import MOST_ATTACHED, Output


class Loop:
    """A sandbox's selector, and one stream of a container in it."""

    def __init__(self, directory: Path) -> None:
        self.selector = selectors.DefaultSelector()
        self.path = directory / "0.log"
        self.log = ContainerLog(self.path)
        ours, self.container = os.pipe()
        os.set_blocking(self.container, False)
        self.ended = False
        self.output = Output(self.selector, ours, "stdout", self.log, self._end)

    def _end(self, _: Output) -> None:
        self.ended = True

    def turn(self) -> int:
        """Does what can be done now; how much that was."""
        ready = self.selector.select(0)
        for key, _ in ready:
            key.data()
        return len(ready)

    def settle(self) -> None:
        """Turns until nothing can be done."""
        while self.turn():
            pass

    def fill(self) -> int:
        """Lets the container write until it would have to wait; how many bytes it could."""
        written = 0
        while True:
            try:
                written += os.write(self.container, b"x" * 4095 + b"\n")
            except BlockingIOError:
                if not self.turn():
                    return written


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    made = Loop(tmp_path)
    yield made
    made.log.close()
    made.selector.close()


def test_those_attached_see_what_the_log_has(loop: Loop) -> None:
    ours, theirs = os.pipe()
    os.write(loop.container, b"before\n")
    loop.settle()
    loop.output.attach(theirs, "someone")
    os.write(loop.container, b"now\nunfinished")
    loop.settle()
    assert os.read(ours, 100) == b"now\nunfinished"
    os.close(loop.container)
    loop.settle()
    assert loop.ended
    assert os.read(ours, 100) == b"", "its end is theirs"
    assert [line.split(b" ", 3)[3] for line in loop.path.read_bytes().splitlines()] == [
        b"before",
        b"now",
        b"unfinished",
    ]
    os.close(ours)


def test_who_does_not_read_lets_the_container_wait(loop: Loop) -> None:
    ours, theirs = os.pipe()
    loop.output.attach(theirs, "someone")
    written = loop.fill()
    assert written < 400_000, "two pipes and one read"
    got = 0
    os.set_blocking(ours, False)
    while got < written:
        try:
            got += len(os.read(ours, 65536))
        except BlockingIOError:
            assert loop.turn(), "it goes on"
    assert got == written
    os.close(ours)
    os.close(loop.container)
    loop.settle()


def test_who_goes_lets_it_go_on(loop: Loop) -> None:
    ours, theirs = os.pipe()
    loop.output.attach(theirs, "someone")
    loop.fill()
    loop.output.forget("someone")
    size = loop.path.stat().st_size
    loop.settle()
    assert loop.path.stat().st_size > size
    os.close(ours)
    os.close(loop.container)
    loop.settle()


def test_who_closes_his_end_is_forgotten(loop: Loop) -> None:
    ours, theirs = os.pipe()
    loop.output.attach(theirs, "someone")
    os.close(ours)
    os.write(loop.container, b"one\n")
    loop.settle()
    os.write(loop.container, b"two\n")
    loop.settle()
    assert len(loop.path.read_bytes().splitlines()) == 2
    os.close(loop.container)
    loop.settle()


def test_too_many_are_refused(loop: Loop) -> None:
    pipes = [os.pipe() for _ in range(MOST_ATTACHED + 1)]
    for _, theirs in pipes[:-1]:
        loop.output.attach(theirs, "someone")
    with pytest.raises(OSError, match="64 clients are attached"):
        loop.output.attach(pipes[-1][1], "someone")
    os.close(pipes[-1][1])
    loop.output.forget("someone")
    for ours, _ in pipes:
        os.close(ours)
    os.close(loop.container)
    loop.settle()
