"""What one Service's traffic takes in chains and rules. Pure; kube-proxy's own structure (pkg/proxy/iptables).

A rule is the text that iptables-save prints after `-A CHAIN `, to the letter, so that what the kernel holds can be
compared with what it should. The test of the round trip through the kernel watches over that.

    KUBE-SERVICES -> KUBE-SVC-x (all endpoints) or KUBE-SVL-x (those of this node) -> KUBE-SEP-y, which translates
    KUBE-SERVICES or KUBE-NODEPORTS -> KUBE-FW-x (source ranges) -> KUBE-EXT-x (policy, short cut) -> KUBE-SVC-x...
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, summarize_address_range

from fairlead.proxy.family import PROTOCOLS
from fairlead.proxy.iptables.names import (
    CLUSTER_IPS,
    FIREWALL,
    HEALTH_PORTS,
    MARK_FOREIGN,
    MARK_MASQ,
    NAT,
    NODE_PORTS,
    SERVICES,
    UNSERVED,
    UNSERVED_EXTERNAL,
    Chain,
    port_hash,
)
from fairlead.proxy.iptables.settings import Settings
from fairlead.proxy.selection import Selection, Target, Verdict
from fairlead.proxy.sources import Range

_NAMES = {number: name.lower() for name, number in PROTOCOLS.items()}
_TO_MASQ = f"-j {MARK_MASQ.name}"
_UNSAFE = re.compile(r"[^ !#-&(-\[\]-~]")
LONGEST_COMMENT = 255
"""xt_comment.h: 256 octets with the zero at the end."""


@dataclass(slots=True)
class ServiceRules:
    """One Service in the kernel. Not changed once it is made."""

    chains: dict[str, list[str]] = field(default_factory=dict)
    """Its own chains in the table nat, such that each stands after those that it leads to."""
    portals: list[tuple[Chain, str]] = field(default_factory=list)
    """Its rules in chains that all Services share."""

    def counts(self) -> Counter[str]:
        """How many rules that are in each table."""
        found = Counter(chain.table for chain, _ in self.portals)
        found[NAT] += sum(map(len, self.chains.values()))
        return found


def render(selections: Iterable[Selection], settings: Settings) -> ServiceRules:
    """The chains and rules of one Service. Cost: some microseconds an endpoint, most of them for its hash."""
    rules = ServiceRules()
    for selection in selections:
        _Port(selection, settings, rules).render()
    return rules


def comment(text: str) -> str:
    """A match that says something to people. What a rule's text cannot hold as it is becomes a question mark."""
    return f'-m comment --comment "{_UNSAFE.sub("?", text)[:LONGEST_COMMENT]}"'


def probability(share: int) -> str:
    """One in `share`, as the kernel rounds it (xt_statistic.h: a fraction of 2**31) and iptables prints it."""
    return f"{round((1 << 31) / share) / (1 << 31):.11f}"


