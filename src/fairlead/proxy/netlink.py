"""nfnetlink: messages, batches and dumps, as far as nf_tables needs them."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

NETLINK_NETFILTER = 12
NFNL_SUBSYS_NFTABLES = 10

NEWTABLE, GETTABLE, DELTABLE = 0, 1, 2
NEWCHAIN, GETCHAIN, DELCHAIN = 3, 4, 5
NEWRULE, GETRULE, DELRULE = 6, 7, 8
GETSET, DELSET = 10, 11
NEWSETELEM, GETSETELEM, DELSETELEM = 12, 13, 14
GETGEN = 16

NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP, NLM_F_CREATE, NLM_F_APPEND = 0x1, 0x4, 0x300, 0x400, 0x800
NLM_F_DUMP_INTR = 0x10
NLMSG_ERROR, NLMSG_DONE = 2, 3
BATCH_BEGIN, BATCH_END = 0x10, 0x11
NESTED = 0x8000

SOL_NETLINK, NETLINK_CAP_ACK = 270, 10
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33
WANTED_BUFFER = 256 << 20
"""Bytes that one batch may have: five million elements. Costs nothing until it is used."""

IOV_MAX = 1024
"""Buffers that one sendmsg takes without their being joined, which would need their memory twice."""

_HEAD = struct.Struct("=IHHII")
_GENERAL = struct.Struct("!BBH")
_ATTRIBUTE = struct.Struct("=HH")


class KernelRefused(OSError):
    """The kernel did not take a batch, and has undone all of it. `errno` is its reason."""


@dataclass(frozen=True, slots=True)
class Request:
    """One message of a batch."""

    kind: int
    payload: bytes
    what: str
    """For errors: `adding elements of frontends`."""
    flags: int = 0


Step = tuple[Request, ...]
"""Messages that have to be in one batch."""


def attribute(kind: int, data: bytes) -> bytes:
    """A netlink attribute, padded."""
    return _ATTRIBUTE.pack(4 + len(data), kind) + data + b"\0" * (-len(data) % 4)


def attributes(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The attributes in `data`: kind without its flags, content."""
    at = 0
    while at + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        yield kind & 0x3FFF, data[at + 4 : at + length]
        at += length + (-length % 4)


def header(kind: int, flags: int, sequence: int, length: int, family: int, resource: int = 0) -> bytes:
    """What stands before a payload of that length: netlink's header and nfnetlink's general one."""
    head = _HEAD.pack(20 + length, kind, flags | NLM_F_REQUEST, sequence, 0)
    return head + _GENERAL.pack(family, 0, resource)


def message(kind: int, flags: int, sequence: int, payload: bytes, family: int, resource: int = 0) -> bytes:
    """A whole message."""
    return header(kind, flags, sequence, len(payload), family, resource) + payload


def _table_message(kind: int, flags: int, sequence: int, payload: bytes, family: int) -> bytes:
    return message(NFNL_SUBSYS_NFTABLES << 8 | kind, flags, sequence, payload, family)


