"""The kernel's table of connections: reads the entries of some frontends, and removes those that lead nowhere."""

from __future__ import annotations

import errno
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from struct import pack, unpack

from fairlead.proxy import metrics
from fairlead.proxy.conntrack import Flow, Frontend, Serving, UdpFrontends, astray, stale
from fairlead.proxy.dataplane import Selected
from fairlead.proxy.family import Family
from fairlead.proxy.netlink import (
    NESTED,
    NETLINK_NETFILTER,
    NLM_F_ACK,
    NLM_F_DUMP,
    NLMSG_DONE,
    NLMSG_ERROR,
    attribute,
    attributes,
    message,
    messages,
)

log = logging.getLogger("fairlead.proxy")

_GET, _DELETE = 1 << 8 | 1, 1 << 8 | 2
# Numbers of linux/netfilter/nfnetlink_conntrack.h: CTA_TUPLE_ORIG and so on.
_ORIGINAL, _REPLY, _STATUS, _ID, _FILTER, _STATUS_MASK = 1, 2, 3, 12, 25, 26
_IP, _PROTOCOL = 1, 2
_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
_SOURCE, _DESTINATION = {4: 1, 16: 3}, {4: 2, 16: 4}
_BY_ADDRESS, _BY_PROTOCOL, _BY_PORT = 1 << 1, 1 << 3, 1 << 5
# Bits of linux/netfilter/nf_conntrack_common.h: IPS_SEEN_REPLY, IPS_CONFIRMED, IPS_DST_NAT.
_ANSWERED, _CONFIRMED, _TRANSLATED = 1 << 1, 1 << 3, 1 << 5

_WITH_PORTS = (socket.IPPROTO_TCP, socket.IPPROTO_UDP, socket.IPPROTO_SCTP)
_UNTRANSLATED = attribute(_STATUS, pack("!I", _CONFIRMED)) + attribute(
    _STATUS_MASK, pack("!I", _CONFIRMED | _ANSWERED | _TRANSLATED)
)
"""What entries the kernel is to give: those that nobody answered, and whose destination is as the client said."""

MOST_FILTERS = 8
"""Frontends that are asked for one by one: the kernel walks its table for each. For more, all of UDP is read once."""


