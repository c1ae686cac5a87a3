"""Netlink as generic families and routing speak it: several requests in flight, each acknowledged by itself."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from fairlead.proxy.netlink import NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR

WINDOW = 200
"""Requests that are sent before their acknowledgements are read: those have to fit into the receive buffer."""
AT_ONCE = 1 << 20
"""Octets read at a time."""

_HEAD = struct.Struct("=IHHII")
_ERROR = struct.Struct("=i")


@dataclass(frozen=True, slots=True)
class Request:
    """One message to the kernel."""

    kind: int
    payload: bytes
    what: str
    """For errors: `adding 10.96.0.1:80/TCP`."""
    flags: int = 0
    ignored: tuple[int, ...] = ()
    """Errors that say that it was so already."""


class Channel:
    """A netlink socket in the network namespace of the thread that made it."""

    def __init__(self, protocol: int, groups: int = 0) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._socket.bind((0, groups))
        self._sequence = 0

    def close(self) -> None:
        """Gives the socket back."""
        self._socket.close()

    def tell(self, requests: Iterable[Request]) -> None:
        """Lets the kernel do them in order. Raises OSError for the first that it refused; those around it are done."""
        remaining = iter(requests)
        while window := list(islice(remaining, WINDOW)):
            self._tell(window)

    def _tell(self, window: Sequence[Request]) -> None:
        first = self._sequence + 1
        self._sequence += len(window)
        self._socket.send(
            b"".join(
                _HEAD.pack(16 + len(r.payload), r.kind, r.flags | NLM_F_REQUEST | NLM_F_ACK, first + at, 0)
                + r.payload
                + b"\0" * (-len(r.payload) % 4)
                for at, r in enumerate(window)
            )
        )
        refused: OSError | None = None
        missing = len(window)
        while missing:
            for kind, sequence, data in self._receive():
                if kind != NLMSG_ERROR or not first <= sequence <= self._sequence:
                    continue
                missing -= 1
                request, error = window[sequence - first], -_ERROR.unpack_from(data)[0]
                if error and error not in request.ignored and refused is None:
                    refused = OSError(error, f"{request.what}: {os.strerror(error)}")
        if refused is not None:
            raise refused

    def ask(self, kind: int, payload: bytes, *, every: bool = True) -> list[memoryview]:
        """The answers' contents: of a dump, or of one question. Raises OSError."""
        self._sequence += 1
        flags = NLM_F_REQUEST | (NLM_F_DUMP if every else NLM_F_ACK)
        self._socket.send(_HEAD.pack(16 + len(payload), kind, flags, self._sequence, 0) + payload)
        found: list[memoryview] = []
        while True:
            for kind, sequence, data in self._receive():
                if sequence != self._sequence:
                    continue
                if kind not in (NLMSG_DONE, NLMSG_ERROR):
                    found.append(data)
                    continue
                error = -_ERROR.unpack_from(data)[0] if len(data) >= 4 else 0
                if error:
                    raise OSError(error, os.strerror(error))
                return found

    def news(self) -> list[tuple[int, memoryview]]:
        """What the groups told since the last call: kinds and contents. Does not wait."""
        found: list[tuple[int, memoryview]] = []
        while True:
            try:
                data = self._socket.recv(AT_ONCE, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return found
            found += [(kind, content) for kind, _, content in _split(data)]

    def _receive(self) -> list[tuple[int, int, memoryview]]:
        return _split(self._socket.recv(AT_ONCE))


def _split(data: bytes) -> list[tuple[int, int, memoryview]]:
    view, at = memoryview(data), 0
    found = []
    while at + 16 <= len(view):
        length, kind, _, sequence, _ = _HEAD.unpack_from(view, at)
        found.append((kind, sequence, view[at + 16 : at + length]))
        at += length + (-length % 4)
    return found
