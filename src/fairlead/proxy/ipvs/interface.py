"""The interface `kube-ipvs0`, which has the addresses of all virtual servers so that the kernel takes their packets.

It stays down: its addresses are local all the same, and it announces nothing.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct

from fairlead.proxy.family import Family
from fairlead.proxy.ipvs.channel import Channel, Request
from fairlead.proxy.netlink import NESTED, NLM_F_CREATE, attribute, attributes

NAME = "kube-ipvs0"
NETLINK_ROUTE = 0
_NEWLINK, _DELLINK, _NEWADDR, _DELADDR, _GETADDR = 16, 17, 20, 21, 22
_IFNAME, _LINKINFO, _KIND = 3, 18, 1
_ADDRESS, _LOCAL, _CACHEINFO = 1, 2, 6
_FOR_EVER = 0xFFFFFFFF
_GROUPS = {4: 0x10, 16: 0x100}
"""Where the kernel tells of addresses that come and go, by their size (RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR)."""

_LINK = struct.Struct("=BxHiII")
_ADDR = struct.Struct("=BBBBI")
NLM_F_EXCL = 0x200


class Addresses:
    """The addresses of the node, in the network namespace of the thread that made this."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self._channel = Channel(NETLINK_ROUTE)
        self._news = Channel(NETLINK_ROUTE, _GROUPS[family.size])

    def close(self) -> None:
        """Gives the sockets back."""
        self._channel.close()
        self._news.close()

    def make_interface(self) -> None:
        """Makes the interface where there is none."""
        kind = attribute(_LINKINFO | NESTED, attribute(_KIND, b"dummy"))
        payload = _LINK.pack(0, 0, 0, 0, 0) + attribute(_IFNAME, NAME.encode() + b"\0") + kind
        flags = NLM_F_CREATE | NLM_F_EXCL
        self._channel.tell([Request(_NEWLINK, payload, f"making {NAME}", flags, (errno.EEXIST,))])

    def remove_interface(self) -> None:
        """Removes it with its addresses, of both families."""
        if index := interface():
            payload = _LINK.pack(0, 0, index, 0, 0)
            self._channel.tell([Request(_DELLINK, payload, f"removing {NAME}", 0, (errno.ENODEV,))])

    def bound(self) -> set[bytes]:
        """Those of the interface."""
        index = interface()
        return {address for at, address in self._all() if at == index and not _link_local(address)}

    def node(self) -> set[bytes]:
        """Those of all other interfaces, where node ports are open (kube-proxy: GetAllLocalAddressesExcept)."""
        index = interface()
        found = {address for at, address in self._all() if at != index}
        return {address for address in found if not _loopback(address) and not _link_local(address)}

    def bind(self, addresses: set[bytes], *, unbind: bool = False) -> None:
        """Gives the interface these addresses, or takes them from it."""
        index = interface()
        kind, verb = (_DELADDR, "removing") if unbind else (_NEWADDR, "adding")
        flags = 0 if unbind else NLM_F_CREATE | NLM_F_EXCL
        ignored = (errno.EADDRNOTAVAIL,) if unbind else (errno.EEXIST,)
        head = _ADDR.pack(self.family.number, self.family.size * 8, 0, 0, index)
        # Deprecated from the beginning: of all the node's addresses IPv6 would else take one for the source of what is
        # masqueraded. IPv4 takes one of the interface that the packet leaves by.
        lifetimes = struct.pack("=IIII", 0, _FOR_EVER, 0, 0)
        never_a_source = b"" if unbind or self.family.size == 4 else attribute(_CACHEINFO, lifetimes)
        self._channel.tell(
            Request(
                kind,
                head + attribute(_LOCAL, address) + attribute(_ADDRESS, address) + never_a_source,
                f"{verb} {self.family.text(address)} of {NAME}",
                flags,
                ignored,
            )
            for address in sorted(addresses)
        )

    def changed(self) -> bool:
        """Whether addresses of other interfaces came or went since the last call. Costs a few microseconds."""
        index = interface()
        try:
            news = self._news.news()
        except OSError:
            return True  # more than the buffer holds
        return any(_ADDR.unpack_from(data)[4] != index for kind, data in news if kind in (_NEWADDR, _DELADDR))

    def _all(self) -> list[tuple[int, bytes]]:
        found = []
        for answer in self._channel.ask(_GETADDR, _ADDR.pack(self.family.number, 0, 0, 0, 0)):
            family, _, _, _, index = _ADDR.unpack_from(answer)
            parts = dict(attributes(answer[_ADDR.size :]))
            address = parts.get(_LOCAL, parts.get(_ADDRESS))
            if family == self.family.number and address is not None:
                found.append((index, bytes(address)))
        return found


def interface() -> int:
    """The number of `kube-ipvs0`, 0 where there is none."""
    with contextlib.suppress(OSError):
        return socket.if_nametoindex(NAME)
    return 0


def _loopback(address: bytes) -> bool:
    return address[0] == 127 if len(address) == 4 else address == bytes(15) + b"\1"


def _link_local(address: bytes) -> bool:
    """In IPv6 only: each interface has one, good for nothing without the interface's name."""
    return len(address) == 16 and address[0] == 0xFE and address[1] & 0xC0 == 0x80
