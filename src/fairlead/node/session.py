"""One command in a container, or one attachment to it, over a connection to the pod's sandbox of its own.

What is asked for on it ends when it is closed.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from pathlib import Path

import msgspec

from fairlead.node import records
from fairlead.node.records import Attach, Done, Run
from fairlead.node.runtime import SandboxError
from fairlead.node.sandbox.control import control_socket

LONGEST_LINE = 1 << 20
"""Bytes of one message: the sandbox's first tells of all containers."""


class Session:
    """A connection for one request. Raises `SandboxError` where the pod has no sandbox that runs."""

    def __init__(self, directory: Path) -> None:
        try:
            self._socket = control_socket(directory, listen=False)
        except OSError as error:
            raise SandboxError(f"the pod's sandbox is gone: {error}") from error
        self._received = b""
        self._descriptors: list[int] = []
        self._answer: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._read)

    def send(self, request: Run | Attach, descriptors: Sequence[int] = ()) -> None:
        """Asks, once. The descriptors may be closed then. Raises `SandboxError`."""
        line = records.encode(request) + b"\n"
        try:
            sent = socket.send_fds(self._socket, [line], descriptors)
        except OSError as error:
            raise SandboxError(f"the pod's sandbox is gone: {error}") from error
        if sent != len(line):
            raise SandboxError(f"a request of {len(line)} bytes is too long")

    async def answer(self) -> tuple[Done, list[int]]:
        """The answer, with the descriptors that came along, which are the caller's. Of a command, when it has ended.

        Raises `SandboxError` with the reason of a refusal.
        """
        done = await asyncio.shield(self._answer)
        if done.error:
            raise SandboxError(done.error)
        came, self._descriptors = self._descriptors, []
        return done, came

    def close(self) -> None:
        """Ends what was asked for."""
        if self._socket.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            for fd in self._descriptors:
                os.close(fd)
            self._descriptors.clear()

    def _read(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._socket, 65536, 1, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        self._descriptors += descriptors
        *lines, self._received = (self._received + data).split(b"\n")
        if not data or len(self._received) > LONGEST_LINE:
            self._fail("the pod's sandbox is gone")
            return
        for line in lines:
            try:
                message = records.decode_message(line)
            except msgspec.DecodeError as error:
                self._fail(f"the pod's sandbox does not speak as expected: {error}")
                return
            if isinstance(message, Done) and not self._answer.done():
                self._answer.set_result(message)

    def _fail(self, why: str) -> None:
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        if not self._answer.done():
            self._answer.set_exception(SandboxError(why))
            self._answer.exception()  # nobody may have asked yet
