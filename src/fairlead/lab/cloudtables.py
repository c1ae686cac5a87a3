"""The cloud's part in the kernel: new connections are dealt out to nodes, and the others stay where they are.

A connection's mark in the kernel's table (conntrack) is the address of its node, so that it outlives every change of
the nodes, and the process that made it. By `vip` the mark chooses the route and packets arrive as they were sent; by
`nodeport` they are translated to the node's own port.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pyroute2 import IPRoute, NFCTSocket
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.nfnetlink.nfctsocket import NFCTAttrTuple

from fairlead import libnftables
from fairlead.lab.addressing import IPV4, Family

log = logging.getLogger("fairlead.lab")


@dataclass(frozen=True)
class Lead:
    """Where an address leads: the well nodes' addresses. `sticky`: each client to one of them.

    `ports` are a Service's protocols, ports and node ports, if packets are to come by node port.
    """

    nodes: tuple[str, ...]
    sticky: bool = False
    ports: tuple[tuple[str, int, int], ...] = ()


def skeleton(family: Family) -> str:
    """The ruleset that replaces a family's table by one in which no address leads anywhere.

    What a balanced address says without having been asked is a late answer, to a connection that was forgotten. It
    would begin one in the wrong direction, in which the client's next packets would be for ever the answers.
    """
    table, ip = table_of(family.version), _ip(family.version)
    return f"""
