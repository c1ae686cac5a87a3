"""Connections and bytes of each Service port and endpoint, counted by the kernel in a table of its own.

The counters stand in elements that the packets themselves make, one for each frontend with an endpoint that talked
lately, so that nothing has to be told to the kernel when Services change, and nothing is held for those that nobody
uses. They count what connection tracking says was translated, whatever the mode (but for IPVS, which does not say it
there), on the node that translated it: the client's, or the one where the client came in from outside.
"""

from __future__ import annotations

import enum
import errno
import logging
import struct
from collections.abc import Iterator
from typing import NamedTuple

from fairlead.proxy import rulesets
from fairlead.proxy.dataplane import Refused
from fairlead.proxy.family import IPV4, IPV6, Family
from fairlead.proxy.netlink import GETSETELEM, Link, attribute, attributes

log = logging.getLogger("fairlead.proxy")

TABLE = "fairlead-traffic"
CONNECTIONS, RECEIVED, SENT = "connections", "received", "sent"
"""Sets, in which each element has a counter: of connections, of packets from clients, of packets to them."""

PAIRS = 1 << 14
"""Frontends with an endpoint that are counted at a time, for each family; further ones are not until others expire."""
IDLE = "1h"
"""For how long one that nothing passes is kept; after that it begins at zero, as after a restart of the node."""

# Numbers of linux/netfilter/nf_tables.h: NFTA_SET_ELEM_LIST_TABLE and so on.
_LIST_TABLE, _LIST_SET, _LIST_ELEMENTS = 1, 2, 3
_KEY, _EXPRESSION = 1, 7
_VALUE, _EXPRESSION_DATA = 1, 2
_COUNTER_BYTES, _COUNTER_PACKETS = 1, 2

_HEAD, _NUMBER = struct.Struct("=HH"), struct.Struct("!Q")
_ADDRESS = {IPV4: "ipv4_addr", IPV6: "ipv6_addr"}


class Counted(enum.Enum):
    """What is counted, as the flag `--traffic-metrics` names it."""

    NONE = "none"
    CONNECTIONS = "connections"
    """A lookup for each connection."""
    BYTES = "bytes"
    """Connections, and a lookup for each packet."""


class Pair(NamedTuple):
    """A frontend with an endpoint that answers on it."""

    address: bytes
    """What clients send to; of a node port, the node's address that they sent to."""
    protocol: int
    port: int
    endpoint: bytes
    endpoint_port: int


class Totals(NamedTuple):
    """What passed between clients and an endpoint by way of a frontend."""

    connections: int = 0
    received: int = 0
    """Octets from clients, with the headers of IP and transport."""
    sent: int = 0
    """Octets to clients."""

    def plus(self, other: Totals) -> Totals:
        """Both together."""
        return Totals(*map(sum, zip(self, other, strict=True)))


def ruleset(counted: Counted, family: Family) -> str:
    """The table as text. Applying it again keeps the counters of what is still counted. Pure."""
    ip, address = family.table, _ADDRESS[family]
    # A type in words: libnftables 1.0.6 crashes on the typeof of a reply's address.
    kind = f"type {address} . inet_proto . inet_service . {address} . inet_service"
    counters = f"{{ {kind}; size {PAIRS}; flags dynamic, timeout; timeout {IDLE}; counter; }}"
    pair = f"ct original {ip} daddr . meta l4proto . ct original proto-dst . ct reply {ip} saddr . ct reply proto-src"
    translated = "meta l4proto { tcp, udp, sctp } ct status dnat"
    # Chains of type nat see the first packet of a connection alone, and these translate none.
    noted = f"{translated} update @{CONNECTIONS} {{ {pair} }}"
    declared = f"""
table {ip} {TABLE} {{
 comment "Traffic of Kubernetes Services, by fairlead proxy"
 set {CONNECTIONS} {counters}
 set {RECEIVED} {counters}
 set {SENT} {counters}
 chain forwarded {{ type nat hook postrouting priority 99; }}
 chain delivered {{ type nat hook input priority 99; }}
 chain arriving {{ type filter hook prerouting priority 0; }}
 chain leaving {{ type filter hook output priority 0; }}
}}
flush table {ip} {TABLE}
table {ip} {TABLE} {{
 chain forwarded {{ {noted}; }}
 chain delivered {{ {noted}; }}
}}
"""
    if counted is not Counted.BYTES:
        unused = ("chain", "arriving"), ("chain", "leaving"), ("set", RECEIVED), ("set", SENT)
        return declared + "".join(f"delete {what} {ip} {TABLE} {name}\n" for what, name in unused)
    received = f"{translated} ct direction original update @{RECEIVED} {{ {pair} }}"
    sent = f"{translated} ct direction reply update @{SENT} {{ {pair} }}"
    # What the node sends to itself is counted as it leaves, and not again as it arrives.
    return f"""{declared}
table {ip} {TABLE} {{
 chain arriving {{
  iif != "lo" {received}
  iif != "lo" {sent}
 }}
 chain leaving {{
  {received}
  {sent}
 }}
}}
"""