class Link:
    """A netlink socket for nf_tables in the network namespace of the thread that made it."""

    def __init__(self, family: int) -> None:
        self._family = family
        self._sequence = 0
        self.batches = 0
        """How many batches the kernel took: each moves its generation on by one."""
        self._open()

    def _open(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER
        )
        self._socket.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
        for forced, plain in ((SO_SNDBUFFORCE, socket.SO_SNDBUF), (SO_RCVBUFFORCE, socket.SO_RCVBUF)):
            size = WANTED_BUFFER if plain == socket.SO_SNDBUF else 4 << 20
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, forced, size)
            except PermissionError:
                # In a user namespace the administrator's limit holds (net.core.wmem_max): several batches, then.
                self._socket.setsockopt(socket.SOL_SOCKET, plain, size)
        # af_netlink.c: a message may fill the buffer but for 32 octets; the kernel doubles what is asked for.
        self.limit = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) - 64
        self._socket.bind((0, 0))

    def close(self) -> None:
        """Gives the socket back."""
        self._socket.close()

    def renew(self) -> None:
        """Takes another socket, and gives the one before back with what it owned (`nftables.ownership`)."""
        before = self._socket
        self._open()
        before.close()

    def commit(self, steps: Iterable[Step]) -> int:
        """Sends the steps as one atomic batch, or as several in the same order where the limit wants it.

        Gives the number of batches. Raises `KernelRefused`; the batches before the refused one stay.
        """
        batch: list[Request] = []
        size = 0
        before = self.batches
        for step in steps:
            length = sum(len(request.payload) + 20 for request in step)
            if batch and size + length > self.limit - 64:
                self._send(batch)
                batch, size = [], 0
            batch += step
            size += length
        if batch:
            self._send(batch)
        return self.batches - before

    def _send(self, batch: Sequence[Request]) -> None:
        first = self._sequence + 1
        last = first + len(batch) - 1
        self._sequence = last + 1
        parts = [message(BATCH_BEGIN, 0, first - 1, b"", 0, NFNL_SUBSYS_NFTABLES)]
        for sequence, request in enumerate(batch, first):
            # The acknowledgement of the last one says that the whole batch is committed.
            flags = request.flags | (NLM_F_ACK if sequence == last else 0)
            kind = NFNL_SUBSYS_NFTABLES << 8 | request.kind
            parts += (header(kind, flags, sequence, len(request.payload), self._family), request.payload)
        parts.append(message(BATCH_END, 0, last, b"", 0, NFNL_SUBSYS_NFTABLES))
        if len(parts) <= IOV_MAX:
            self._socket.sendmsg(parts)
        else:
            self._socket.send(b"".join(parts))
        self._acknowledged(batch, first)

    def _acknowledged(self, batch: Sequence[Request], first: int) -> None:
        """Reads the answers, all of which are there when send returns, up to the last message's."""
        last = first + len(batch) - 1
        refused: KernelRefused | None = None
        while True:
            try:
                data = memoryview(self._socket.recv(1 << 16, socket.MSG_DONTWAIT))
            except BlockingIOError:
                raise refused or KernelRefused(errno.EIO, "the kernel did not answer a batch") from None
            for kind, _, sequence, body in messages(data):
                # A refused commit is told with the number of the batch's own header.
                if kind != NLMSG_ERROR or not first - 1 <= sequence <= last:
                    continue
                code = -int.from_bytes(body[:4], "little", signed=True)
                if code == 0 and sequence == last:
                    if refused is not None:
                        raise refused
                    self.batches += 1
                    return
                if code and refused is None:
                    what = batch[sequence - first].what if sequence >= first else "committing"
                    refused = KernelRefused(code, f"nftables: {what}: {os.strerror(code)}")

    def dump(self, kind: int, payload: bytes, *, every: bool = True) -> list[memoryview]:
        """Asks for objects; gives each answer's attributes. With `every` false, for one object.

        Raises OSError (ENOENT: there is no such table or set). A dump that a change cut short is taken again.
        """
        while True:
            self._sequence += 1
            sequence = self._sequence
            flags = NLM_F_DUMP if every else NLM_F_ACK
            self._socket.send(_table_message(kind, flags, sequence, payload, self._family))
            answers, whole = self._answers(sequence)
            if whole:
                return answers

    def _answers(self, sequence: int) -> tuple[list[memoryview], bool]:
        answers: list[memoryview] = []
        whole = True
        while True:
            for kind, flags, number, body in messages(memoryview(self._socket.recv(1 << 17))):
                if number != sequence:
                    continue
                whole = whole and not flags & NLM_F_DUMP_INTR
                if kind in (NLMSG_ERROR, NLMSG_DONE):
                    code = -int.from_bytes(body[:4], "little", signed=True) if len(body) >= 4 else 0
                    if code == errno.EINTR or not code:
                        return answers, whole and not code
                    raise OSError(code, f"nftables: reading: {os.strerror(code)}")
                answers.append(body[4:])


def messages(data: memoryview) -> Iterator[tuple[int, int, int, memoryview]]:
    """The messages in what one recv gave: kind, flags, sequence, payload."""
    at = 0
    while at + 16 <= len(data):
        length, kind, flags, sequence, _ = _HEAD.unpack_from(data, at)
        yield kind, flags, sequence, data[at + 16 : at + length]
        at += length + (-length % 4)