add table {table}
delete table {table}
add table {table}
add set {table} balanced {{ type ipv{family.version}_addr; }}
add map {table} addresses {{ type ipv{family.version}_addr : verdict; }}
add map {table} ports {{ type ipv{family.version}_addr . inet_proto . inet_service : verdict; }}
add chain {table} filter {{ type filter hook prerouting priority mangle; policy accept; }}
add chain {table} nat {{ type nat hook prerouting priority dstnat; policy accept; }}
add rule {table} filter ct direction original ct mark != 0 meta mark set ct mark accept
add rule {table} filter ct state new {ip} saddr @balanced drop
add rule {table} filter ct state new {ip} daddr vmap @addresses
add rule {table} nat {ip} daddr . meta l4proto . th dport vmap @ports
"""


def table_of(version: int) -> str:
    """The table of an address family, as nft names it."""
    return f"{_ip(version)} fairlead-cloud"


def _ip(version: int) -> str:
    return "ip" if version == 4 else "ip6"


def _version(address: str) -> int:
    return 6 if ":" in address else 4


def mark(node: str) -> int:
    """The mark of a node's connections, which is the number of its routing table as well: its address.

    Of an IPv6 address the last 16 bits, above the numbers that the kernel has for itself.
    """
    address = ipaddress.ip_address(node)
    return int(address) if address.version == 4 else 0xFD000000 | (int(address) & 0xFFFF)


def removal(address: str, lead: Lead) -> str:
    """The ruleset that takes an address away again."""
    table = table_of(_version(address))
    text = f"delete element {table} balanced {{ {address} }}\n"
    if not lead.nodes:
        return text
    for protocol, port, _ in lead.ports:
        text += f"delete element {table} ports {{ {address} . {protocol} . {port} }}\n"
        text += f"delete chain {table} {_chain(address, protocol, port)}\n"
    if not lead.ports:
        text += f"delete element {table} addresses {{ {address} }}\ndelete chain {table} {_chain(address)}\n"
    return text


def addition(address: str, lead: Lead) -> str:
    """The ruleset that leads an address, which led nowhere, to its nodes."""
    version = _version(address)
    table, ip = table_of(version), _ip(version)
    text = f"add element {table} balanced {{ {address} }}\n"
    if not lead.nodes:
        return text
    chosen = f"jhash {ip} saddr" if lead.sticky else "numgen random"
    marks = ", ".join(f"{i} : {mark(node):#x}" for i, node in enumerate(lead.nodes))
    deal = f"ct mark set {chosen} mod {len(lead.nodes)} map {{ {marks} }}"
    if not lead.ports:
        chain = _chain(address)
        return text + (
            f"add chain {table} {chain}\n"
            f"add rule {table} {chain} {deal}\n"
            f"add rule {table} {chain} meta mark set ct mark\n"
            f"add element {table} addresses {{ {address} : goto {chain} }}\n"
        )
    for protocol, port, node_port in lead.ports:
        chain = _chain(address, protocol, port)
        places = ", ".join(f"{mark(node):#x} : {node} . {node_port}" for node in lead.nodes)
        text += (
            f"add chain {table} {chain}\n"
            f"add rule {table} {chain} {deal}\n"
            f"add rule {table} {chain} meta l4proto {protocol} dnat {ip} to ct mark map {{ {places} }}\n"
            f"add element {table} ports {{ {address} . {protocol} . {port} : goto {chain} }}\n"
        )
    return text


def _chain(address: str, protocol: str = "", port: int = 0) -> str:
    return "to-" + address.replace(".", "-").replace(":", "-") + (f"-{protocol}-{port}" if protocol else "")


class Tables:
    """The rules, routes and connections of the network namespace of the threads that call. Blocking.

    What the kernel holds stays when this process ends; the first `lead` replaces what another one left in one
    transaction, so that nothing is lost in between. A change of an address costs its nodes.
    """

    def __init__(self, families: Sequence[Family] = (IPV4,)) -> None:
        self._families = families
        self._leads: dict[str, Lead] = {}
        self._taken_over = False
        self._routed: set[str] = set()

    def lead(self, leads: Mapping[str, Lead]) -> bool:
        """Every address leads to these nodes from now on, and those not named, or with no nodes, nowhere.

        Gives whether the kernel took it; why not is logged, and all is to be told anew.
        """
        wanted = dict(leads)
        if wanted == self._leads and self._taken_over:
            return True
        self._route(node for lead in wanted.values() for node in lead.nodes)
        text = "" if self._taken_over else "".join(map(skeleton, self._families))
        for address in sorted(self._leads.keys() | wanted.keys()):
            old, new = self._leads.get(address), wanted.get(address)
            if old == new:
                continue
            log.info("%s leads to %s", address, ", ".join(new.nodes) if new and new.nodes else "no node")
            text += removal(address, old) if old is not None else ""
            text += addition(address, new) if new is not None else ""
        try:
            libnftables.run(text)
        except libnftables.Failed as error:
            log.error("cannot lead addresses to nodes: %s", error)
            self._leads, self._taken_over = {}, False
            return False
        self._leads, self._taken_over = wanted, True
        return True

    def _route(self, nodes: Iterable[str]) -> None:
        """Routes what bears a node's mark to the node."""
        missing = set(nodes) - self._routed
        if not missing:
            return
        with IPRoute() as kernel:
            for node in missing:
                number = mark(node)
                family = socket.AF_INET6 if ":" in node else socket.AF_INET
                try:
                    kernel.route("replace", family=family, dst="default", gateway=node, table=number)
                    with contextlib.suppress(NetlinkError):  # it is there
                        kernel.rule("add", family=family, fwmark=number, table=number, priority=1000)
                    self._routed.add(node)
                except NetlinkError as error:
                    log.error("cannot set the route to %s: %s", node, error.args[1])

    def forget(self, node: str) -> None:
        """The node is dead: the next packet of each of its connections is dealt out anew."""
        with NFCTSocket() as connections, contextlib.suppress(NetlinkError):
            connections.flush(mark=mark(node), mark_mask=0xFFFFFFFF)

    def forget_datagrams(self, address: str, node: str) -> None:
        """The node serves the address no more. TCP goes on until it ends; UDP has no end, and would not move."""
        family, wanted = socket.AF_INET6 if ":" in node else socket.AF_INET, ipaddress.ip_address(address)
        with NFCTSocket(family) as connections:
            for entry in list(connections.dump(mark=mark(node))):
                original = entry.get_attr("CTA_TUPLE_ORIG")
                found = NFCTAttrTuple.from_netlink(family, original)
                if found.proto == socket.IPPROTO_UDP and ipaddress.ip_address(found.daddr) == wanted:
                    with contextlib.suppress(NetlinkError):  # it has gone
                        connections.entry("del", tuple_orig=found)
