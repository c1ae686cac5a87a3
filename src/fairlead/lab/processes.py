"""Processes by identity: a number that is used again is not mistaken for the process that had it before."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec


class Identity(msgspec.Struct, frozen=True):
    """A process: its number, and when it started in clock ticks since the machine did."""

    pid: int
    started: int

    def pidfd(self) -> int | None:
        """A descriptor of exactly this process, readable once it has ended; None when it has. Close it."""
        try:
            fd = os.pidfd_open(self.pid)
        except (ProcessLookupError, ValueError):
            return None
        # Opened first, compared second: the number cannot change hands in between.
        if identify(self.pid) != self:
            os.close(fd)
            return None
        return fd

    def is_alive(self) -> bool:
        """Whether it runs still; one that has ended, but that its parent has not waited for, does not."""
        return identify(self.pid) == self

    def send(self, number: signal.Signals) -> bool:
        """Sends a signal to exactly this process; False when it has ended."""
        fd = self.pidfd()
        if fd is None:
            return False
        try:
            signal.pidfd_send_signal(fd, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(fd)
        return True


def identify(pid: int) -> Identity | None:
    """The identity of the process that has this number now; None when there is none, or it has ended."""
    try:
        # proc(5): the second field is the name in parentheses and may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, started = fields[0], int(fields[19])
    return None if state in (b"Z", b"X") else Identity(pid, started)


def parent(pid: int) -> int:
    """The number of a process's parent; 0 when there is no such process, or its parent cannot be seen."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def this_process() -> Identity:
    """The calling process."""
    found = identify(os.getpid())
    if found is None:
        raise RuntimeError("/proc does not show this process: is it mounted?")
    return found


def find(wanted: Callable[[Path], bool]) -> list[Identity]:
    """The processes for whose directory below /proc `wanted` holds; those that may not be looked at are left out."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            identity = identify(int(name))
            try:
                if identity is not None and wanted(Path("/proc", name)):
                    found.append(identity)
            except OSError:
                continue
    return found


def stop(processes: Iterable[Identity], *, grace_seconds: float) -> list[Identity]:
    """Ends processes: SIGTERM, and SIGKILL for those that are there after the grace; gives those that were alive.

    With no grace they get SIGKILL at once. Returns when all have ended (the kernel may take a moment for a process
    that waits for a device; 5 s at most).
    """
    open_ones: dict[int, Identity] = {}
    for process in processes:
        fd = process.pidfd()
        if fd is not None:
            open_ones[fd] = process
    alive = list(open_ones.values())
    try:
        for number, seconds in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, 5.0)):
            if number == signal.SIGTERM and not grace_seconds:
                continue
            for fd in open_ones:
                try:
                    signal.pidfd_send_signal(fd, number)
                except ProcessLookupError:
                    continue
            _wait(open_ones, seconds)
    finally:
        for fd in open_ones:
            os.close(fd)
    return alive


def _wait(open_ones: dict[int, Identity], seconds: float) -> None:
    """Waits until the processes have ended, closing the descriptors of those that have."""
    deadline = time.monotonic() + seconds
    poll = select.poll()
    for fd in open_ones:
        poll.register(fd, select.POLLIN)
    while open_ones and (left := deadline - time.monotonic()) > 0:
        for fd, _ in poll.poll(left * 1000):
            poll.unregister(fd)
            os.close(fd)
            del open_ones[fd]
