"""What the rules of one family depend on beside the Services."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network

from fairlead.proxy.dataplane import Selected
from fairlead.proxy.family import Family
from fairlead.proxy.options import PRIMARY, ProxyOptions
from fairlead.proxy.selection import Verdict

TALKATIVE = 1000
"""Endpoints up to which their rules have comments (kube-proxy: largeClusterEndpointsThreshold)."""
LOOPBACK = ip_network("127.0.0.0/8")


@dataclass(frozen=True, slots=True)
class Settings:
    """How this node's rules are written."""

    family: Family
    options: ProxyOptions = field(default_factory=ProxyOptions)
    addresses: tuple[bytes, ...] = ()
    """The node's primary addresses."""
    liberal: bool = False
    """Whether the kernel takes TCP segments out of a window for valid, so that none has to be dropped."""
    brief: bool = False
    """Whether the rules of endpoints go without comments, which are a third of everything."""

    @property
    def mark(self) -> str:
        """The mark of what is to be masqueraded, with its mask."""
        value = f"{self.options.masquerade_mark:#x}"
        return f"{value}/{value}"

    @property
    def localhost(self) -> bool:
        """Whether node ports are open on 127.0.0.1, which IPv6 has no way for."""
        if self.family.size != 4 or not self.options.localhost_nodeports:
            return False
        listed = self.node_port_networks()
        return not listed or any(ip_network(cidr).overlaps(LOOPBACK) for cidr in listed)

    def node_port_networks(self) -> list[str]:
        """Node ports are open on the node's addresses in these networks; with none, on all of them."""
        asked = self.options.nodeport_addresses
        networks = self._networks(cidr for cidr in asked if cidr != PRIMARY)
        if PRIMARY in asked:
            networks += self._networks(map(self.family.text, self.addresses))
        if any(network.endswith("/0") for network in networks):
            return []
        if asked and not networks:
            # All that was asked for is of the other family: nowhere.
            return ["0.0.0.0/32" if self.family.size == 4 else "::/128"]
        return networks

    def from_pods(self) -> Sequence[str]:
        """Matches of a packet from this node's pods, any of which will do; none where nobody knows."""
        pods = self.options.local_pods
        if name := pods.interface:
            return [f"-i {name[:-1]}+" if name.endswith("*") else f"-i {name}"]
        return [f"-s {network}" for network in self._networks(pods.cidrs)]

    def not_from_pods(self) -> str:
        """The match of a packet from elsewhere, "" where no single one says it."""
        matches = self.from_pods()
        return f"! {matches[0]}" if len(matches) == 1 else ""

    def service_networks(self) -> list[str]:
        """Where ClusterIPs are taken from."""
        return self._networks(self.options.service_cidrs)

    def _networks(self, cidrs: Iterable[str]) -> list[str]:
        """Those of this family, as iptables writes them."""
        return [str(ip_network(cidr, strict=False)) for cidr in self.family.only(cidrs)]


def crowded(wanted: Iterable[Selected]) -> bool:
    """Whether there are so many endpoints that their rules go without comments."""
    counts = (
        len(one.cluster) for selected in wanted for one in selected if not isinstance(one.cluster, Verdict)
    )
    return any(total > TALKATIVE for total in itertools.accumulate(counts))
