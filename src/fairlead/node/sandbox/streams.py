"""A container's streams as its sandbox holds them: output into the log and to whoever is attached, input from them.

Someone who is attached and does not read lets the container wait, as a pipe would; nothing is kept for him but what one
read gave. When he closes his end he is forgotten, and the container goes on.
"""

from __future__ import annotations

import errno
import os
import selectors
from collections.abc import Callable
from dataclasses import dataclass, field

from fairlead.node.logs import ContainerLog

CHUNK = 65536
"""Bytes that are read at a time."""

LAST_READS = 64
"""How often a stream of a container that has ended is read at most: others may have it open still."""

MOST_ATTACHED = 64
"""Those who may be attached to a stream at a time."""


@dataclass(eq=False)
class _Tap:
    """Someone who is attached: where to, and what he has not taken yet of the last read."""

    fd: int
    owner: object
    due: memoryview = field(default_factory=lambda: memoryview(b""))
    waiting: bool = False


class Output:
    """One stream of a container's output, read from `fd` until its end; `ended` is called then."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        fd: int,
        name: str,
        log: ContainerLog,
        ended: Callable[[Output], None],
    ) -> None:
        self.name = name
        self._selector = selector
        self._fd = fd
        self._log = log
        self._ended = ended
        self._taps: list[_Tap] = []
        self._paused = False
        self._over = False
        os.set_blocking(fd, False)
        selector.register(fd, selectors.EVENT_READ, self._read)

    def attach(self, fd: int, owner: object) -> None:
        """Copies what comes from now on to `fd`, which is closed at the end. Raises OSError if there are too many."""
        if len(self._taps) >= MOST_ATTACHED:
            raise OSError(f"{MOST_ATTACHED} clients are attached to this container already")
        os.set_blocking(fd, False)
        self._taps.append(_Tap(fd, owner))

    def forget(self, owner: object) -> None:
        """Detaches whatever `owner` has attached."""
        for tap in [tap for tap in self._taps if tap.owner is owner]:
            self._detach(tap)
        self._go_on()

    def drain(self) -> None:
        """Reads what is there already, as the last words of a process that has ended; at most 1 MiB."""
        for _ in range(16):
            if self._over or self._paused or not self._read():
                return

    def _read(self) -> bool:
        """Reads once; whether there was anything."""
        try:
            data = os.read(self._fd, CHUNK)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != errno.EIO:  # of a terminal that no process has open any more
                raise
            data = b""
        if not data:
            self._close()
            return False
        self._log.write(self.name, data)
        for tap in tuple(self._taps):
            tap.due = memoryview(data)
            self._write(tap)
        if any(tap.waiting for tap in self._taps):
            self._paused = True
            self._selector.unregister(self._fd)
        return True

    def _close(self) -> None:
        self._over = True
        self._selector.unregister(self._fd)
        os.close(self._fd)
        for tap in tuple(self._taps):
            self._detach(tap)
        self._log.finish(self.name)
        self._ended(self)

    def _write(self, tap: _Tap) -> None:
        """Writes what is due, or lets the container wait."""
        while tap.due:
            try:
                tap.due = tap.due[os.write(tap.fd, tap.due) :]
            except BlockingIOError:
                if not tap.waiting:
                    tap.waiting = True
                    self._selector.register(tap.fd, selectors.EVENT_WRITE, lambda: self._resume(tap))
                return
            except OSError:
                self._detach(tap)
                return

    def _resume(self, tap: _Tap) -> None:
        if not tap.waiting:
            return
        self._write(tap)
        if tap.waiting and not tap.due:
            tap.waiting = False
            self._selector.unregister(tap.fd)
        self._go_on()

    def _go_on(self) -> None:
        if self._paused and not any(tap.waiting for tap in self._taps):
            self._paused = False
            self._selector.register(self._fd, selectors.EVENT_READ, self._read)

    def _detach(self, tap: _Tap) -> None:
        self._taps.remove(tap)
        if tap.waiting:
            tap.waiting = False
            self._selector.unregister(tap.fd)
        os.close(tap.fd)
