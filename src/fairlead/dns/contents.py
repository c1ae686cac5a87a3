"""What the API says of a cluster, as far as DNS goes: who owns which records, and what a change of it touches."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Set
from socket import AF_INET, inet_ntop

from fairlead.dns.nodes import Piece, Pieces, cluster_addresses
from fairlead.dns.pods import Pods
from fairlead.dns.records import Record, endpoint_label, packed, published, records
from fairlead.dns.source import EndpointSlice, Pod, Service


class Contents:
    """All Services, EndpointSlices, Namespaces and, where they count, Pods of a cluster, with the records they own.

    Records are computed when somebody asks (`nodes`); of large slices what takes long is remembered. Every change
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
    ) -> None:
        """`ttl` in seconds; `pods` says which `1-2-3-4.NAMESPACE.pod` exist."""
        self.domain = domain
        self.ttl = ttl
        self.pods = pods
        self.running = Pods()
        self.nameserver = nameserver
        self._clock = clock
        self._serial = int(clock())
        self._services: dict[str, Service] = {}
        self._slices: dict[str, tuple[EndpointSlice, ...]] = {}
        """Of each Service, in the order of their names."""
        self._slice_owner: dict[str, str] = {}
        self._namespaces: set[str] = set()
        self._population: dict[str, int] = {}
        self._addresses: dict[bytes, str | tuple[str, ...]] = {}
        """The Services of each address; most have one, which stands for itself."""
        self._pieces = Pieces()

    def configure(self, ttl: int, nameserver: str) -> set[str]:
        """From now on records have this TTL, and this Service is the zone's name server."""
        self.ttl, self.nameserver = ttl, nameserver
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
                for address in cluster_addresses(service):
                    self._point(address, key, step > 0 or address in endpoints)
                    changed.add(f"address {address.hex()}")
        changed.update(f"address {address.hex()}" for address in endpoints)
        return self._touch(changed)

    def put_slice(self, key: str, new: EndpointSlice | None) -> set[str]:
        """The EndpointSlice `namespace/name` is now this, or is gone."""
        namespace = key.partition("/")[0]
        before = self._slice_owner.pop(key, "")
        label = new.metadata.labels.service if new is not None else ""
        after = f"{namespace}/{label}" if label else ""
        name = key.partition("/")[2]
        if after:
            self._slice_owner[key] = after
        if before == after:
            if not after:
                return set()
            old = self._swap(after, name, new)
            if old is not None and new is not None and _shown(old) == _shown(new):
                return set()
            return self._touch(self._moved(after, old, new))
        changed: set[str] = set()
        if before:
            changed |= self._moved(before, self._swap(before, name, None), None)
        if after:
            changed |= self._moved(after, self._swap(after, name, new), new)
        return self._touch(changed)

    def _swap(self, key: str, name: str, new: EndpointSlice | None) -> EndpointSlice | None:
        """Puts the slice of this name in its place among those of a Service, or takes it away; gives what was there."""
        pieces = self._slices.get(key, ())
        at = bisect_left(pieces, name, key=_name)
        old = pieces[at] if at < len(pieces) and _name(pieces[at]) == name else None
        pieces = (*pieces[:at], *((new,) if new else ()), *pieces[at + (old is not None) :])
        if pieces:
            self._slices[key] = pieces
        else:
            self._slices.pop(key, None)
        return old

    def _moved(self, key: str, old: EndpointSlice | None, new: EndpointSlice | None) -> set[str]:
        """Brings the addresses of one Service's slice up to date; what that touches."""
        changed = {f"endpoints {key}"}
        was, now = _slice_addresses(old), _slice_addresses(new)
        gone = was.keys() - now.keys()
        if gone:
            kept = self._still(key, gone).union(cluster_addresses(self._services.get(key)))
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

    def _still(self, key: str, gone: Set[bytes]) -> set[bytes]:
        """Those of the addresses that another slice of the Service has; about 0.1 µs for each of its endpoints."""
        texts = {inet_ntop(AF_INET, address) for address in gone if len(address) == 4}
        there = {
            packed(text)
            for piece in self._slices.get(key, ())
            for endpoint in piece.endpoints
            for text in endpoint.addresses
            if text in texts or ":" in text
        }
        return {address for address in gone if address in there}

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
        keys = self._keys(address)
        if there == (key in keys):
            return
        keys = tuple(sorted((*keys, key))) if there else tuple(other for other in keys if other != key)
        if keys:
            self._addresses[address] = keys if len(keys) > 1 else keys[0]
        else:
            del self._addresses[address]

    def _keys(self, address: bytes) -> tuple[str, ...]:
        """The Services, as `namespace/name`, that have to do with an address."""
        keys = self._addresses.get(address, ())
        return (keys,) if isinstance(keys, str) else keys

    def _endpoint_addresses(self, key: str) -> set[bytes]:
        return {a for piece in self._slices.get(key, ()) for a in _slice_addresses(piece)}

    def _touch(self, changed: set[str]) -> set[str]:
        """Where anything has changed, the zone has: its serial grows with the time."""
        if changed:
            self._serial = max(self._serial, int(self._clock()))
            changed.add("zone")
        return changed

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
        return list(records(service, self._slices.get(key, ()), self.domain, self.ttl))

    def exists(self, namespace: str) -> bool:
        """Whether there is such a Namespace, or a Service in it."""
        return namespace in self._namespaces or namespace in self._population

    def pieces(self, key: str) -> Iterator[Piece]:
        """What the slices of a Service give to its names."""
        service = self._services[key]
        slices = () if service.spec.type == "ExternalName" else self._slices.get(key, ())
        return (self._pieces.of(service, piece) for piece in slices)


def _name(piece: EndpointSlice) -> str:
    return piece.metadata.name


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
