"""Services: addresses and node ports, reserved in the transaction that writes the Service.

They are released in the one that removes it.

An address is reserved by an IPAddress object of its name, a node port by a key of its number; both writes are
conditional on the key not being there, and an address also on its ServiceCIDR being as it was. So nothing is ever given
twice, whoever else writes to the store, nothing comes from a network on its way out, and nothing leaks in a crash.
What is free is known by `reservations.py`: no write reads through what there is.
Upstream: pkg/registry/core/service/storage/alloc.go, strategy.go.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence, Set
from typing import Any

from msgspec.structs import replace

from fairlead.apiserver.families import to_allocate, with_families
from fairlead.apiserver.kinds import ENDPOINTS, IPADDRESSES
from fairlead.apiserver.metadata import created
from fairlead.apiserver.reservations import NODE_PORTS, Reservations
from fairlead.apiserver.strategies import Claim, Strategy
from fairlead.apiserver.transitions import (
    in_step,
    inherited,
    needs_addresses,
    needs_node_ports,
    node_ports,
    without_useless,
)
from fairlead.objects import addresses
from fairlead.objects.codec import decoder, encode
from fairlead.objects.core_v1 import LoadBalancerStatus, Service, ServicePort, ServiceSpec, ServiceStatus
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.networking_v1 import IPAddress, IPAddressSpec, ParentReference
from fairlead.objects.services import needs_health_check
from fairlead.objects.status import StatusError, failure, invalid, unprocessable
from fairlead.store import Change, Condition, Store

FAMILY = "ipaddress.kubernetes.io/ip-family"
MANAGED_BY = "ipaddress.kubernetes.io/managed-by"
MANAGER = "ipallocator.k8s.io"
TAKEN = "provided {} is already allocated"
MISMATCHED = "the provided network does not match the current range"
FULL = "range is full"
DRY_PORT = 32768
"""A dry run shows the numbers after it as node ports. Upstream: PortAllocationOperation.AllocateNext."""


class ServiceStrategy(Strategy):
    """Services: they may keep what they hold when an update does not name it."""

    def __init__(self, cidrs: Sequence[str], reservations: Reservations) -> None:
        networks = [ipaddress.ip_network(cidr) for cidr in cidrs]
        self._bases = {f"IPv{network.version}": str(network.network_address) for network in networks}
        self._families = tuple(self._bases)
        self._reservations = reservations

    def prepare_create(self, obj: Service) -> Service:
        """Without a status."""
        return replace(obj, spec=in_step(obj.spec, None), status=ServiceStatus())

    def prepare_update(self, obj: Service, old: Service) -> Service:
        """With the old status, the old allocations where none are named, without what its type has no use for."""
        spec = replace(obj.spec, type=obj.spec.type or "ClusterIP")
        spec = in_step(inherited(spec, old.spec), old.spec)
        spec = without_useless(spec, old.spec)
        status = old.status
        if spec.type != "LoadBalancer":
            status = replace(status, loadBalancer=LoadBalancerStatus())
        return replace(obj, spec=spec, status=status)

    async def claim(self, store: Store, obj: Any, old: Any | None, *, dry_run: bool) -> Claim:
        """The Service with addresses and ports, and the writes that reserve them and give back those it lost.

        Costs a look at the reservations for each value that is allocated, one read for each that was asked for.
        """
        service: Service = obj
        before: ServiceSpec | None = old.spec if old is not None else None
        spec = with_families(service, before, self._families)
        claim = Claim(service)
        spec = await self._addresses(store, service, spec, before, claim, dry_run)
        spec = await self._node_ports(store, service, spec, before, claim, dry_run)
        claim.obj = replace(service, spec=spec)
        if before is not None:
            await give_back(store, service, before, spec, claim)
        return claim

    async def release(self, store: Store, obj: Any) -> Claim:
        """Everything that it holds, and the Endpoints of its name, which upstream's API server deletes too."""
        claim = Claim(obj)
        await give_back(store, obj, obj.spec, None, claim)
        claim.changes.append(Change(ENDPOINTS.key(obj.metadata.namespace, obj.metadata.name), None))
        return claim

    async def _addresses(
        self,
        store: Store,
        service: Service,
        spec: ServiceSpec,
        before: ServiceSpec | None,
        claim: Claim,
        dry_run: bool,
    ) -> ServiceSpec:
        wanted = to_allocate(spec, before)
        if not wanted:
            return spec
        given = [*spec.clusterIPs, *[""] * (len(spec.ipFamilies) - len(spec.clusterIPs))]
        for i in wanted:
            family = spec.ipFamilies[i]
            if given[i]:
                name = addresses.canonical(given[i])
                condition = await self._asked_for(store, service, given, i, dry_run)
            elif dry_run:
                given[i] = self._bases[family]
                continue
            else:
                given[i], condition = await self._free_address(family)
                name = given[i]
            reserve_address(claim, service, name, condition)
        return replace(spec, clusterIP=given[0], clusterIPs=tuple(given))

    async def _asked_for(
        self, store: Store, service: Service, given: list[str], i: int, dry_run: bool
    ) -> Condition | None:
        """The condition under which an address may be given that was asked for. Raises 422."""
        address = ipaddress.ip_address(addresses.canonical(given[i]))
        view = self._reservations
        source = view.covering(int(address), address.version)
        if source is None and await view.fresh():
            source = view.covering(int(address), address.version)
        why = ""
        if source is None:
            why = MISMATCHED
        elif not dry_run and await store.get(IPADDRESSES.key("", str(address))) is not None:
            why = TAKEN.format("IP")
        if why:
            error = invalid("spec.clusterIPs", given, f"failed to allocate IP {given[i]}: {why}")
            raise unprocessable("Service", service.metadata.name, [error])
        return source.condition if source is not None else None

    async def _free_address(self, family: str) -> tuple[str, Condition]:
        version, view = int(family[-1]), self._reservations
        found = view.free_address(version)
        if found is None and await view.fresh():
            found = view.free_address(version)
        if found is None:
            raise internal(f"failed to allocate a serviceIP: {FULL}")
        return found

    async def _node_ports(
        self,
        store: Store,
        service: Service,
        spec: ServiceSpec,
        before: ServiceSpec | None,
        claim: Claim,
        dry_run: bool,
    ) -> ServiceSpec:
        held = {port.nodePort for port in before.ports} if before is not None else set()
        operation = PortOperation(store, self._reservations, held, dry_run)
        if needs_node_ports(spec):
            name = service.metadata.name
            ports = await (operation.created(name, spec) if before is None else operation.updated(name, spec))
            spec = replace(spec, ports=ports)
        if needs_health_check(spec) and (before is None or not needs_health_check(before)):
            number = await operation.health_check(spec.healthCheckNodePort)
            spec = replace(spec, healthCheckNodePort=number)
        for number in operation.taken:
            reserve_port(claim, service, number)
        return spec