class Traffic:
    """One family's counters in the network namespace of the thread that made this."""

    def __init__(self, counted: Counted, family: Family) -> None:
        self.family = family
        self._counted = counted
        self._nft = rulesets.Context()
        self._link = Link(family.number)
        self._key = struct.Struct(f"!{family.size}sB3xH2x{family.size}sH2x")
        """A pair as the sets have it: each part padded to four octets."""

    def start(self) -> None:
        """Makes the table, or takes over the one that is there with its counters. Takes some milliseconds.

        Raises `dataplane.Unusable` or `dataplane.Refused`.
        """
        text = ruleset(self._counted, self.family)
        try:
            self._nft.run(text)
        except Refused:
            # Another version's, or somebody else's, of another form.
            self._nft.run(_removal(self.family) + text)

    def close(self) -> None:
        """Lets the kernel go on counting."""
        self._link.close()
        self._nft.close()

    def read(self) -> dict[Pair, Totals]:
        """What is counted so far. Costs some microseconds a pair, in the kernel most of it.

        A table that somebody removed is made anew, and says nothing this time. Raises OSError.
        """
        totals: dict[Pair, Totals] = {}
        try:
            for pair, packets, _ in self._counters(CONNECTIONS):
                totals[pair] = Totals(packets)
            if self._counted is Counted.BYTES:
                for pair, _, octets in self._counters(RECEIVED):
                    totals[pair] = totals.get(pair, Totals())._replace(received=octets)
                for pair, _, octets in self._counters(SENT):
                    totals[pair] = totals.get(pair, Totals())._replace(sent=octets)
        except FileNotFoundError:
            log.warning("somebody removed the nftables table %s; making it anew", TABLE)
            try:
                self.start()
            except Refused as error:
                raise OSError(str(error)) from error
        return totals

    def _counters(self, name: str) -> Iterator[tuple[Pair, int, int]]:
        """Packets and octets of each pair that a set has."""
        named = attribute(_LIST_TABLE, TABLE.encode() + b"\0") + attribute(_LIST_SET, name.encode() + b"\0")
        layout: tuple[int, int, int] | None = None
        for answer in self._link.dump(GETSETELEM, named):
            for kind, listed in attributes(answer):
                if kind != _LIST_ELEMENTS:
                    continue
                for _, element in attributes(listed):
                    # Where key and counter stand is the same in all elements of a set.
                    key, octets, packets = layout = layout or _layout(element)
                    yield (
                        Pair._make(self._key.unpack_from(element, key)),
                        _NUMBER.unpack_from(element, packets)[0],
                        _NUMBER.unpack_from(element, octets)[0],
                    )


def _layout(element: memoryview) -> tuple[int, int, int]:
    """Where an element has its key, its counter of octets and that of packets."""
    counter = _offset(element, _EXPRESSION, _EXPRESSION_DATA)
    return (
        _offset(element, _KEY, _VALUE),
        counter + _offset(element[counter:], _COUNTER_BYTES),
        counter + _offset(element[counter:], _COUNTER_PACKETS),
    )


def _offset(data: memoryview, *kinds: int) -> int:
    """Where the content of an attribute begins that is in others. Raises OSError where it is not there."""
    at = 0
    for wanted in kinds:
        while True:
            if at + 4 > len(data):
                raise OSError(errno.EPROTO, f"nftables: an element of {TABLE} is not as it should be")
            length, kind = _HEAD.unpack_from(data, at)
            if kind & 0x3FFF == wanted:
                at += 4
                break
            at += length + (-length % 4)
    return at


def cleanup(family: Family) -> None:
    """Removes the table, if it is there. Raises `dataplane.Unusable` or `dataplane.Refused`."""
    rulesets.run(_removal(family))


def _removal(family: Family) -> str:
    # Adding first makes deleting a table that is not there no error.
    table = f"{family.table} {TABLE}"
    return f"add table {table}\ndelete table {table}\n"
