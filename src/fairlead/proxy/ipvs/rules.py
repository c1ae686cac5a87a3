"""The rules of iptables, constant in number: the sets say which addresses and ports they are about. Pure.

IPVS takes a packet after the table filter's INPUT, and what the node itself sends before the table filter's OUTPUT but
after mangle's. So what must not reach a virtual server is dropped in those two places.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_network

from fairlead.proxy.family import Family
from fairlead.proxy.iptables.names import (
    FILTER,
    FIREWALL,
    FORWARD,
    MANGLE,
    MARK_FOREIGN,
    MARK_MASQ,
    NAT,
    POSTROUTING,
    SERVICES,
    Chain,
)
from fairlead.proxy.iptables.rendering import comment
from fairlead.proxy.iptables.settings import Settings
from fairlead.proxy.ipvs import sets
from fairlead.proxy.ipvs.sets import Set

NODE_PORT = Chain(NAT, "KUBE-NODE-PORT")
LOAD_BALANCER = Chain(NAT, "KUBE-LOAD-BALANCER")
HEALTH_PORT = Chain(FILTER, "KUBE-NODE-PORT")
SOURCES = Chain(FILTER, "KUBE-SOURCE-RANGES-FIREWALL")
ACCESS = Chain(FILTER, "KUBE-IPVS-FILTER")
INSIDE_ONLY = Chain(FILTER, "KUBE-NO-LOCAL")
"""Ours alone: lets the node and its pods through, and drops the rest."""
OUT = Chain(MANGLE, "KUBE-IPVS-OUT-FILTER")
OUT_SOURCES = Chain(MANGLE, "KUBE-SOURCE-RANGES-FIREWALL")

_NEW = "-m conntrack --ctstate NEW"
_FROM_NODE, _NOT_FROM_NODE = "-m addrtype --src-type LOCAL", "-m addrtype ! --src-type LOCAL"


def _jump(table: str, source: str, to: Chain, words: str) -> tuple[Chain, str]:
    return Chain(table, source), f"{comment(words)} -j {to.name}"


JUMPS = (
    _jump(NAT, "OUTPUT", SERVICES, "kubernetes service portals"),
    _jump(NAT, "PREROUTING", SERVICES, "kubernetes service portals"),
    _jump(NAT, "POSTROUTING", POSTROUTING, "kubernetes postrouting rules"),
    _jump(FILTER, "FORWARD", FORWARD, "kubernetes forwarding rules"),
    _jump(FILTER, "INPUT", HEALTH_PORT, "kubernetes health check rules"),
    _jump(FILTER, "INPUT", FIREWALL, "kube-proxy firewall rules"),
    _jump(FILTER, "FORWARD", FIREWALL, "kube-proxy firewall rules"),
    _jump(FILTER, "INPUT", ACCESS, "kubernetes ipvs access filter"),
    _jump(MANGLE, "OUTPUT", OUT, "kubernetes ipvs access filter"),
)
"""Rules of the kernel's own chains. Each goes to the head of its chain, where it is missing."""