class PortOperation:
    """The node ports that one write takes. `held`: those that ports of the Service have already.

    The port of its health check is not among them: no other port may take it over.
    """

    def __init__(self, store: Store, view: Reservations, held: Set[int], dry_run: bool) -> None:
        self._store = store
        self._view = view
        self._held = held
        self._dry_run = dry_run
        self.taken: dict[int, None] = {}

    async def created(self, name: str, spec: ServiceSpec) -> tuple[ServicePort, ...]:
        """The ports of a new Service: entries with the same `port` share one. Upstream: initNodePorts."""
        asked = {port.port: port.nodePort for port in reversed(spec.ports) if port.nodePort}
        shared: dict[int, int] = {}
        ports: list[ServicePort] = []
        for i, port in enumerate(spec.ports):
            number = port.nodePort
            if not number and not gives_node_ports(spec):
                ports.append(port)
                continue
            known = shared.get(port.port)
            if known is None:
                number = asked.get(port.port, 0)
                if number:
                    await self._ask(name, i, number)
                else:
                    number = await self._next("failed to allocate a nodePort")
                shared[port.port] = number
            elif not number:
                number = known
            elif number != known:
                await self._ask(name, i, number)
            ports.append(replace(port, nodePort=number))
        return tuple(ports)

    async def updated(self, name: str, spec: ServiceSpec) -> tuple[ServicePort, ...]:
        """The ports of a changed Service: each without one gets its own. Upstream: updateNodePorts."""
        ports: list[ServicePort] = []
        for i, port in enumerate(spec.ports):
            number = port.nodePort
            if number:
                if number not in self._held and number not in self.taken:
                    await self._ask(name, i, number)
            elif gives_node_ports(spec):
                number = await self._next("failed to allocate a nodePort")
            ports.append(replace(port, nodePort=number))
        return tuple(ports)

    async def health_check(self, number: int) -> int:
        """The port at which load balancers ask for local endpoints."""
        if not number:
            return await self._next("failed to allocate a HealthCheck NodePort 0")
        if why := await self._refused(number):
            raise internal(f"failed to allocate requested HealthCheck NodePort {number}: {why}")
        self.taken[number] = None
        return number

    async def _ask(self, name: str, i: int, number: int) -> None:
        if why := await self._refused(number):
            raise unprocessable("Service", name, [invalid(f"spec.ports[{i}].nodePort", number, why)])
        self.taken[number] = None

    async def _refused(self, number: int) -> str:
        valid = self._view.port_range
        if number not in valid and not self._dry_run:
            said = "provided port is not in the valid range. The range of valid ports is"
            return f"{said} {valid.first}-{valid.last}"
        if number in self.taken or await self._store.get(f"{NODE_PORTS}{number}") is not None:
            return TAKEN.format("port")
        return ""

    async def _next(self, said: str) -> int:
        if self._dry_run:
            number: int | None = max([*self.taken, DRY_PORT if not self.taken else 0]) + 1
        else:
            number = self._view.free_port(self.taken)
            if number is None and await self._view.fresh():
                number = self._view.free_port(self.taken)
        if number is None:
            raise internal(f"{said}: {FULL}")
        self.taken[number] = None
        return number


