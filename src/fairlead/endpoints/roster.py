"""The addresses behind a Service in the order in which its Endpoints object lists them, kept up with its pods."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from fairlead.endpoints import pods as pod_endpoints
from fairlead.endpoints.ports import differ_by_pod, target_port
from fairlead.endpoints.slices import address_types, is_headless
from fairlead.objects.core_v1 import EndpointAddress, EndpointPort, EndpointSubset, Pod, Service

CAPACITY = 1000
"""Addresses that an Endpoints object holds at most; more are only in the slices."""

Ports = tuple[EndpointPort, ...]
Key = tuple[str, str]
"""What tells one address from another: the address and its pod's uid. It is the order, too."""


@dataclass(frozen=True)
class Entry:
    """A pod as the Endpoints object lists it."""

    key: Key
    ready: bool
    address: EndpointAddress
    ports: Ports


@dataclass
class _Group:
    """The pods that have the same ports, in order."""

    ready: list[Key] = field(default_factory=list)
    not_ready: list[Key] = field(default_factory=list)


class Roster:
    """Who stands behind a Service.

    As long as all pods have the same ports, which is so unless named target ports differ, a pod that comes, goes or
    changes costs the logarithm of their number, and `subsets` costs what the object can hold.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        # Endpoints have one family only: the Service's first.
        self._family = address_types(service)[0]
        self._ports_differ = differ_by_pod(service)
        self._ports: Ports | None = None
        self._entries: dict[str, Entry] = {}
        self._addresses: dict[Key, EndpointAddress] = {}
        self._groups: dict[Ports, _Group] = {}

    @classmethod
    def of(cls, service: Service, pods: Iterable[Pod]) -> Roster:
        """The roster of the pods that the Service selects."""
        roster = cls(service)
        for pod in pods:
            roster._entries[pod.metadata.name] = entry = roster._entry(pod)  # type: ignore[assignment]
            if entry is None:
                del roster._entries[pod.metadata.name]
                continue
            roster._addresses[entry.key] = entry.address
            group = roster._groups.setdefault(entry.ports, _Group())
            (group.ready if entry.ready else group.not_ready).append(entry.key)
        for group in roster._groups.values():
            group.ready.sort()
            group.not_ready.sort()
        return roster

    def change(self, pods: Mapping[str, Pod | None]) -> None:
        """Takes over what became of these pods, by name; None: the Service does not select it (any more)."""
        for name, pod in pods.items():
            old = self._entries.pop(name, None)
            if old is not None:
                self._remove(old)
            new = None if pod is None else self._entry(pod)
            if new is not None:
                self._entries[name] = new
                self._addresses[new.key] = new.address
                group = self._groups.setdefault(new.ports, _Group())
                insort(group.ready if new.ready else group.not_ready, new.key)

    def subsets(self) -> tuple[tuple[EndpointSubset, ...], bool]:
        """The canonical subsets, as far as an Endpoints object holds them, and whether some had to be left out."""
        groups = list(self._groups.items())
        if len(groups) == 1:
            ((ports, group),) = groups
            if not ports and (self._service.spec.ports or not is_headless(self._service)):
                return (), False
            ready, not_ready = group.ready[:CAPACITY], group.not_ready[: max(0, CAPACITY - len(group.ready))]
            subset = EndpointSubset(
                addresses=tuple(map(self._addresses.__getitem__, ready)),
                notReadyAddresses=tuple(map(self._addresses.__getitem__, not_ready)),
                ports=tuple(sorted(ports, key=port_order)),
            )
            return (subset,), len(group.ready) + len(group.not_ready) > CAPACITY
        subsets = repack(
            EndpointSubset(
                addresses=tuple(map(self._addresses.__getitem__, group.ready)),
                notReadyAddresses=tuple(map(self._addresses.__getitem__, group.not_ready)),
                ports=ports,
            )
            for ports, group in groups
            if ports
        )
        if sum(len(s.addresses) + len(s.notReadyAddresses) for s in subsets) > CAPACITY:
            return _truncated(subsets), True
        return subsets, False

    def _entry(self, pod: Pod) -> Entry | None:
        """The pod on the roster; None if it is not on it.

        Unless the Service publishes not-ready addresses, terminating ones are left out, not-ready ones not ready.
        """
        service = self._service
        published = service.spec.publishNotReadyAddresses
        if not pod_endpoints.is_eligible(pod, terminating=published):
            return None
        own = pod_endpoints.addresses(pod, self._family)
        if not own:
            return None
        target = pod_endpoints.reference(pod)
        address = EndpointAddress(
            ip=own[0],
            hostname=pod_endpoints.hostname(pod, service),
            nodeName=pod.spec.nodeName,
            targetRef=target,
        )
        if self._ports is None or self._ports_differ:
            self._ports = _ports(service, pod)
        return Entry((own[0], target.uid), published or pod_endpoints.is_ready(pod), address, self._ports)

    def _remove(self, entry: Entry) -> None:
        group = self._groups[entry.ports]
        listed = group.ready if entry.ready else group.not_ready
        del listed[bisect_left(listed, entry.key)]
        if not group.ready and not group.not_ready:
            del self._groups[entry.ports]
        self._addresses.pop(entry.key, None)


def repack(subsets: Iterable[EndpointSubset]) -> tuple[EndpointSubset, ...]:
    """The same addresses and ports in the one canonical form: ports that all addresses share in one subset, sorted.

    An address that is ready in one place and not ready in another for the same port is not ready.
    """
    addresses: dict[Key, EndpointAddress] = {}
    ready_by_port: dict[EndpointPort | None, dict[Key, bool]] = {}
    for subset in subsets:
        # A headless Service may have no ports: its addresses stand in a subset without any.
        for port in subset.ports or (None,):
            ready_by_key = ready_by_port.setdefault(port, {})
            for ready, listed in ((True, subset.addresses), (False, subset.notReadyAddresses)):
                for address in listed:
                    key = (address.ip, address.targetRef.uid if address.targetRef else "")
                    addresses.setdefault(key, address)
                    ready_by_key[key] = ready_by_key.get(key, True) and ready
    ports_by_addresses: dict[tuple[tuple[Key, bool], ...], list[EndpointPort | None]] = {}
    for port, ready_by_key in ready_by_port.items():
        ports_by_addresses.setdefault(tuple(sorted(ready_by_key.items())), []).append(port)
    packed = [
        EndpointSubset(
            addresses=tuple(addresses[key] for key, ready in keys if ready),
            notReadyAddresses=tuple(addresses[key] for key, ready in keys if not ready),
            ports=tuple(sorted((p for p in ports if p is not None), key=port_order)),
        )
        for keys, ports in ports_by_addresses.items()
        if keys
    ]
    return tuple(sorted(packed, key=lambda subset: [port_order(port) for port in subset.ports]))


def port_order(port: EndpointPort) -> tuple[str, int, str, str]:
    """Where a port stands among others."""
    return (port.name, port.port, port.protocol, port.appProtocol or "")


def _ports(service: Service, pod: Pod) -> Ports:
    return tuple(
        EndpointPort(
            name=port.name, port=number, protocol=port.protocol or "TCP", appProtocol=port.appProtocol
        )
        for port in service.spec.ports
        if (number := target_port(pod, port)) is not None
    )


def _truncated(subsets: tuple[EndpointSubset, ...]) -> tuple[EndpointSubset, ...]:
    """As many addresses as there may be, ready ones first, each subset with its share, rounded up."""
    ready = sum(len(s.addresses) for s in subsets)
    if ready > CAPACITY:
        total, room = ready, CAPACITY
    else:
        total, room = sum(len(s.notReadyAddresses) for s in subsets), CAPACITY - ready
    left = room
    kept = []
    for subset in subsets:
        listed = subset.addresses if ready > CAPACITY else subset.notReadyAddresses
        listed = listed[: min(left, math.ceil(len(listed) * room / total))]
        left -= len(listed)
        if ready > CAPACITY:
            kept.append(replace(subset, addresses=listed, notReadyAddresses=()))
        else:
            kept.append(replace(subset, notReadyAddresses=listed))
    return tuple(kept)
