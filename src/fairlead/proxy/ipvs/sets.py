"""The ipsets, with kube-proxy's names: what the constant rules of iptables look addresses and ports up in."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from fairlead.proxy.dataplane import Refused, Unusable
from fairlead.proxy.family import PROTOCOL_NAMES, Family

LONGEST = 31
"""Characters of a set's name that the kernel takes."""
CAPACITY = 1 << 20
"""Elements of a set made by us (kube-proxy: 65536)."""

_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"))


@dataclass(frozen=True, slots=True, order=True)
class Set:
    """One set of each family."""

    base: str
    """Its name in IPv4."""
    kind: str
    """ipset's type."""

    def name(self, family: Family) -> str:
        """Its name in a family: KUBE-6-... in IPv6."""
        return self.base if family.size == 4 else self.base.replace("KUBE-", "KUBE-6-", 1)[:LONGEST]

    def creation(self, family: Family) -> str:
        """What ipset is told to make it."""
        if self.kind == "bitmap:port":
            return f"create {self.name(family)} {self.kind} range 0-65535"
        inet = "inet" if family.size == 4 else "inet6"
        return f"create {self.name(family)} {self.kind} family {inet} hashsize 1024 maxelem {CAPACITY}"


class Member(NamedTuple):
    """An element of a set, as ipset writes it."""

    held_by: Set
    text: str


LOOP_BACK = Set("KUBE-LOOP-BACK", "hash:ip,port,ip")
"""Endpoints of this node, each with its own address as the source: they meet themselves."""
CLUSTER_IP = Set("KUBE-CLUSTER-IP", "hash:ip,port")
EXTERNAL_IP = Set("KUBE-EXTERNAL-IP", "hash:ip,port")
EXTERNAL_IP_LOCAL = Set("KUBE-EXTERNAL-IP-LOCAL", "hash:ip,port")
LOAD_BALANCER = Set("KUBE-LOAD-BALANCER", "hash:ip,port")
LOAD_BALANCER_LOCAL = Set("KUBE-LOAD-BALANCER-LOCAL", "hash:ip,port")
LOAD_BALANCER_FW = Set("KUBE-LOAD-BALANCER-FW", "hash:ip,port")
"""Those that have source ranges."""
SOURCE_IP = Set("KUBE-LOAD-BALANCER-SOURCE-IP", "hash:ip,port,ip")
"""The load balancer's address as its own source: what the node itself sends, where the ranges allow the node."""
SOURCE_CIDR = Set("KUBE-LOAD-BALANCER-SOURCE-CIDR", "hash:ip,port,net")
NODE_PORT_TCP = Set("KUBE-NODE-PORT-TCP", "bitmap:port")
NODE_PORT_LOCAL_TCP = Set("KUBE-NODE-PORT-LOCAL-TCP", "bitmap:port")
NODE_PORT_UDP = Set("KUBE-NODE-PORT-UDP", "bitmap:port")
NODE_PORT_LOCAL_UDP = Set("KUBE-NODE-PORT-LOCAL-UDP", "bitmap:port")
NODE_PORT_SCTP = Set("KUBE-NODE-PORT-SCTP-HASH", "hash:ip,port")
NODE_PORT_LOCAL_SCTP = Set("KUBE-NODE-PORT-LOCAL-SCTP-HASH", "hash:ip,port")
HEALTH_PORT = Set("KUBE-HEALTH-CHECK-NODE-PORT", "bitmap:port")
IPVS_IPS = Set("KUBE-IPVS-IPS", "hash:ip")
"""The addresses of `kube-ipvs0`."""
NO_LOCAL = Set("KUBE-NO-LOCAL", "hash:ip,port")
"""Ours alone: internalTrafficPolicy Local, and no endpoint on this node. What is sent there is dropped."""
NO_LOCAL_EXTERNAL = Set("KUBE-NO-LOCAL-EXTERNAL", "hash:ip,port")
"""Ours alone: externalTrafficPolicy Local, and no endpoint on this node. Only the node and its pods get through."""

