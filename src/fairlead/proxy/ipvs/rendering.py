"""From what Services want to virtual servers and elements of sets. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network, summarize_address_range

from fairlead.proxy.family import Family
from fairlead.proxy.ipvs import sets
from fairlead.proxy.ipvs.servers import Frontend, Server, Traits, traits
from fairlead.proxy.ipvs.sets import Member, Set, address_port
from fairlead.proxy.options import PRIMARY
from fairlead.proxy.selection import Backing, Selection, Target, Verdict
from fairlead.proxy.sources import Range


@dataclass(frozen=True, slots=True)
class View:
    """What the rendering depends on besides Services."""

    family: Family
    scheduler: str = "rr"
    node_ports: tuple[bytes, ...] = ()
    """The addresses on which node ports are open."""
    own: frozenset[bytes] = frozenset()
    """The node's own addresses, which the interface must not have a second time."""


@dataclass(slots=True)
class Wanted:
    """What one Service wants of the kernel."""

    servers: dict[Frontend, Server] = field(default_factory=dict)
    members: set[Member] = field(default_factory=set)


def render(selected: Iterable[Selection], view: View) -> Wanted:
    """What one Service wants. Cost: linear in its endpoints, and in its frontends times the node's addresses."""
    wanted = Wanted()
    for one in selected:
        _Port(one, view, wanted).render()
    return wanted


def node_port_addresses(
    own: set[bytes], primary: tuple[bytes, ...], asked: tuple[str, ...], family: Family
) -> tuple[bytes, ...]:
    """Where node ports are open: on all of the node's own addresses, or on those asked for."""
    if not asked:
        return tuple(sorted(own))
    networks = [ip_network(cidr, strict=False) for cidr in family.only(c for c in asked if c != PRIMARY)]
    chosen = {address for address in own if any(ip_address(address) in network for network in networks)}
    if PRIMARY in asked:
        chosen |= own.intersection(primary)
    return tuple(sorted(chosen))


class _Port:
    def __init__(self, selection: Selection, view: View, wanted: Wanted) -> None:
        self.one, self.view, self.wanted = selection, view, wanted
        self.traits: Traits = traits(view.scheduler, selection.affinity)
        self.serving = frozenset(selection.serving)

    def render(self) -> None:
        one = self.one
        internal = self._server(one.internal)
        for address, port in one.cluster_frontends:
            self._serve(address, port, internal)
            self._have(sets.IPVS_IPS, self.view.family.text(address))
            self._have(sets.CLUSTER_IP, self._at(address, port))
            if one.internal is Verdict.DISCARD:
                self._have(sets.NO_LOCAL, self._at(address, port))
        # Where the policy leaves nobody, the node and its pods still take the short cut; the rules drop the others.
        external = self._server(one.cluster if one.external is Verdict.DISCARD else one.external)
        for address, port in one.external_frontends:
            self._outside(address, port, external)
        if one.node_port and self.view.node_ports:
            self._node_port(external)
        if one.health_check_node_port:
            self._have(sets.HEALTH_PORT, str(one.health_check_node_port))
        self._meet_themselves(internal.targets | external.targets)

    def _outside(self, address: bytes, port: int, server: Server) -> None:
        at = self._at(address, port)
        self._serve(address, port, server)
        self._discard_external(at)
        if address not in self.view.own:
            self._have(sets.IPVS_IPS, self.view.family.text(address))
        if (address, port) not in self.one.balanced:
            self._have(sets.EXTERNAL_IP if self.one.masquerade_external else sets.EXTERNAL_IP_LOCAL, at)
            return
        self._have(sets.LOAD_BALANCER, at)
        if not self.one.masquerade_external:
            self._have(sets.LOAD_BALANCER_LOCAL, at)
        if (address, port) in self.one.guarded:
            self._have(sets.LOAD_BALANCER_FW, at)
            for network in self.one.sources:
                self._allow(at, address, network)

    def _allow(self, at: str, address: bytes, network: Range) -> None:
        if network == (address, address):
            self._have(sets.SOURCE_IP, f"{at},{self.view.family.text(address)}")
            return
        first, last = map(ip_address, network)
        for cidr in summarize_address_range(first, last):
            # ipset writes a network of one address without its length.
            text = str(cidr.network_address if cidr.prefixlen == cidr.max_prefixlen else cidr)
            self._have(sets.SOURCE_CIDR, f"{at},{text}")

    def _node_port(self, server: Server) -> None:
        every, local = sets.NODE_PORTS[self.one.protocol]
        for address in self.view.node_ports:
            at = self._at(address, self.one.node_port)
            self._serve(address, self.one.node_port, server)
            self._discard_external(at)
            text = str(self.one.node_port) if every.kind == "bitmap:port" else at
            self._have(every, text)
            if not self.one.masquerade_external:
                self._have(local, text)

    def _discard_external(self, at: str) -> None:
        if self.one.external is Verdict.DISCARD:
            self._have(sets.NO_LOCAL_EXTERNAL, at)

    def _meet_themselves(self, targets: frozenset[Target]) -> None:
        size = self.view.family.size
        own = frozenset(self.one.local)
        for target in targets:
            address = target[:size]
            if address in own:
                at = self._at(address, int.from_bytes(target[size : size + 2], "big"))
                self._have(sets.LOOP_BACK, f"{at},{self.view.family.text(address)}")

    def _server(self, backing: Backing) -> Server:
        targets = frozenset[Target]() if isinstance(backing, Verdict) else frozenset(backing)
        return Server(self.traits, targets, self.serving)

    def _serve(self, address: bytes, port: int, server: Server) -> None:
        self.wanted.servers[Frontend(self.one.protocol, address, port)] = server

    def _have(self, held_by: Set, text: str) -> None:
        self.wanted.members.add(Member(held_by, text))

    def _at(self, address: bytes, port: int) -> str:
        return address_port(self.view.family, address, self.one.protocol, port)