class Connections:
    """One family's entries in the network namespace of the thread that made this. Mends what a commit left behind."""

    def __init__(self, family: Family) -> None:
        self._family = family
        self._frontends = UdpFrontends()
        self._sequence = 0
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_NETLINK, kind, NETLINK_NETFILTER)
        self._socket.bind((0, 0))

    def close(self) -> None:
        """Gives the socket back."""
        self._socket.close()

    def restart(self) -> None:
        """What the kernel holds is not known: the next `changed` has every Service."""
        self._frontends.forget()

    def changed(self, changes: Mapping[str, Selected]) -> int:
        """The Services lead elsewhere since a commit: removes their entries that lead to nobody, and counts them.

        Costs nothing without UDP ports that lost an endpoint or got their first. Never raises: what cannot be removed
        is logged, and expires by itself.
        """
        doubtful = self._frontends.changed(changes)
        if not doubtful:
            return 0
        began = time.perf_counter()
        removed = 0
        try:
            for tuple_, identity, flow in self._flows(doubtful):
                if flow.protocol == socket.IPPROTO_UDP and stale(flow, doubtful):
                    removed += self._remove(tuple_, identity)
        except OSError as error:
            log.warning("stale UDP connections may stay until they expire: %s", error)
        self._count(began, removed)
        return removed

    def found_again(self, ours: Callable[[int, bytes, int], bool]) -> int:
        """All rules were written: removes the entries of TCP and SCTP that went astray before, and counts them.

        What their clients repeat is translated then. `ours` says whether protocol, address and port are a frontend.
        Costs a walk of the kernel's through its table; kernels before 5.15 give all of it. Never raises, as `changed`.
        """
        began = time.perf_counter()
        removed = 0
        try:
            for tuple_, identity, flow in list(self._dump(_UNTRANSLATED)):
                known = flow.protocol != socket.IPPROTO_UDP and astray(flow)
                if known and ours(flow.protocol, flow.destination, flow.port):
                    removed += self._remove(tuple_, identity)
        except OSError as error:
            log.warning("connections that began while there were no rules may fail: %s", error)
        self._count(began, removed)
        return removed

    def _count(self, began: float, removed: int) -> None:
        metrics.CONNTRACK_DURATION.labels(self._family.address_type).observe(time.perf_counter() - began)
        metrics.CONNTRACK_DELETED.labels(self._family.address_type).inc(removed)

    def _flows(self, doubtful: Mapping[Frontend, Serving]) -> list[tuple[bytes, bytes, Flow]]:
        filters = (
            [self._filter(*each) for each in doubtful] if len(doubtful) <= MOST_FILTERS else [self._filter()]
        )
        return [entry for wanted in filters for entry in self._dump(wanted)]

    def _filter(self, address: bytes = b"", port: int = 0) -> bytes:
        """What entries the kernel is to give: UDP, to that address and port. Kernels before 5.8 give all."""
        if self._family.size == 16:
            # nf_conntrack_netlink.c compares IPv6 addresses the wrong way round: it gives all but those.
            address = b""
        flags = _BY_PROTOCOL | (_BY_ADDRESS if address else 0) | (_BY_PORT if port else 0)
        protocol = attribute(_NUMBER, pack("B", socket.IPPROTO_UDP))
        if port:
            protocol += attribute(_DESTINATION_PORT, pack("!H", port))
        ip = attribute(_DESTINATION[self._family.size], address) if address else b""
        wanted = attribute(_IP | NESTED, ip) + attribute(_PROTOCOL | NESTED, protocol)
        return attribute(_ORIGINAL | NESTED, wanted) + attribute(
            _FILTER | NESTED, attribute(1, pack("=I", flags)) + attribute(2, pack("=I", 0))
        )

    def _dump(self, wanted: bytes) -> Iterator[tuple[bytes, bytes, Flow]]:
        self._send(_GET, NLM_F_DUMP, wanted)
        for body in self._answers():
            parts = dict(attributes(body[4:]))
            flow = self._flow(parts)
            if flow is not None:
                yield bytes(parts[_ORIGINAL]), bytes(parts.get(_ID, b"")), flow

    def _flow(self, parts: Mapping[int, memoryview]) -> Flow | None:
        size = self._family.size
        original, reply = (dict(attributes(parts[direction])) for direction in (_ORIGINAL, _REPLY))
        protocol, back = (dict(attributes(tuple_[_PROTOCOL])) for tuple_ in (original, reply))
        if protocol[_NUMBER][0] not in _WITH_PORTS:
            return None
        destination = dict(attributes(original[_IP]))[_DESTINATION[size]]
        source = dict(attributes(reply[_IP]))[_SOURCE[size]]
        (port,) = unpack("!H", protocol[_DESTINATION_PORT])
        return Flow(
            bytes(destination),
            port,
            bytes(source) + bytes(back[_SOURCE_PORT]) + b"\0\0",
            protocol[_NUMBER][0],
            bool(int.from_bytes(parts[_STATUS], "big") & _ANSWERED),
        )

    def _remove(self, original: bytes, identity: bytes) -> int:
        """Removes one entry, and not a newer one of the same addresses."""
        payload = attribute(_ORIGINAL | NESTED, original)
        if identity:
            payload += attribute(_ID, identity)
        self._send(_DELETE, NLM_F_ACK, payload)
        try:
            list(self._answers())
        except FileNotFoundError:
            return 0  # it expired meanwhile
        return 1

    def _send(self, kind: int, flags: int, payload: bytes) -> None:
        self._sequence += 1
        self._socket.send(message(kind, flags, self._sequence, payload, self._family.number))

    def _answers(self) -> Iterator[memoryview]:
        while True:
            for kind, _, sequence, body in messages(memoryview(self._socket.recv(1 << 17))):
                if sequence != self._sequence:
                    continue
                if kind in (NLMSG_ERROR, NLMSG_DONE):
                    code = -int.from_bytes(body[:4], "little", signed=True) if len(body) >= 4 else 0
                    if code and code != errno.EINTR:
                        raise OSError(code, f"conntrack: {os.strerror(code)}")
                    return
                yield body
