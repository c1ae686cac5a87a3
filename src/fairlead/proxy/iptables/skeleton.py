"""The rules that do not depend on Services, and the jumps that lead to all others. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from fairlead.proxy.iptables.names import (
    CLUSTER_IPS,
    FILTER,
    FIREWALL,
    FORWARD,
    HEALTH_PORTS,
    LOCALNET,
    MARK_FOREIGN,
    MARK_MASQ,
    NAT,
    NODE_PORTS,
    POSTROUTING,
    SERVICES,
    UNSERVED,
    UNSERVED_EXTERNAL,
    Chain,
)
from fairlead.proxy.iptables.rendering import comment
from fairlead.proxy.iptables.settings import Settings

_NEW = "-m conntrack --ctstate NEW "


def _jump(table: str, source: str, to: Chain, words: str, match: str = "") -> tuple[Chain, str]:
    said = f"{comment(words)} " if words else ""
    return Chain(table, source), f"{match}{said}-j {to.name}"


JUMPS = (
    _jump(FILTER, "INPUT", UNSERVED_EXTERNAL, "kubernetes externally-visible service portals", _NEW),
    _jump(FILTER, "FORWARD", UNSERVED_EXTERNAL, "kubernetes externally-visible service portals", _NEW),
    _jump(FILTER, "INPUT", HEALTH_PORTS, "kubernetes health check service ports"),
    _jump(FILTER, "FORWARD", UNSERVED, "kubernetes service portals", _NEW),
    _jump(FILTER, "OUTPUT", UNSERVED, "kubernetes service portals", _NEW),
    _jump(FILTER, "FORWARD", FORWARD, "kubernetes forwarding rules"),
    _jump(FILTER, "INPUT", FIREWALL, "kubernetes load balancer firewall", _NEW),
    _jump(FILTER, "OUTPUT", FIREWALL, "kubernetes load balancer firewall", _NEW),
    _jump(FILTER, "FORWARD", FIREWALL, "kubernetes load balancer firewall", _NEW),
    _jump(NAT, "OUTPUT", SERVICES, "kubernetes service portals"),
    _jump(NAT, "PREROUTING", SERVICES, "kubernetes service portals"),
    _jump(NAT, "POSTROUTING", POSTROUTING, "kubernetes postrouting rules"),
)
"""Each goes to the head of its chain, where it is missing; so the last one named is the first that a packet meets."""

LOCALNET_JUMPS = (
    _jump(FILTER, "INPUT", LOCALNET, ""),
    _jump(FILTER, "OUTPUT", LOCALNET, ""),
)
LOCALNET_RULE = (
    f"! -s 127.0.0.0/8 -d 127.0.0.0/8 {comment('block incoming localnet connections')} "
    "-m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP"
)
"""Without it, route_localnet would let neighbours reach what listens on 127.0.0.1. The kubelet makes the same."""

_LAST = comment("kubernetes service nodeports; NOTE: this must be the last rule in this chain")


def jumps(settings: Settings) -> Sequence[tuple[Chain, str]]:
    """Rules of the kernel's own chains, which everybody shares."""
    return JUMPS + LOCALNET_JUMPS if settings.localhost else JUMPS


def constant(settings: Settings) -> dict[Chain, list[str]]:
    """The chains whose rules are all ours, and always the same."""
    mark = settings.mark
    bit = mark.partition("/")[0]
    masquerade = comment("kubernetes service traffic requiring SNAT")
    chains = {
        MARK_MASQ: [f"-j MARK --set-xmark {mark}"],
        POSTROUTING: [
            f"-m mark ! --mark {mark} -j RETURN",
            # Cleared, lest the packet be masqueraded again when it goes through the stack once more.
            f"-j MARK --set-xmark {bit}/0x0",
            f"{masquerade} -j MASQUERADE --random-fully",
        ],
        FORWARD: [
            f"{comment('kubernetes forwarding rules')} -m mark --mark {mark} -j ACCEPT",
            f"{comment('kubernetes forwarding conntrack rule')} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        ],
    }
    if not settings.liberal:
        # Untranslated, such a segment would reach the client from an address it does not know, and be reset.
        chains[FORWARD].insert(0, "-m conntrack --ctstate INVALID -j DROP")
    pods = settings.from_pods()
    if len(pods) > 1:
        own = [f"{match} -j RETURN" for match in pods]
        chains[MARK_FOREIGN] = [*own, f"-j {MARK_MASQ.name}"]
    return chains


def tails(settings: Settings) -> dict[Chain, list[str]]:
    """The ends of the chains that Services share, after all rules of theirs."""
    unknown = comment("no Service has this address and port")
    return {
        SERVICES: _to_node_ports(settings),
        UNSERVED: [f"-d {cidr} {unknown} -j {CLUSTER_IPS.name}" for cidr in settings.service_networks()],
        CLUSTER_IPS: [f"{comment('no Service has this address')} -j DROP"],
    }


def _to_node_ports(settings: Settings) -> list[str]:
    """What no address of a Service took may be for a node port."""
    local = f"{_LAST} -m addrtype --dst-type LOCAL -j {NODE_PORTS.name}"
    if networks := settings.node_port_networks():
        return [f"-d {network} {local}" for network in networks]
    if settings.localhost:
        return [local]
    return [f"! -d {'127.0.0.0/8' if settings.family.size == 4 else '::1/128'} {local}"]
