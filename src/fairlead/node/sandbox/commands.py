"""Commands that a pod's sandbox runs in its containers: those of probes and hooks, and those that somebody looks at.

The output of the first kind is collected and told when they end. The others get their streams from whoever asks, so
that no byte of them passes through the sandbox, and end with the connection on which they were asked for.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from fairlead.node import container, namespaces
from fairlead.node.records import Done, Exec, Run, Start

OUTPUT = 10 * 1024
"""Bytes of a command's output that are kept, as the kubelet does for probes."""

P = TypeVar("P")


@dataclass
class _Command(Generic[P]):
    """A command until its process has ended."""

    request: int
    peer: P
    pid: int
    deadline: float | None = None
    """On the monotonic clock; None for one that may run for ever."""
    read: Callable[[], None] = lambda: None
    output: bytes = b""
    timed_out: bool = False

    def kill(self) -> None:
        """Ends it and what it has started, as far as that is in its process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


class Commands(Generic[P]):
    """The commands under way. `fork` forks into the PID namespace of a pidfd; `answer` tells the one who has asked."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        fork: Callable[[int], int],
        answer: Callable[[P, Done], None],
    ) -> None:
        self._selector = selector
        self._fork = fork
        self._answer = answer
        self._commands: dict[int, _Command[P]] = {}

    def execute(self, peer: P, request: Exec, start: Start, pidfd: int) -> None:
        """Runs a command beside the container's first process, collecting its output. Raises OSError."""
        output, to_output = os.pipe()
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        try:
            pid = self._begin(start, request.argv, pidfd, (null, to_output, to_output), terminal=False)
        except OSError:
            os.close(output)
            raise
        finally:
            os.close(null)
            os.close(to_output)
        command = _Command(request.request, peer, pid, time.monotonic() + request.timeout)
        self._commands[pid] = command
        self._listen_to(command, output)

    def run(self, peer: P, request: Run, start: Start, pidfd: int, descriptors: Sequence[int]) -> None:
        """Runs a command with streams of the one who asks: one descriptor each, or a socket for its
        terminal. Raises OSError."""
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            if request.tty:
                streams = (descriptors[0],) * 3
            else:
                given = dict(zip(request.streams, descriptors, strict=True))
                streams = (
                    given.get("stdin", null),
                    given.get("stdout", null),
                    given.get("stderr", null),
                )
            pid = self._begin(start, request.argv, pidfd, streams, terminal=request.tty)
        finally:
            os.close(null)
        self._commands[pid] = _Command(request.request, peer, pid)

    def _begin(
        self,
        start: Start,
        argv: Sequence[str],
        pidfd: int,
        streams: tuple[int, int, int],
        *,
        terminal: bool,
    ) -> int:
        report, to_report = os.pipe()
        pid = self._fork(pidfd)
        if pid == 0:
            try:
                namespaces.enter_mounts(pidfd)
            except OSError as error:
                os.write(to_report, str(error).encode())
                os._exit(128)
            container.join(start, argv, streams, to_report, terminal=terminal)
        os.close(to_report)
        with open(report, "rb") as file:
            problem = file.read().decode(errors="replace")
        if problem:
            os.waitpid(pid, 0)
            raise OSError(problem)
        return pid

    def _listen_to(self, command: _Command[P], output: int) -> None:
        os.set_blocking(output, False)
        ended = False

        def read() -> None:
            nonlocal ended
            if ended:
                return
            try:
                data = os.read(output, 65536)
            except BlockingIOError:
                return
            command.output = (command.output + data)[:OUTPUT]
            if not data:
                ended = True
                self._selector.unregister(output)
                os.close(output)

        command.read = read
        self._selector.register(output, selectors.EVENT_READ, read)

    def timeout(self) -> float | None:
        """Seconds until the next command has used up its time; None where none can."""
        deadlines = [
            c.deadline for c in self._commands.values() if c.deadline is not None and not c.timed_out
        ]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def expire(self) -> None:
        """Kills what has used up its time."""
        now = time.monotonic()
        for command in self._commands.values():
            if command.deadline is not None and command.deadline <= now and not command.timed_out:
                command.timed_out = True
                command.kill()

    def abandon(self, peer: P) -> None:
        """Kills the commands that end with a connection, which is gone."""
        for command in self._commands.values():
            if command.peer is peer and command.deadline is None:
                command.kill()

    def ended(self, pid: int, code: int) -> bool:
        """Tells the one who has asked for it that a command has ended; False where the process was none."""
        command = self._commands.pop(pid, None)
        if command is None:
            return False
        command.read()  # its last words may still be in the pipe
        self._answer(
            command.peer,
            Done(
                request=command.request,
                exit_code=code,
                output=command.output.decode(errors="replace"),
                timed_out=command.timed_out,
            ),
        )
        return True