class Rules:
    """The rules of one family, as iptables-save writes them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._family: Family = settings.family

    def chains(self) -> dict[Chain, Sequence[str]]:
        """Each chain after those that it leads to."""
        mark = self._settings.mark
        chains: dict[Chain, Sequence[str]] = {MARK_MASQ: [f"-j MARK --set-xmark {mark}"]}
        pods = self._settings.from_pods()
        own = [f"{match} -j RETURN" for match in pods]
        if len(pods) > 1:
            chains[MARK_FOREIGN] = [*own, f"-j {MARK_MASQ.name}"]
        chains |= {
            NODE_PORT: self._node_port(),
            LOAD_BALANCER: [
                # The node itself may be sent to another node's endpoint: by the short cut.
                f"{self._in(sets.LOAD_BALANCER_LOCAL, 'dst,dst')} {_NOT_FROM_NODE} -j RETURN",
                f"-j {MARK_MASQ.name}",
            ],
            SERVICES: self._services(pods),
            POSTROUTING: self._postrouting(),
            FORWARD: [
                f"{comment('kubernetes forwarding rules')} -m mark --mark {mark} -j ACCEPT",
                f"{comment('kubernetes forwarding conntrack rule')} "
                "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            ],
            HEALTH_PORT: [f"{self._in(sets.HEALTH_PORT, 'dst')} -j ACCEPT"],
            SOURCES: self._sources(),
            INSIDE_ONLY: [*own, f"{_FROM_NODE} -j RETURN", "-j DROP"],
            FIREWALL: [
                *self._unassigned(),
                f"{self._in(sets.LOAD_BALANCER_FW, 'dst,dst')} -j {SOURCES.name}",
                f"{self._in(sets.NO_LOCAL, 'dst,dst')} {_NEW} -j DROP",
                f"{self._in(sets.NO_LOCAL_EXTERNAL, 'dst,dst')} {_NEW} -j {INSIDE_ONLY.name}",
            ],
            ACCESS: self._access(),
            OUT_SOURCES: self._sources(),
            OUT: [
                *self._unassigned(),
                f"{self._in(sets.LOAD_BALANCER_FW, 'dst,dst')} -j {OUT_SOURCES.name}",
                f"{self._in(sets.NO_LOCAL, 'dst,dst')} {_NEW} -j DROP",
            ],
        }
        return chains

    def _in(self, held_by: Set, which: str) -> str:
        return f"-m set --match-set {held_by.name(self._family)} {which}"

    def _services(self, pods: Sequence[str]) -> list[str]:
        loopback = "127.0.0.0/8" if self._family.size == 4 else "::1/128"
        mark = f"-j {MARK_MASQ.name}"
        cluster, external = self._in(sets.CLUSTER_IP, "dst,dst"), self._in(sets.EXTERNAL_IP, "dst,dst")
        balancer, local = self._in(sets.LOAD_BALANCER, "dst,dst"), self._in(sets.EXTERNAL_IP_LOCAL, "dst,dst")
        if self._settings.options.masquerade_all:
            masquerade = f"{cluster} {mark}"
        elif foreign := self._settings.not_from_pods():
            masquerade = f"{foreign} {cluster} {mark}"
        elif pods:
            masquerade = f"{cluster} -j {MARK_FOREIGN.name}"
        else:
            # Nobody is known to be inside. But what the node itself sends has the Service's address for its source,
            # which the interface has, and nobody would answer to.
            masquerade = f"{self._in(sets.CLUSTER_IP, 'src,dst')} {mark}"
        return [
            f"-s {loopback} -j RETURN",
            f"{balancer} -j {LOAD_BALANCER.name}",
            masquerade,
            f"{external} {mark}",
            f"{external} -j ACCEPT",
            f"{local} {_FROM_NODE} {mark}",
            f"{local} -j ACCEPT",
            f"-m addrtype --dst-type LOCAL -j {NODE_PORT.name}",
            f"{cluster} -j ACCEPT",
            f"{balancer} -j ACCEPT",
        ]

    def _node_port(self) -> list[str]:
        rules = []
        for number, (every, local) in sets.NODE_PORTS.items():
            protocol = {6: "tcp", 17: "udp", 132: "sctp"}[number]
            which = "dst" if every.kind == "bitmap:port" else "dst,dst"
            rules += [
                f"-p {protocol} {self._in(local, which)} {_NOT_FROM_NODE} -j RETURN",
                f"-p {protocol} {self._in(every, which)} -j {MARK_MASQ.name}",
            ]
        return rules

    def _postrouting(self) -> list[str]:
        mark = self._settings.mark
        bit = mark.partition("/")[0]
        return [
            f"{self._in(sets.LOOP_BACK, 'dst,dst,src')} -j MASQUERADE",
            f"-m mark ! --mark {mark} -j RETURN",
            f"-j MARK --set-xmark {bit}/0x0",
            f"{comment('kubernetes service traffic requiring SNAT')} -j MASQUERADE --random-fully",
        ]

    def _unassigned(self) -> list[str]:
        """What is sent to an address of a ServiceCIDR that no Service has is dropped (kube-proxy: nftables mode)."""
        own = self._in(sets.IPVS_IPS, "dst").replace("--match-set", "! --match-set")
        cidrs = self._family.only(self._settings.options.service_cidrs)
        return [f"-d {ip_network(cidr, strict=False)} {_NEW} {own} -j DROP" for cidr in cidrs]

    def _sources(self) -> list[str]:
        return [
            f"{self._in(sets.SOURCE_CIDR, 'dst,dst,src')} -j RETURN",
            f"{self._in(sets.SOURCE_IP, 'dst,dst,src')} -j RETURN",
            "-j DROP",
        ]

    def _access(self) -> list[str]:
        """No port of the host is reached by an address of `kube-ipvs0` (kubernetes/kubernetes#72236)."""
        served = (sets.LOAD_BALANCER, sets.CLUSTER_IP, sets.EXTERNAL_IP, sets.EXTERNAL_IP_LOCAL)
        reject = "icmp-port-unreachable" if self._family.size == 4 else "icmp6-port-unreachable"
        return [
            *(f"{self._in(each, 'dst,dst')} -j RETURN" for each in served),
            f"{self._in(sets.HEALTH_PORT, 'dst')} -j RETURN",
            f"{_NEW} {self._in(sets.IPVS_IPS, 'dst')} -j REJECT --reject-with {reject}",
        ]