SETS = (
    LOOP_BACK, CLUSTER_IP, EXTERNAL_IP, EXTERNAL_IP_LOCAL, LOAD_BALANCER, LOAD_BALANCER_FW, LOAD_BALANCER_LOCAL,
    SOURCE_IP, SOURCE_CIDR, NODE_PORT_TCP, NODE_PORT_LOCAL_TCP, NODE_PORT_UDP, NODE_PORT_LOCAL_UDP, NODE_PORT_SCTP,
    NODE_PORT_LOCAL_SCTP, HEALTH_PORT, IPVS_IPS, NO_LOCAL, NO_LOCAL_EXTERNAL,
)  # fmt: skip

NODE_PORTS = {
    socket.IPPROTO_TCP: (NODE_PORT_TCP, NODE_PORT_LOCAL_TCP),
    socket.IPPROTO_UDP: (NODE_PORT_UDP, NODE_PORT_LOCAL_UDP),
    socket.IPPROTO_SCTP: (NODE_PORT_SCTP, NODE_PORT_LOCAL_SCTP),
}
"""By protocol: the node ports of all Services, and of those with externalTrafficPolicy Local."""


def address_port(family: Family, address: bytes, protocol: int, port: int) -> str:
    """An element of hash:ip,port."""
    return f"{family.text(address)},{PROTOCOL_NAMES[protocol].lower()}:{port}"


class Sets:
    """The sets of one family, through the program ipset."""

    def __init__(self, family: Family) -> None:
        program = shutil.which("ipset", path=_PATH)
        if program is None:
            raise Unusable("ipset was not found: install the package ipset, or use --proxy-mode nftables")
        self.family = family
        self._program = program
        self._named = {each.name(family): each for each in SETS}

    def read(self) -> dict[Set, set[str]]:
        """The elements of those sets that there are."""
        found: dict[Set, set[str]] = {}
        for line in self._run(("save",)).splitlines():
            words = line.split(maxsplit=2)
            held_by = self._named.get(words[1]) if len(words) == 3 else None
            if held_by is None:
                continue
            if words[0] == "create":
                found[held_by] = set()
            elif words[0] == "add":
                found[held_by].add(words[2].split()[0])
        return found

    def sizes(self) -> dict[Set, int]:
        """How many elements each set has."""
        found: dict[Set, int] = {}
        held_by = None
        for line in self._run(("list", "-t")).splitlines():
            key, _, value = line.partition(": ")
            if key == "Name":
                held_by = self._named.get(value)
            elif key == "Number of entries" and held_by is not None:
                found[held_by] = int(value)
        return found

    def make(self, missing: Iterable[Set]) -> None:
        """Makes empty sets."""
        self._restore(each.creation(self.family) for each in missing)

    def change(self, members: Iterable[Member], *, remove: bool = False) -> None:
        """Adds elements, or removes them. Those that are there already, or gone, are no error."""
        verb = "del" if remove else "add"
        self._restore(f"{verb} {each.held_by.name(self.family)} {each.text}" for each in sorted(members))

    def destroy(self) -> None:
        """Removes all sets; those that rules still use stay, and are told of by `Refused`."""
        self._restore(f"destroy {each.name(self.family)}" for each in self.read())

    def _restore(self, lines: Iterable[str]) -> None:
        text = "".join(f"{line}\n" for line in lines)
        if text:
            self._run(("restore", "-exist"), text)

    def _run(self, arguments: tuple[str, ...], text: str = "") -> str:
        done = subprocess.run(
            (self._program, *arguments), input=text, capture_output=True, text=True, check=False
        )
        if done.returncode:
            said = " ".join(done.stderr.split()) or f"exit status {done.returncode}"
            raise Refused(f"ipset {arguments[0]}: {said}")
        return done.stdout
