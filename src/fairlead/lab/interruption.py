"""The wish of a signal that a command end, kept until a moment at which it can be granted."""

from __future__ import annotations

import os
import signal
from types import FrameType


class Interrupted(Exception):
    """A signal has asked the command to end; `number` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.number = number


class Interruption:
    """SIGINT, SIGTERM, SIGHUP from now on: noted, not obeyed.

    A handler that raised would do so wherever the program happens to be, in the middle of a fork or of a removal.
    `fd` is readable, and stays so, once a signal has come; more of them change nothing.
    """

    def __init__(self) -> None:
        self.fd, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._number = 0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # What is ignored from the start was meant to be: nohup does that.
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._note)

    def _note(self, number: int, _: FrameType | None) -> None:
        if not self._number:
            self._number = number
            os.write(self._write, b"\0")

    def check(self) -> None:
        """Raises Interrupted if a signal has come."""
        if self._number:
            raise Interrupted(self._number)
