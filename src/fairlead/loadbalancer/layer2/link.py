"""One network interface: frames of ARP and neighbour discovery in and out. A thin shell around AF_PACKET sockets."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import socket
import struct
from collections.abc import Callable

from fairlead.loadbalancer.layer2.frames import (
    ETHERTYPE_ARP,
    ETHERTYPE_IPV6,
    Heard,
    read_arp,
    read_neighbour,
    solicited_node,
)
from fairlead.loadbalancer.pools import Address

log = logging.getLogger("fairlead.loadbalancer")

_SO_ATTACH_FILTER = 26
_ARPHRD_ETHER = 1
_AT_A_TIME = 64
"""Frames read before the rest of the program has a turn: who floods us must not stop us."""

# ldb [20] (next header); jeq 58 (ICMPv6); ldb [54] (its type); jeq 135; jeq 136; accept; reject: see bpf(4)
_NEIGHBOURS_ONLY = (
    (0x30, 0, 0, 20),
    (0x15, 0, 4, 58),
    (0x30, 0, 0, 54),
    (0x15, 1, 0, 135),
    (0x15, 0, 1, 136),
    (0x06, 0, 0, 2048),
    (0x06, 0, 0, 0),
)


class Link:
    """The interface `name` of this network namespace; `heard` is called with what each frame says.

    Raises OSError where there is no such interface, it is no Ethernet, or this process lacks CAP_NET_RAW. Only ARP and
    neighbour discovery reach Python: the kernel filters.
    """

    def __init__(self, name: str, heard: Callable[[Link, Heard], None]) -> None:
        self.name = name
        try:
            self.index = socket.if_nametoindex(name)
        except OSError as error:
            raise OSError(error.errno, f"there is no interface {name}") from error
        self._heard = heard
        self._groups: dict[bytes, tuple[int, socket.socket]] = {}
        self._arp = self._open(ETHERTYPE_ARP)
        self.hardware: bytes = self._arp.getsockname()[4]
        if self._arp.getsockname()[3] != _ARPHRD_ETHER:
            self._arp.close()
            raise OSError(f"the interface {name} is no Ethernet")
        try:
            self._neighbours = self._open(ETHERTYPE_IPV6, filtered=True)
        except OSError:
            self._arp.close()
            raise
        loop = asyncio.get_running_loop()
        loop.add_reader(self._arp, self._read, self._arp, read_arp)
        loop.add_reader(self._neighbours, self._read, self._neighbours, read_neighbour)

    def _open(self, ethertype: int, *, filtered: bool = False) -> socket.socket:
        # Of no protocol until it is bound: no frame is to slip in before the filter.
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        try:
            if filtered:
                code = b"".join(struct.pack("HBBI", *instruction) for instruction in _NEIGHBOURS_ONLY)
                buffer = ctypes.create_string_buffer(code, len(code))
                program = struct.pack("HP", len(_NEIGHBOURS_ONLY), ctypes.addressof(buffer))
                sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
            sock.bind((self.name, ethertype))
        except OSError:
            sock.close()
            raise
        return sock

    def _read(self, sock: socket.socket, read: Callable[[bytes], tuple[Heard, ...]]) -> None:
        for _ in range(_AT_A_TIME):
            try:
                frame = sock.recv(2048)
            except BlockingIOError:
                return
            except OSError as error:  # the interface went down; it may come back
                log.debug("%s: %s", self.name, error)
                return
            for heard in read(frame):
                self._heard(self, heard)

    def send(self, frame: bytes) -> None:
        """Sends a frame; one that cannot be sent, as while the interface is down, is lost like any other."""
        sock = self._arp if frame[12:14] == b"\x08\x06" else self._neighbours
        with contextlib.suppress(OSError):
            sock.send(frame)

    def join(self, address: Address) -> None:
        """Asks the network for frames that ask for this IPv6 address; addresses may share a group."""
        if address.version == 4:
            return
        group = solicited_node(address)
        count, sock = self._groups.get(group, (0, None))
        if sock is None:
            sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            try:
                membership = group + struct.pack("@I", self.index)
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, membership)
            except OSError as error:
                log.warning("%s: cannot join the group of %s: %s", self.name, address, error.strerror)
        self._groups[group] = count + 1, sock

    def leave(self, address: Address) -> None:
        """Takes `join` back."""
        if address.version == 4:
            return
        group = solicited_node(address)
        count, sock = self._groups.pop(group)
        if count > 1:
            self._groups[group] = count - 1, sock
        else:
            sock.close()

    def close(self) -> None:
        """Closes the sockets."""
        loop = asyncio.get_running_loop()
        for sock in (self._arp, self._neighbours):
            loop.remove_reader(sock)
            sock.close()
        for _, sock in self._groups.values():
            sock.close()
        self._groups.clear()