class _Port:
    """One Service port: names that its rules share, and the rules."""

    def __init__(self, selection: Selection, settings: Settings, rules: ServiceRules) -> None:
        self._selection, self._settings, self._rules = selection, settings, rules
        self._text = settings.family.text
        self._name = selection.name
        self._protocol = _NAMES[selection.protocol]
        digest = port_hash(self._name, self._protocol)
        self._cluster, self._local = f"KUBE-SVC-{digest}", f"KUBE-SVL-{digest}"
        self._external, self._guard = f"KUBE-EXT-{digest}", f"KUBE-FW-{digest}"
        self._host = "/32" if settings.family.size == 4 else "/128"
        self._mask = settings.family.text(b"\xff" * settings.family.size)
        self._endpoints: dict[Target, str] = {}

    def render(self) -> None:
        selection = self._selection
        served = not isinstance(selection.cluster, Verdict)
        outside = served and bool(selection.external_frontends or selection.node_port)
        inside = self._local if selection.internal_local else self._cluster
        beyond = self._cluster if selection.masquerade_external else self._local
        wanted = (
            {inside: selection.internal, beyond: selection.external}
            if outside
            else {inside: selection.internal}
        )
        if outside:  # for the short cut
            wanted[self._cluster] = selection.cluster
        leading = {
            chain: list(self._spread(backing))
            for chain, backing in wanted.items()
            if not isinstance(backing, Verdict)
        }
        if inside in leading:
            leading[inside][:0] = self._masquerade_foreign()
        self._rules.chains |= leading
        self._frontends(inside, served)
        if outside:
            self._rules.chains[self._external] = list(self._policy(beyond))
        if served and selection.guarded:
            self._rules.chains[self._guard] = list(self._ranges(selection.sources))

    # ---- where packets come in

    def _frontends(self, inside: str, served: bool) -> None:
        selection = self._selection
        for frontend in selection.cluster_frontends:
            if isinstance(selection.internal, Verdict):
                self._portal(
                    UNSERVED,
                    self._to(frontend, self._lack(selection.internal)),
                    self._end(selection.internal),
                )
            else:
                self._portal(SERVICES, self._to(frontend, "cluster IP"), f"-j {inside}")
        if self._settings.options.service_cidrs:
            words = comment(f"{self._name.partition(':')[0]} has no such port")
            for address, _ in selection.cluster_frontends:
                self._portal(
                    CLUSTER_IPS, f"-d {self._text(address)}{self._host} {words}", self._end(Verdict.REFUSE)
                )
        for frontend in selection.external_frontends:
            guarded = frontend in selection.guarded
            if served:
                words = "loadbalancer IP" if frontend in selection.balanced else "external IP"
                self._portal(
                    SERVICES, self._to(frontend, words), f"-j {self._guard if guarded else self._external}"
                )
            if served and guarded:
                self._portal(
                    FIREWALL, self._to(frontend, f"traffic not accepted by {self._guard}"), "-j DROP"
                )
            if isinstance(selection.external, Verdict):
                match = self._to(frontend, self._lack(selection.external))
                self._portal(UNSERVED_EXTERNAL, match, self._end(selection.external))
        if selection.node_port:
            self._node_port(served)
        if selection.health_check_node_port:
            match = f"-p tcp {self._says('health check node port')} -m tcp --dport {selection.health_check_node_port}"
            self._portal(HEALTH_PORTS, match, "-j ACCEPT")

    def _node_port(self, served: bool) -> None:
        selection = self._selection
        port = f"-m {self._protocol} --dport {selection.node_port}"
        if served:
            self._portal(
                NODE_PORTS, f"-p {self._protocol} {comment(self._name)} {port}", f"-j {self._external}"
            )
        if isinstance(selection.external, Verdict):
            words = self._says(self._lack(selection.external))
            match = f"-p {self._protocol} {words} -m addrtype --dst-type LOCAL {port}"
            self._portal(UNSERVED_EXTERNAL, match, self._end(selection.external))

    def _portal(self, chain: Chain, match: str, target: str) -> None:
        self._rules.portals.append((chain, f"{match} {target}"))

    def _to(self, frontend: tuple[bytes, int], words: str) -> str:
        """The match of what is sent to a frontend."""
        address, port = frontend
        return (
            f"-d {self._text(address)}{self._host} -p {self._protocol} {self._says(words)} "
            f"-m {self._protocol} --dport {port}"
        )

    def _says(self, words: str) -> str:
        return comment(f"{self._name} {words}")

    @staticmethod
    def _lack(verdict: Verdict) -> str:
        return "has no endpoints" if verdict is Verdict.REFUSE else "has no local endpoints"

    def _end(self, verdict: Verdict) -> str:
        if verdict is Verdict.DISCARD:
            return "-j DROP"
        word = "icmp" if self._settings.family.size == 4 else "icmp6"
        return f"-j REJECT --reject-with {word}-port-unreachable"

    # ---- where they go

    def _masquerade_foreign(self) -> Iterator[str]:
        """A static route may lead the virtual addresses to any node; the answer has to come back the same way."""
        settings = self._settings
        for frontend in self._selection.cluster_frontends:
            match = self._to(frontend, "cluster IP")
            if settings.options.masquerade_all:
                yield f"{match} {_TO_MASQ}"
            elif foreign := settings.not_from_pods():
                yield f"{self._joined(foreign, match)} {_TO_MASQ}"
            elif settings.from_pods():
                yield f"{match} -j {MARK_FOREIGN.name}"

    @staticmethod
    def _joined(source: str, match: str) -> str:
        """Both matches, in iptables' order: source, destination, interface, protocol."""
        if "-s " in source:
            return f"{source} {match}"
        destination, rest = match.split(" -p ", 1)
        return f"{destination} {source} -p {rest}"

    def _policy(self, beyond: str) -> Iterator[str]:
        """Traffic from outside: masqueraded if it may go to another node, else the node's own takes the short cut."""
        if self._selection.masquerade_external:
            words = comment(f"masquerade traffic for {self._name} external destinations")
            yield f"{words} {_TO_MASQ}"
        else:
            words = comment(f"pod traffic for {self._name} external destinations")
            for match in self._settings.from_pods():
                yield f"{match} {words} -j {self._cluster}"
            # The node's own traffic may bear the load balancer's address, which answers would not come back to.
            local = "-m addrtype --src-type LOCAL"
            yield f"{comment(f'masquerade LOCAL traffic for {self._name} external destinations')} {local} {_TO_MASQ}"
            yield f"{comment(f'route LOCAL traffic for {self._name} external destinations')} {local} -j {self._cluster}"
        if not isinstance(self._selection.external, Verdict):
            yield f"-j {beyond}"

    def _ranges(self, sources: Sequence[Range]) -> Iterator[str]:
        words = self._says("loadbalancer IP")
        for first, last in sources:
            for network in summarize_address_range(ip_address(first), ip_address(last)):
                yield f"-s {network} {words} -j {self._external}"
        yield comment(f"other traffic to {self._name} will be dropped by {FIREWALL.name}")

    def _spread(self, backing: Sequence[Target]) -> Iterator[str]:
        """First the endpoint that the client had before, then any, each as likely as the others."""
        targets = [(self._endpoint(target), self._address(target)) for target in sorted(backing)]
        named = "" if self._settings.brief else f"{self._name} -> "
        if seconds := self._selection.affinity:
            for chain, address in targets:
                yield (
                    f"{comment(named + address) + ' ' if named else ''}-m recent --rcheck --seconds {seconds} --reap "
                    f"--name {chain} --mask {self._mask} --rsource -j {chain}"
                )
        for left, (chain, address) in zip(range(len(targets), 0, -1), targets, strict=True):
            words = f"{comment(named + address)} " if named else ""
            chance = f"-m statistic --mode random --probability {probability(left)} " if left > 1 else ""
            yield f"{words}{chance}-j {chain}"

    def _address(self, target: Target) -> str:
        size = self._settings.family.size
        address, port = self._text(target[:size]), int.from_bytes(target[size : size + 2], "big")
        return f"{address}:{port}" if size == 4 else f"[{address}]:{port}"

    def _endpoint(self, target: Target) -> str:
        """The endpoint's chain, made when it is first wanted."""
        if (known := self._endpoints.get(target)) is not None:
            return known
        address = self._address(target)
        chain = f"KUBE-SEP-{port_hash(self._name, self._protocol, address)}"
        words = "" if self._settings.brief else f"{comment(self._name)} "
        learn = ""
        if self._selection.affinity:
            learn = f"-m recent --set --name {chain} --mask {self._mask} --rsource "
        host = self._text(target[: self._settings.family.size]) + self._host
        self._endpoints[target] = chain
        self._rules.chains[chain] = [
            # What meets itself must not see its own address: it would answer past the translation.
            f"-s {host} {words}{_TO_MASQ}",
            f"-p {self._protocol} {words}{learn}-m {self._protocol} -j DNAT --to-destination {address}",
        ]
        return chain
