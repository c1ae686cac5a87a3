"""The names of the cluster: which there are, and what each answers."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from itertools import islice
from typing import NamedTuple

from fairlead.dns.contents import Contents
from fairlead.dns.nodes import Node, cluster_addresses, endpoints_node, names_of, own_node
from fairlead.dns.records import Address, Authority, Location, Name, Record, Text, Type, address_type, packed

SCHEMA_VERSION = "1.1.0"
MAX_ALIASES = 8
MOST_ADDITIONAL = 500
"""Names of which the addresses are added to an answer."""

REVERSE = ("in-addr.arpa", "ip6.arpa")


class Rcode(IntEnum):
    """How a query went (RFC 1035 §4.1.1, RFC 6891 §9)."""

    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5
    BADVERS = 16


class Found(NamedTuple):
    """The answer to a name and a type.

    `owners` are the things whose change makes it wrong. `beyond` is the name that the last alias leads to where the
    zone does not know it: to be asked of another server.
    """

    rcode: Rcode
    answer: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()
    owners: tuple[str, ...] = ()
    beyond: str = ""


class Zone(Contents):
    """All Services, EndpointSlices and Namespaces of a cluster as one zone of DNS: what each name answers."""

    def covers(self, name: str) -> bool:
        """Whether a name (lower case, no last dot) is in the cluster's domain."""
        return name == self.domain or name.endswith(f".{self.domain}")

    def reverses(self, name: str) -> bool:
        """Whether a name is in one of the two trees of reverse names."""
        return name.endswith(REVERSE) and (name in REVERSE or name.endswith(tuple(f".{z}" for z in REVERSE)))

    def apex(self) -> list[Record]:
        """The records of the zone that are no Service's, but for its SOA."""
        names = (self.domain, f"ns.dns.{self.domain}", f"dns-version.{self.domain}")
        nodes = [node for name in names if (node := self._node(name)[0])]
        return [r for node in nodes for found in node.values() for r in found if r.type != Type.SOA]

    def find(self, name: str, kind: int) -> Found:
        """What a name in the cluster's domain answers to a type. Aliases are followed inside the domain."""
        answer: list[Record] = []
        owners: list[str] = []
        for _ in range(MAX_ALIASES):
            node, touched = self._node(name)
            owners += touched
            if node is None or not node:
                rcode = Rcode.NXDOMAIN if node is None else Rcode.NOERROR
                return Found(rcode, tuple(answer), (self.authority(),), (), tuple(owners))
            alias = node.get(Type.CNAME)
            if alias and kind not in (Type.CNAME, Type.ANY):
                answer += alias
                data = alias[0].data
                assert isinstance(data, Name)
                name = data.target
                if not self.covers(name):
                    return Found(Rcode.NOERROR, tuple(answer), owners=tuple(owners), beyond=name)
                continue
            # One record set is enough for ANY (RFC 8482 §4.1).
            found = next(iter(node.values())) if kind == Type.ANY else node.get(kind)
            if not found:
                return Found(Rcode.NOERROR, tuple(answer), (self.authority(),), (), tuple(owners))
            answer += found
            return Found(Rcode.NOERROR, tuple(answer), (), self._additional(found, owners), tuple(owners))
        return Found(Rcode.SERVFAIL, tuple(answer), owners=tuple(owners))

    def find_reverse(self, name: str, kind: int) -> Found:
        """What a reverse name answers; NXDOMAIN where the address is none of the cluster's."""
        tree = next(zone for zone in REVERSE if name.endswith(zone))
        if name == tree:
            answer = (self.authority(tree),) if kind == Type.SOA else ()
            return Found(Rcode.NOERROR, answer, () if answer else (self.authority(tree),), owners=("zone",))
        address = _address_of(name, tree)
        if address is None:
            return Found(Rcode.NXDOMAIN, authority=(self.authority(tree),))
        owners = (f"address {address.hex()}",)
        found: list[Record] = []
        for key in self._keys(address):
            service = self._services.get(key)
            if service is not None:
                names = names_of(service, self.pieces(key), address, self.domain)
                found += [Record(name, Type.PTR, self.ttl, Name(target)) for target in names]
        if not found:
            return Found(Rcode.NXDOMAIN, authority=(self.authority(tree),), owners=owners)
        if kind not in (Type.PTR, Type.ANY):
            return Found(Rcode.NOERROR, authority=(self.authority(tree),), owners=owners)
        return Found(Rcode.NOERROR, tuple(found), owners=owners)

    def authority(self, zone: str = "") -> Record:
        """The SOA record of the domain, or of a reverse tree."""
        zone = zone or self.domain
        data = Authority(
            f"ns.dns.{zone}", f"hostmaster.{zone}", self._serial & 0xFFFFFFFF, 7200, 1800, 86400, self.ttl
        )
        return Record(zone, Type.SOA, self.ttl, data)

    def _node(self, name: str) -> tuple[Node | None, tuple[str, ...]]:
        """The records at a name, None where there is no such name; and the owners of that answer."""
        labels = name.removesuffix(self.domain).rstrip(".").split(".")
        match labels:
            case [""]:
                return self._apex(name), ("zone", f"service {self.nameserver}")
            case ["dns-version"]:
                return {Type.TXT: [Record(name, Type.TXT, 28800, Text(SCHEMA_VERSION))]}, ()
            case ["svc"] | ["pod"] | ["dns"]:
                return {}, ()
            case ["ns", "dns"]:
                return self._nameserver(name), (f"service {self.nameserver}",)
            case [namespace, "svc" | "pod"]:
                return {} if self.exists(namespace) else None, (f"namespace {namespace}",)
            case [dashed, namespace, "pod"]:
                return self._pod(name, dashed, namespace)
            case [*before, service, namespace, "svc"] if len(labels) <= 5:
                return self._service(f"{namespace}/{service}", before)
            case _:
                return None, ()

    def _service(self, key: str, before: list[str]) -> tuple[Node | None, tuple[str, ...]]:
        """A Service by its name, or a name below it by the labels before."""
        service = self._services.get(key)
        if service is None:
            return None, (f"service {key}",)
        node = own_node(service, before, self.domain, self.ttl)
        if node is not None:
            return node, (f"service {key}",)
        node = endpoints_node(service, self.pieces(key), before, self.domain, self.ttl)
        return node, (f"service {key}", f"endpoints {key}")

    def _apex(self, name: str) -> Node:
        service = self._services.get(self.nameserver)
        target = f"ns.dns.{name}"
        if service is not None:
            target = f"{service.metadata.name}.{service.metadata.namespace}.svc.{name}"
        return {
            Type.SOA: [self.authority()],
            Type.NS: [Record(name, Type.NS, self.ttl, Name(target))],
        }

    def _nameserver(self, name: str) -> Node:
        node: Node = {}
        for address in cluster_addresses(self._services.get(self.nameserver)):
            kind = address_type(address)
            node.setdefault(kind, []).append(Record(name, kind, self.ttl, Address(address)))
        return node

    def _pod(self, name: str, dashed: str, namespace: str) -> tuple[Node | None, tuple[str, ...]]:
        """A pod by its dashed address: that of any pod, or (`pods verified`) only of one that there is."""
        owners: tuple[str, ...] = (f"namespace {namespace}",)
        dotted = dashed.count("-") == 3 and "--" not in dashed
        address = packed(dashed.replace("-", "." if dotted else ":"))
        if address is None or self.pods == "disabled" or not self.exists(namespace):
            return None, owners
        if self.pods == "verified":
            owners = (*owners, f"pod {address.hex()}")
            if not self.running.has(namespace, address):
                return None, owners
        kind = address_type(address)
        return {kind: [Record(name, kind, self.ttl, Address(address))]}, owners

    def _additional(self, found: Iterable[Record], owners: list[str]) -> tuple[Record, ...]:
        """The addresses of the names that the records lead to (RFC 2782), each once.

        Those of the first few hundred names, that is, since of more there is no room beside the records themselves.
        """
        extra: dict[Record, None] = {}
        targets = dict.fromkeys(
            record.data.target
            for record in found
            if isinstance(record.data, Location) or (record.type == Type.NS and isinstance(record.data, Name))
        )
        for target in islice(targets, MOST_ADDITIONAL):
            if self.covers(target):
                node, touched = self._node(target)
                owners += touched
                for kind in (Type.A, Type.AAAA):
                    extra.update(dict.fromkeys((node or {}).get(kind, ())))
        return tuple(extra)


def _address_of(name: str, tree: str) -> bytes | None:
    """The packed address that a reverse name stands for, where it is a complete one."""
    labels = name.removesuffix(tree).rstrip(".").split(".")[::-1]
    if tree == "in-addr.arpa":
        return packed(".".join(labels)) if len(labels) == 4 else None
    if len(labels) == 32 and all(len(label) == 1 for label in labels):
        try:
            return bytes.fromhex("".join(labels))
        except ValueError:
            return None
    return None
