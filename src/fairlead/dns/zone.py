"""The names of the cluster: what exists, what each name answers, and which answers a change of the API touches."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import NamedTuple

from fairlead.dns.pods import Pods
from fairlead.dns.records import (
    Address,
    Authority,
    Location,
    Name,
    Record,
    Text,
    Type,
    address_type,
    endpoint_label,
    endpoint_records,
    packed,
    published,
    records,
    service_records,
)
from fairlead.dns.source import SERVICE_NAME_LABEL, EndpointSlice, Pod, Service

SCHEMA_VERSION = "1.1.0"
MAX_ALIASES = 8
REVERSE = ("in-addr.arpa", "ip6.arpa")

Node = dict[int, list[Record]]
Nodes = dict[str, Node]
"""Records by name and type; a name in between, that has none of its own, has an empty dictionary."""


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


class Zone:
    """All Services, EndpointSlices and Namespaces of a cluster as one zone of DNS.

    Records are computed when somebody asks, a Service at a time, and kept for a bounded number of them. Every change
    costs in proportion to the object that changed and returns the owners whose answers may now be different. Not safe
    for several threads at once: the caller holds a lock.
    """

    def __init__(
        self,
        domain: str = "cluster.local",
        ttl: int = 30,
        *,
        pods: str = "insecure",
        nameserver: str = "kube-system/kube-dns",
        clock: Callable[[], float] = time.time,
        remembered: int = 2_000,
    ) -> None:
        """`ttl` in seconds; `pods` says which `1-2-3-4.NAMESPACE.pod` exist; `remembered` bounds the records kept."""
        self.domain = domain
        self.ttl = ttl
        self.pods = pods
        self.running = Pods()
        self.nameserver = nameserver
        self._clock = clock
        self._serial = int(clock())
        self._services: dict[str, Service] = {}
        self._slices: dict[str, dict[str, EndpointSlice]] = {}
        self._slice_owner: dict[str, str] = {}
        self._namespaces: set[str] = set()
        self._population: dict[str, int] = {}
        self._addresses: dict[bytes, tuple[str, ...]] = {}
        self._nodes: OrderedDict[str, Nodes] = OrderedDict()
        self._remembered = remembered
        self._kept = 0

    # Changes

    def configure(self, ttl: int, nameserver: str) -> set[str]:
        """From now on records have this TTL, and this Service is the zone's name server."""
        self.ttl, self.nameserver = ttl, nameserver
        self._nodes.clear()
        self._kept = 0
        return {"zone"}

    def put_namespace(self, name: str, exists: bool) -> set[str]:
        """The Namespace is there, or it is gone."""
        if (name in self._namespaces) == exists:
            return set()
        (self._namespaces.add if exists else self._namespaces.discard)(name)
        return {f"namespace {name}"}

    def put_pod(self, key: str, new: Pod | None) -> set[str]:
        """The Pod `namespace/name` is now this, or is gone."""
        return {f"pod {address.hex()}" for address in self.running.put(key, new)}

    def put_service(self, key: str, new: Service | None) -> set[str]:
        """The Service `namespace/name` is now this, or is gone."""
        old = self._services.get(key)
        if old is not None and new is not None and old.spec == new.spec:
            self._services[key] = new
            return set()
        if new is None:
            if old is None:
                return set()
            del self._services[key]
        else:
            self._services[key] = new
        changed = {f"service {key}", f"endpoints {key}"}
        endpoints = self._endpoint_addresses(key)
        for service, step in ((old, -1), (new, 1)):
            if service is not None:
                changed |= self._count(key.partition("/")[0], step)
                for address in _cluster_addresses(service):
                    self._point(address, key, step > 0 or address in endpoints)
                    changed.add(f"address {address.hex()}")
        changed.update(f"address {address.hex()}" for address in endpoints)
        return self._touch(changed)

    def put_slice(self, key: str, new: EndpointSlice | None) -> set[str]:
        """The EndpointSlice `namespace/name` is now this, or is gone."""
        namespace = key.partition("/")[0]
        before = self._slice_owner.pop(key, "")
        label = new.metadata.labels.get(SERVICE_NAME_LABEL, "") if new is not None else ""
        after = f"{namespace}/{label}" if label else ""
        old = self._slices.get(before, {}).get(key)
        if after:
            self._slice_owner[key] = after
        if old is not None and new is not None and before == after:
            self._slices[after][key] = new
            if _shown(old) == _shown(new):
                return set()
            return self._touch(self._moved(after, old, new))
        changed: set[str] = set()
        if old is not None:
            self._slices[before].pop(key)
            if not self._slices[before]:
                del self._slices[before]
            changed |= self._moved(before, old, None)
        if new is not None and after:
            self._slices.setdefault(after, {})[key] = new
            changed |= self._moved(after, None, new)
        return self._touch(changed)

    def _moved(self, key: str, old: EndpointSlice | None, new: EndpointSlice | None) -> set[str]:
        """Brings the addresses of one Service's slice up to date; what that touches."""
        changed = {f"endpoints {key}"}
        was, now = _slice_addresses(old), _slice_addresses(new)
        gone = was.keys() - now.keys()
        if gone:
            kept = self._endpoint_addresses(key).union(_cluster_addresses(self._services.get(key)))
            for address in gone:
                self._point(address, key, address in kept)
        for address in now.keys() - was.keys():
            self._point(address, key, True)
        changed.update(
            f"address {address.hex()}"
            for address in was.keys() | now.keys()
            if was.get(address) != now.get(address)
        )
        return changed

    def _count(self, namespace: str, step: int) -> set[str]:
        before = self._population.get(namespace, 0)
        after = before + step
        if after:
            self._population[namespace] = after
        else:
            self._population.pop(namespace, None)
        return {f"namespace {namespace}"} if bool(before) != bool(after) else set()

    def _point(self, address: bytes, key: str, there: bool) -> None:
        """Notes whether a Service has to do with an address."""
        keys = self._addresses.get(address, ())
        if there and key not in keys:
            self._addresses[address] = tuple(sorted((*keys, key)))
        elif not there and key in keys:
            left = tuple(other for other in keys if other != key)
            if left:
                self._addresses[address] = left
            else:
                del self._addresses[address]

    def _endpoint_addresses(self, key: str) -> set[bytes]:
        return {a for piece in self._slices.get(key, {}).values() for a in _slice_addresses(piece)}

    def _touch(self, changed: set[str]) -> set[str]:
        """Forgets the records that have changed; the serial grows with the time."""
        if changed:
            self._serial = max(self._serial, int(self._clock()))
            for owner in changed:
                nodes = self._nodes.pop(owner, None)
                if nodes is not None:
                    self._kept -= len(nodes)
            changed.add("zone")
        return changed

    # Answers

    def covers(self, name: str) -> bool:
        """Whether a name (lower case, no last dot) is in the cluster's domain."""
        return name == self.domain or name.endswith(f".{self.domain}")

    def reverses(self, name: str) -> bool:
        """Whether a name is in one of the two trees of reverse names."""
        return name.endswith(REVERSE) and (name in REVERSE or name.endswith(tuple(f".{z}" for z in REVERSE)))

    def is_cluster_address(self, text: str) -> bool:
        """Whether an IP address belongs to a Service or to one of its endpoints."""
        return packed(text) in self._addresses

    def services(self) -> list[str]:
        """All Services, as `namespace/name`."""
        return list(self._services)

    def records(self, key: str) -> list[Record]:
        """Every record of a Service (`namespace/name`); none where it is gone."""
        service = self._services.get(key)
        if service is None:
            return []
        pieces = self._slices.get(key, {})
        return list(records(service, [pieces[name] for name in sorted(pieces)], self.domain, self.ttl))

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
        for key in self._addresses.get(address, ()):
            for part in ("service", "endpoints"):
                found += self._part(f"{part} {key}").get(name, {}).get(Type.PTR, ())
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
                return {} if self._exists(namespace) else None, (f"namespace {namespace}",)
            case [dashed, namespace, "pod"]:
                return self._pod(name, dashed, namespace)
            case [*_, service, namespace, "svc"] if len(labels) <= 5:
                key = f"{namespace}/{service}"
                if key not in self._services:
                    return None, (f"service {key}",)
                owners = (f"service {key}", f"endpoints {key}")
                node = self._part(owners[0]).get(name)
                if node is not None:
                    return node, owners[:1]
                return self._part(owners[1]).get(name), owners
            case _:
                return None, ()

    def _exists(self, namespace: str) -> bool:
        return namespace in self._namespaces or namespace in self._population

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
        for address in _cluster_addresses(self._services.get(self.nameserver)):
            kind = address_type(address)
            node.setdefault(kind, []).append(Record(name, kind, self.ttl, Address(address)))
        return node

    def _pod(self, name: str, dashed: str, namespace: str) -> tuple[Node | None, tuple[str, ...]]:
        """A pod by its dashed address: that of any pod, or (`pods verified`) only of one that there is."""
        owners: tuple[str, ...] = (f"namespace {namespace}",)
        dotted = dashed.count("-") == 3 and "--" not in dashed
        address = packed(dashed.replace("-", "." if dotted else ":"))
        if address is None or self.pods == "disabled" or not self._exists(namespace):
            return None, owners
        if self.pods == "verified":
            owners = (*owners, f"pod {address.hex()}")
            if not self.running.has(namespace, address):
                return None, owners
        kind = address_type(address)
        return {kind: [Record(name, kind, self.ttl, Address(address))]}, owners

    def _additional(self, found: Iterable[Record], owners: list[str]) -> tuple[Record, ...]:
        """The addresses of the names that the records lead to (RFC 2782), each once."""
        extra: dict[Record, None] = {}
        for target in dict.fromkeys(
            record.data.target
            for record in found
            if isinstance(record.data, Location) or (record.type == Type.NS and isinstance(record.data, Name))
        ):
            if self.covers(target):
                node, touched = self._node(target)
                owners += touched
                for kind in (Type.A, Type.AAAA):
                    extra.update(dict.fromkeys((node or {}).get(kind, ())))
        return tuple(extra)

    def _part(self, owner: str) -> Nodes:
        """The records of one part of a Service by name; computed once, until it changes or others push it out."""
        nodes = self._nodes.get(owner)
        if nodes is not None:
            self._nodes.move_to_end(owner)
            return nodes
        part, key = owner.split(" ", 1)
        service = self._services.get(key)
        if service is None:
            return {}
        if part == "service":
            nodes = _nodes(service_records(service, self.domain, self.ttl))
        else:
            pieces = self._slices.get(key, {})
            ordered = [pieces[name] for name in sorted(pieces)]
            nodes = _nodes(endpoint_records(service, ordered, self.domain, self.ttl))
        self._nodes[owner] = nodes
        self._kept += len(nodes)
        while self._kept > self._remembered and len(self._nodes) > 1:
            self._kept -= len(self._nodes.popitem(last=False)[1])
        return nodes


def _nodes(found: Iterable[Record]) -> Nodes:
    """Records by name and type, with the empty names between (`_tcp.web.default.svc...`)."""
    nodes: Nodes = {}
    for record in found:
        nodes.setdefault(record.name, {}).setdefault(record.type, []).append(record)
        if record.name.startswith("_"):
            nodes.setdefault(record.name.partition(".")[2], {})
    return nodes


def _cluster_addresses(service: Service | None) -> list[bytes]:
    if service is None or service.spec.type == "ExternalName":
        return []
    spec = service.spec
    return [address for text in spec.clusterIPs or (spec.clusterIP,) if (address := packed(text))]


def _shown(piece: EndpointSlice) -> tuple[object, ...]:
    """Of a slice what records come from."""
    return piece.addressType, piece.endpoints, piece.ports


def _slice_addresses(piece: EndpointSlice | None) -> dict[bytes, tuple[str, bool]]:
    """Each address of a slice, with the label and the readiness that its reverse record depends on."""
    if piece is None:
        return {}
    nobody = Service()
    return {
        address: (endpoint_label(endpoint, text), published(nobody, endpoint))
        for endpoint in piece.endpoints
        for text in endpoint.addresses
        if (address := packed(text))
    }


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
