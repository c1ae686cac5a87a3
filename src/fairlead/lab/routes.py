"""Many routes at once: every node has one to every other node's pods, so that their number is the square of the nodes'.

They are told to the kernel by rtnetlink(7), many in a message, and each costs some ten microseconds.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
from collections.abc import Iterable, Sequence

_RTM_NEWROUTE = 24
_NLMSG_ERROR = 2
_REQUEST, _ACK, _REPLACE, _CREATE = 0x1, 0x4, 0x100, 0x400
_TABLE_MAIN, _PROTOCOL_STATIC, _SCOPE_UNIVERSE, _TYPE_UNICAST = 254, 4, 0, 1
_DST, _GATEWAY = 1, 5
_HEADER, _ROUTE, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=BBBBBBBBI"), struct.Struct("=HH")
AT_ONCE = 100
"""So many requests in a message: their answers, which do not repeat them, fit the socket's buffer."""

_SOL_NETLINK, _CAP_ACK = 270, 10

Way = tuple[str, str]
"""A network as a CIDR, and the gateway to it, of the same family."""


def request(way: Way, number: int) -> bytes:
    """The request that makes or replaces a route of the main table. Pure."""
    network, gateway = ipaddress.ip_network(way[0]), ipaddress.ip_address(way[1])
    family = socket.AF_INET if network.version == 4 else socket.AF_INET6
    attributes = b"".join(
        _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value
        for kind, value in ((_DST, network.network_address.packed), (_GATEWAY, gateway.packed))
        if kind != _DST or network.prefixlen
    )
    route = _ROUTE.pack(
        *(family, network.prefixlen, 0, 0),
        *(_TABLE_MAIN, _PROTOCOL_STATIC, _SCOPE_UNIVERSE, _TYPE_UNICAST, 0),
    )
    flags = _REQUEST | _ACK | _REPLACE | _CREATE
    length = _HEADER.size + len(route) + len(attributes)
    return _HEADER.pack(length, _RTM_NEWROUTE, flags, number, 0) + route + attributes


def answers(data: bytes) -> list[tuple[int, int]]:
    """The numbers of the requests that a message of the kernel's answers, each with its errno or 0. Pure."""
    found, at = [], 0
    while at + _HEADER.size <= len(data):
        length, kind, _, number, _ = _HEADER.unpack_from(data, at)
        if kind == _NLMSG_ERROR:
            found.append((number, -struct.unpack_from("=i", data, at + _HEADER.size)[0]))
        at += max(length + 3 & ~3, _HEADER.size)
    return found


def install(ways: Sequence[Way]) -> None:
    """Makes or replaces routes in the thread's network namespace. Raises OSError with the first that is refused."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)
        kernel.bind((0, 0))
        for begin in range(0, len(ways), AT_ONCE):
            _send(kernel, ways[begin : begin + AT_ONCE])


def _send(kernel: socket.socket, ways: Sequence[Way]) -> None:
    kernel.send(b"".join(request(way, number) for number, way in enumerate(ways)))
    missing = len(ways)
    while missing:
        for number, error in answers(kernel.recv(1 << 16)):
            missing -= 1
            if error:
                raise OSError(
                    error, f"{os.strerror(error)}: the route to {ways[number][0]} by {ways[number][1]}"
                )


def grouped(routes: Iterable[tuple[str, Way]]) -> dict[str, list[Way]]:
    """The ways of each namespace."""
    found: dict[str, list[Way]] = {}
    for namespace, way in routes:
        found.setdefault(namespace, []).append(way)
    return found