def gives_node_ports(spec: ServiceSpec) -> bool:
    """Whether its ports get node ports that nobody asked for."""
    return spec.type == "NodePort" or spec.allocateLoadBalancerNodePorts is not False


def internal(why: str) -> StatusError:
    """500: there is nothing left to give."""
    return failure(500, "InternalError", f"Internal error occurred: {why}")


def holder(service: Service) -> bytes:
    """What the reservation of a node port says of its holder."""
    return f"{service.metadata.namespace}/{service.metadata.name}".encode()


def reserve_port(claim: Claim, service: Service, number: int) -> None:
    """Adds the key that holds a node port for a Service."""
    key = f"{NODE_PORTS}{number}"
    claim.conditions.append(Condition(key, 0))
    claim.changes.append(Change(key, holder(service)))


def address_object(service: Service, name: str) -> IPAddress:
    """The IPAddress that holds an address, given in its canonical form, for a Service."""
    labels = {FAMILY: addresses.family(name), MANAGED_BY: MANAGER}
    parent = ParentReference(
        resource="services", namespace=service.metadata.namespace, name=service.metadata.name
    )
    metadata = created(ObjectMeta(name=name, labels=labels))
    return IPAddress(metadata=metadata, spec=IPAddressSpec(parentRef=parent))


def reserve_address(claim: Claim, service: Service, name: str, condition: Condition | None) -> None:
    """Adds the IPAddress object that holds an address for a Service."""
    key = IPADDRESSES.key("", name)
    claim.conditions.append(Condition(key, 0))
    if condition is not None and condition not in claim.conditions:
        claim.conditions.append(condition)
    claim.changes.append(Change(key, encode(address_object(service, name))))


def held_addresses(spec: ServiceSpec) -> set[str]:
    """The addresses that a Service holds, in their canonical form."""
    return {addresses.canonical(address) for address in spec.clusterIPs} if needs_addresses(spec) else set()


async def give_back(
    store: Store, service: Service, before: ServiceSpec, after: ServiceSpec | None, claim: Claim
) -> None:
    """Adds the deletion of what a Service held and holds no longer, as far as it still is its own."""
    kept = held_addresses(after) if after is not None else set()
    for address in sorted(held_addresses(before) - kept):
        entry = await store.get(IPADDRESSES.key("", address))
        if entry is None:
            continue
        parent = decoder(IPAddress).decode(entry.value).spec.parentRef
        ours = (parent.group, parent.resource) == ("", "services")
        if ours and (parent.namespace, parent.name) == (service.metadata.namespace, service.metadata.name):
            claim.conditions.append(Condition(entry.key, entry.revision))
            claim.changes.append(Change(entry.key, None))
    still = node_ports(after) if after is not None else {}
    for number in node_ports(before):
        if number in still:
            continue
        entry = await store.get(f"{NODE_PORTS}{number}")
        if entry is not None and entry.value == holder(service):
            claim.conditions.append(Condition(entry.key, entry.revision))
            claim.changes.append(Change(entry.key, None))
