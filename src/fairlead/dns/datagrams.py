"""Datagrams of a UDP socket, received and sent in batches: one system call for all that are there (recvmmsg(2))."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from ctypes import Structure, addressof, c_char, c_int, c_size_t, c_uint, c_void_p, sizeof
from functools import lru_cache
from struct import Struct
from typing import Any, NamedTuple, Protocol

SLOTS = 64
"""Datagrams of a batch at most. Twice as many save nothing more that could be measured."""

SIZE = 4032
"""Bytes of a datagram; what is longer is cut off. No power of two, so that slots do not share lines of the cache."""

WAIT_FOR_ONE = 0x10000
"""MSG_WAITFORONE: waits for the first datagram, and takes whatever else is there."""

UNUSABLE = (errno.ENOSYS, errno.EPERM, errno.EOPNOTSUPP)
"""What a kernel or a seccomp filter says that has no such call."""

_IP_PKTINFO = 8
"""ip(7); Python has no name for it before 3.14."""

_INFO4, _INFO6 = Struct("=i4s4s"), Struct("=16si")
"""struct in_pktinfo: interface, address here, address in the header; struct in6_pktinfo: address here, interface."""


_INFO = {socket.AF_INET: _INFO4, socket.AF_INET6: _INFO6}
_INTERFACE = {socket.AF_INET: socket.CMSG_LEN(0), socket.AF_INET6: socket.CMSG_LEN(16)}
"""Where a control message has the number of the interface."""

_STRIDE = 64
"""Bytes between the control messages of two slots."""

_NONE = memoryview(bytes(4 * SLOTS)).cast("I")


class Client(NamedTuple):
    """Where an answer goes: an address as `socket` has it, and what says from which of our own addresses."""

    socket: socket.socket
    address: tuple[Any, ...]
    source: Sequence[tuple[int, int, bytes]] = ()

    def send(self, answer: bytes) -> None:
        """Sends it. Raises OSError."""
        self.socket.sendmsg((answer,), self.source, 0, self.address)


class Batch(Protocol):
    """Slots for datagrams. Slot i begins at byte `i * SIZE` of `buffer` and `view`, which are the same memory.

    An answer is written over its query, its length into `lengths`; `send` puts it to where the query came from.
    """

    buffer: bytearray
    view: memoryview
    lengths: Any

    def receive(self) -> Sequence[int]:
        """Waits for a datagram; the lengths of all that are there. Raises OSError."""

    def send(self, first: int, end: int) -> None:
        """Sends the slots from `first` to before `end`; one that cannot be sent is left out."""

    def host(self, slot: int) -> str:
        """The address that the datagram in a slot came from."""

    def client(self, slot: int) -> Client:
        """What sends to there later, when the slot has others in it."""


def batch(sock: socket.socket) -> Batch:
    """The best that this kernel has for a socket."""
    try:
        return MessageBatch(sock)
    except OSError as error:
        if error.errno not in UNUSABLE:
            raise
        return SingleBatch(sock)


class _Vector(Structure):
    _fields_ = [("base", c_void_p), ("length", c_size_t)]


class _Head(Structure):
    _fields_ = [
        ("name", c_void_p),
        ("name_length", c_uint),
        ("vectors", c_void_p),
        ("vector_count", c_size_t),
        ("control", c_void_p),
        ("control_length", c_size_t),
        ("flags", c_int),
    ]


class _Message(Structure):
    """struct mmsghdr."""

    _fields_ = [("head", _Head), ("length", c_uint)]


class _Address(Structure):
    """struct sockaddr_in6, which is the longer one."""

    _fields_ = [
        ("family", ctypes.c_uint16),
        ("port", ctypes.c_uint8 * 2),
        ("flow", ctypes.c_uint8 * 4),
        ("host6", ctypes.c_uint8 * 16),
        ("scope", ctypes.c_uint32),
    ]


class MessageBatch:
    """A batch by recvmmsg and sendmmsg, called through ctypes on memory that is set up once.

    A socket on all addresses answers from the one that was asked (IP_PKTINFO): clients pass over other answers.
    A call costs half a microsecond more than the socket's own method, and spares one for every datagram after the
    first. Raises OSError where the kernel has no such calls.
    """

    def __init__(self, sock: socket.socket) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._receive, self._send = libc.recvmmsg, libc.sendmmsg
        self._socket = sock
        self._family = sock.family
        self.buffer = bytearray(SLOTS * SIZE)
        self.view = memoryview(self.buffer)
        self._names = (_Address * SLOTS)()
        self._sources = memoryview(self._names).cast("B")
        self._vectors = ((_Vector * SLOTS)(), (_Vector * SLOTS)())
        self._messages = ((_Message * SLOTS)(), (_Message * SLOTS)())
        start = addressof((c_char * len(self.buffer)).from_buffer(self.buffer))
        name_length = sizeof(_Address) if sock.family == socket.AF_INET6 else 16
        for vectors, messages in zip(self._vectors, self._messages, strict=True):
            for slot in range(SLOTS):
                vectors[slot].base = start + slot * SIZE
                vectors[slot].length = SIZE
                head = messages[slot].head
                head.name = addressof(self._names[slot])
                head.name_length = name_length
                head.vectors = addressof(vectors[slot])
                head.vector_count = 1
        self._info = _asked_address(sock)
        self._infos = bytearray(SLOTS * _STRIDE)
        self._interfaces = memoryview(self._infos).cast("I")[_INTERFACE[self._family] // 4 :: _STRIDE // 4]
        if self._info:
            start = addressof((c_char * len(self._infos)).from_buffer(self._infos))
            for messages in self._messages:
                for slot in range(SLOTS):
                    messages[slot].head.control = start + slot * _STRIDE
                    # Always all of it is used, so that the kernel, which writes the length, leaves it as it is.
                    messages[slot].head.control_length = socket.CMSG_SPACE(_INFO[self._family].size)
        incoming, outgoing = self._messages
        # Arguments that are C's already halve what a call through ctypes costs.
        number = c_int(sock.fileno())
        self._to_receive = (number, c_void_p(addressof(incoming)), c_uint(SLOTS), c_int(WAIT_FOR_ONE), None)
        self._number, self._no_flags = number, c_int(0)
        self._starts = [c_void_p(addressof(message)) for message in outgoing]
        self._counts = [c_uint(count) for count in range(SLOTS + 1)]
        at, size = _Message.length.offset, sizeof(c_uint)
        self._received = memoryview(incoming).cast("B").cast("I")[at // size :: sizeof(_Message) // size]
        at, size = _Vector.length.offset, sizeof(c_size_t)
        # On Linux an unsigned long is what a size_t is.
        self.lengths = memoryview(self._vectors[1]).cast("B").cast("L")[at // size :: sizeof(_Vector) // size]
        none = (number, None, self._counts[0], self._no_flags)
        if self._receive(*none, None) < 0 or self._send(*none) < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def receive(self) -> Sequence[int]:
        """See `Batch`."""
        count: int = self._receive(*self._to_receive)
        if count < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        if self._info:
            # The way back is the route's, not the interface that the query came by.
            self._interfaces[:count] = _NONE[:count]
        return self._received[:count].tolist()

    def send(self, first: int, end: int) -> None:
        """See `Batch`. A system call, and one more for each datagram that the kernel refuses."""
        while first < end:
            sent: int = self._send(
                self._number, self._starts[first], self._counts[end - first], self._no_flags
            )
            if sent < 0 and ctypes.get_errno() == errno.EINTR:
                continue
            first += max(1, sent)

    def host(self, slot: int) -> str:
        """See `Batch`."""
        start = slot * sizeof(_Address)
        if self._family == socket.AF_INET6:
            return _text(self._family, self._sources[start + 8 : start + 24].tobytes())
        return _text(self._family, self._sources[start + 4 : start + 8].tobytes())

    def client(self, slot: int) -> Client:
        """See `Batch`."""
        name, host = self._names[slot], self.host(slot)
        port = int.from_bytes(bytes(name.port))
        source: Sequence[tuple[int, int, bytes]] = ()
        if self._info:
            start = slot * _STRIDE + socket.CMSG_LEN(0)
            source = ((*self._info, bytes(self._infos[start : start + _INFO[self._family].size])),)
        if self._family == socket.AF_INET6:
            return Client(self._socket, (host, port, int.from_bytes(bytes(name.flow)), name.scope), source)
        return Client(self._socket, (host, port), source)


class SingleBatch:
    """A batch of one, by the socket's own methods, for kernels and sandboxes without the calls for many."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._info = _asked_address(sock)
        self.buffer = bytearray(SIZE)
        self.view = memoryview(self.buffer)
        self.lengths = [0]
        self._client = Client(sock, ("",))

    def receive(self) -> Sequence[int]:
        """See `Batch`."""
        space = socket.CMSG_SPACE(_INFO[self._socket.family].size) if self._info else 0
        length, infos, _, address = self._socket.recvmsg_into((self.buffer,), space)
        # None where the socket was shut down.
        self._client = Client(self._socket, address or ("",), [_without_interface(*info) for info in infos])
        return (length,)

    def send(self, first: int, end: int) -> None:
        """See `Batch`."""
        if first < end:
            with suppress(OSError):
                self._client.send(bytes(self.view[: self.lengths[0]]))

    def host(self, slot: int) -> str:
        """See `Batch`."""
        return str(self._client.address[0])

    def client(self, slot: int) -> Client:
        """See `Batch`."""
        return self._client


def _asked_address(sock: socket.socket) -> tuple[int, int] | None:
    """Lets the kernel say which of our addresses a query came to, where the socket is on all; gives level and type."""
    host = sock.getsockname()[0]
    if host == "0.0.0.0":  # noqa: S104
        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        return socket.IPPROTO_IP, _IP_PKTINFO
    if host == "::":
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        return socket.IPPROTO_IPV6, socket.IPV6_PKTINFO
    return None


def _without_interface(level: int, kind: int, data: bytes) -> tuple[int, int, bytes]:
    """A control message that leaves the way back to the routes."""
    if level == socket.IPPROTO_IP:
        _, here, header = _INFO4.unpack(data)
        return level, kind, _INFO4.pack(0, here, header)
    here, _ = _INFO6.unpack(data)
    return level, kind, _INFO6.pack(here, 0)


@lru_cache(maxsize=4096)
def _text(family: int, packed: bytes) -> str:
    """An address as a text; the last few thousand are remembered."""
    return socket.inet_ntop(family, packed)
