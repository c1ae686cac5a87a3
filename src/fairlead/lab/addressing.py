"""Where everything of a lab is, in each address family."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """The addresses of one family: networks as CIDRs, the others without a prefix length."""

    name: str
    """As `--ip-families` has it; a Service's ipFamilies have "IP" in capitals."""
    version: int
    underlay: str
    router: str
    """The router's address towards the nodes, where the API server is as well."""
    outside: str
    outside_router: str
    outside_address: str
    load_balancers: str
    """Where Services of type LoadBalancer have their addresses from."""
    cluster: str
    """The pods of all nodes."""
    services: str
    kubernetes: str
    """The address of the Service `kubernetes`."""
    dns: str
    anywhere: str

    @property
    def any_address(self) -> str:
        """What a socket binds to that is to be reached by every address of the family."""
        return self.anywhere.partition("/")[0]

    @property
    def pool(self) -> str:
        """Those of the load balancers' addresses that are given away: in IPv6 not the first (RFC 4291 §2.6.1)."""
        if self.version == 4:
            return self.load_balancers
        network = ipaddress.ip_network(self.load_balancers)
        return f"{network[1]}-{network[-1]}"

    @property
    def bits(self) -> int:
        """The length of an address."""
        return 32 if self.version == 4 else 128

    def node_address(self, number: int) -> str:
        """The address of a node on the underlay: .10 is the first one's, ::10 in IPv6."""
        first = ipaddress.ip_network(self.underlay).network_address
        return str(first + (9 if self.version == 4 else 15) + number)

    @property
    def node_addresses(self) -> str:
        """Every address that a node may have, as a range: `first-last`."""
        network = ipaddress.ip_network(self.underlay)
        return f"{self.node_address(1)}-{network.broadcast_address - 1}"

    def pod_cidr(self, number: int) -> str:
        """The network of a node's pods: the node's number is its third part, the fourth in IPv6."""
        first = ipaddress.ip_network(self.cluster).network_address
        if self.version == 4:
            return f"{first + (number << 8)}/24"
        return f"{first + (number << 64)}/64"


IPV4 = Family(
    name="ipv4",
    version=4,
    underlay="192.168.1.0/24",
    router="192.168.1.1",
    outside="198.51.100.0/24",
    outside_router="198.51.100.1",
    outside_address="198.51.100.10",
    load_balancers="203.0.113.0/24",
    cluster="10.244.0.0/16",
    services="10.96.0.0/16",
    kubernetes="10.96.0.1",
    dns="10.96.0.10",
    anywhere="0.0.0.0/0",
)
# Unique local addresses (RFC 4193) as kind has them for pods and Services; those of the documentation (RFC 3849) for
# what is outside of the cluster, as in IPv4 (RFC 5737).
IPV6 = Family(
    name="ipv6",
    version=6,
    underlay="fd00:192:168:1::/64",
    router="fd00:192:168:1::1",
    outside="2001:db8:198:51::/64",
    outside_router="2001:db8:198:51::1",
    outside_address="2001:db8:198:51::10",
    load_balancers="2001:db8:203:113::/112",
    cluster="fd00:10:244::/56",
    services="fd00:10:96::/112",
    kubernetes="fd00:10:96::1",
    dns="fd00:10:96::a",
    anywhere="::/0",
)
FAMILIES = {family.name: family for family in (IPV4, IPV6)}


def families(names: Sequence[str]) -> tuple[Family, ...]:
    """The families of those names, the cluster's first one first. Raises ValueError with a sentence."""
    for name in names:
        if name not in FAMILIES:
            raise ValueError(f"{name!r} is no address family: use ipv4, ipv6, or both with a comma between")
    if not names:
        raise ValueError("no address family is named: use ipv4, ipv6, or both with a comma between")
    if len(set(names)) != len(names):
        raise ValueError(f"{names[0]} is named twice: use ipv4, ipv6, or both with a comma between")
    return tuple(FAMILIES[name] for name in names)
