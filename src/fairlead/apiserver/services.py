"""Services: addresses and node ports, reserved in the transaction that writes the Service.

They are released in the one that removes it.

An address is reserved by an IPAddress object of its name, a node port by a key of its number; both writes are
conditional on the key not being there. So nothing is ever given twice, whoever else writes to the store, and nothing
leaks in a crash.
Upstream: pkg/registry/core/service/storage/alloc.go, strategy.go.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from fairlead.apiserver.allocation import Network, addresses_of, ports_of
from fairlead.apiserver.kinds import ENDPOINTS, IPADDRESSES
from fairlead.apiserver.metadata import created
from fairlead.apiserver.strategies import Claim, Strategy
from fairlead.objects.codec import decoder, encode
from fairlead.objects.core_v1 import LoadBalancerStatus, Service, ServicePort, ServiceSpec, ServiceStatus
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.networking_v1 import IPAddress, IPAddressSpec, ParentReference
from fairlead.objects.services import is_external, is_headless, needs_health_check, validate_cluster_ips
from fairlead.objects.status import FieldError, StatusError, failure, invalid, unprocessable
from fairlead.store import Change, Condition, Store

NODE_PORTS = "/allocations/nodeports/"
TAKEN = "provided {} is already allocated"
MISMATCHED = "the provided network does not match the current range"
FULL = "range is full"
NOTHING = ServiceSpec()


def needs_addresses(spec: ServiceSpec) -> bool:
    """Whether it has a virtual address."""
    return spec.type != "ExternalName" and not is_headless(spec)


def needs_node_ports(spec: ServiceSpec) -> bool:
    """Whether its type has node ports."""
    return spec.type in ("NodePort", "LoadBalancer")


def node_ports(spec: ServiceSpec) -> dict[int, None]:
    """The node ports that it holds, each once, in order; the one of the health check too."""
    found = {port.nodePort: None for port in spec.ports if port.nodePort}
    if needs_health_check(spec) and spec.healthCheckNodePort:
        found[spec.healthCheckNodePort] = None
    return found


class ServiceStrategy(Strategy):
    """Services: they may keep what they hold when an update does not name it."""

    def __init__(self, networks: Sequence[Network], node_port_range: tuple[int, int]) -> None:
        self._networks = {f"IPv{network.version}": network for network in networks}
        self._default_family = f"IPv{networks[0].version}"
        self._ports = ports_of(*node_port_range)

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
        """The Service with addresses and ports, and the writes that reserve them and give back those it lost."""
        service: Service = obj
        before: ServiceSpec | None = old.spec if old is not None else None
        if validate_cluster_ips(service.spec, before):
            return Claim(service)
        spec = self._families(service, before)
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

    def _families(self, service: Service, before: ServiceSpec | None) -> ServiceSpec:
        """The spec with its IP families filled in. Raises 422 for what this cluster does not have.

        Upstream: initIPFamilyFields.
        """
        spec = service.spec
        if spec.type == "ExternalName":
            return spec
        free = is_headless(spec) and not spec.selector
        policy = spec.ipFamilyPolicy
        if policy is None:
            kept = before.ipFamilyPolicy if before is not None else None
            policy = kept or ("RequireDualStack" if free else "SingleStack")
        families, addresses = spec.ipFamilies, spec.clusterIPs
        errors: list[FieldError] = []
        if policy == "SingleStack":
            if before is not None and addresses == before.clusterIPs:
                addresses = addresses[:1]
            if before is not None and families == before.ipFamilies:
                families = families[:1]
            said = "must be 'RequireDualStack' or 'PreferDualStack' when multiple {} are specified"
            for what, several in (("cluster IPs", addresses), ("IP families", families)):
                if len(several) == 2:
                    errors.append(invalid("spec.ipFamilyPolicy", policy, said.format(what)))
        for i, address in enumerate(addresses):
            if address == "None":
                break
            family = "IPv6" if ":" in address else "IPv4"
            if i >= len(families):
                if family not in self._networks:
                    said = f"{family} is not configured on this cluster"
                    errors.append(invalid(f"spec.clusterIPs[{i}]", list(addresses), said))
                else:
                    families = (*families, family)
        if not errors and not free:
            if policy == "RequireDualStack" and len(self._networks) < 2:
                said = "this cluster is not configured for dual-stack services"
                errors.append(invalid("spec.ipFamilyPolicy", policy, said))
            for i, family in enumerate(families):
                if family not in self._networks:
                    errors.append(invalid(f"spec.ipFamilies[{i}]", family, "not configured on this cluster"))
        if errors:
            raise unprocessable("Service", service.metadata.name, errors)
        families = families or (self._default_family,)
        if policy != "SingleStack" and len(families) == 1 and (free or len(self._networks) == 2):
            families = (families[0], "IPv6" if families[0] == "IPv4" else "IPv4")
        return replace(spec, ipFamilyPolicy=policy, ipFamilies=families, clusterIPs=addresses)

    async def _addresses(
        self,
        store: Store,
        service: Service,
        spec: ServiceSpec,
        before: ServiceSpec | None,
        claim: Claim,
        dry_run: bool,
    ) -> ServiceSpec:
        if not needs_addresses(spec):
            return spec
        held = before.clusterIPs if before is not None and needs_addresses(before) else ()
        if held and spec.clusterIPs and spec.clusterIPs[0] != held[0]:
            return spec  # validation refuses to change it
        addresses = list(spec.clusterIPs)
        for i, family in enumerate(spec.ipFamilies):
            wanted = addresses[i] if i < len(addresses) else ""
            if wanted in held and wanted:
                continue
            network = self._networks[family]
            if wanted:
                await self._refuse_taken(store, service, spec, network, wanted)
            else:
                wanted = await self._free_address(store, network, dry_run)
                addresses[i : i + 1] = [wanted]
            reserve_address(claim, service, network, wanted)
        return replace(spec, clusterIP=addresses[0], clusterIPs=tuple(addresses))

    async def _refuse_taken(
        self, store: Store, service: Service, spec: ServiceSpec, network: Network, wanted: str
    ) -> None:
        why = ""
        if int(ipaddress.ip_address(wanted)) not in addresses_of(network):
            why = MISMATCHED
        elif await store.get(IPADDRESSES.key("", wanted)) is not None:
            why = TAKEN.format("IP")
        if why:
            error = invalid(
                "spec.clusterIPs", list(spec.clusterIPs), f"failed to allocate IP {wanted}: {why}"
            )
            raise unprocessable("Service", service.metadata.name, [error])

    async def _free_address(self, store: Store, network: Network, dry_run: bool) -> str:
        if dry_run:
            return str(network.network_address)
        make = type(network.network_address)
        choice = addresses_of(network)
        for value in choice.guesses():
            if await store.get(IPADDRESSES.key("", name := str(make(value)))) is None:
                return name
        page = await store.range(IPADDRESSES.prefix)
        taken = {entry.key[len(IPADDRESSES.prefix) :] for entry in page.entries}
        found = choice.free(lambda value: str(make(value)) in taken)
        if found is None:
            raise internal(f"failed to allocate a serviceIP: {FULL}")
        return str(make(found))

    async def _node_ports(
        self,
        store: Store,
        service: Service,
        spec: ServiceSpec,
        before: ServiceSpec | None,
        claim: Claim,
        dry_run: bool,
    ) -> ServiceSpec:
        name = service.metadata.name
        held = node_ports(before) if before is not None else {}
        taken: dict[int, None] = dict(held)
        if needs_node_ports(spec):
            shared: dict[int, int] = {}
            if before is None:
                # Only when it is made do the TCP and the UDP entry of one port share a node port.
                shared = {port.port: port.nodePort for port in reversed(spec.ports) if port.nodePort}
            gives = spec.type == "NodePort" or spec.allocateLoadBalancerNodePorts is not False
            ports: list[ServicePort] = []
            for i, port in enumerate(spec.ports):
                number = port.nodePort
                if not number and not gives:
                    ports.append(port)
                    continue
                if not number:
                    number = shared.get(port.port, 0)
                if number and number not in taken and (why := await self._port_refused(store, number)):
                    error = invalid(f"spec.ports[{i}].nodePort", number, why)
                    raise unprocessable("Service", name, [error])
                if not number:
                    number = await self._free_port(store, taken, dry_run, "failed to allocate a nodePort")
                    if before is None:
                        shared[port.port] = number
                taken[number] = None
                ports.append(replace(port, nodePort=number))
            spec = replace(spec, ports=tuple(ports))
        if needs_health_check(spec):
            spec = await self._health_check_port(store, spec, before, taken, dry_run)
        for number in taken:
            if number not in held:
                key = f"{NODE_PORTS}{number}"
                claim.conditions.append(Condition(key, 0))
                claim.changes.append(Change(key, holder(service)))
        return spec

    async def _health_check_port(
        self,
        store: Store,
        spec: ServiceSpec,
        before: ServiceSpec | None,
        taken: dict[int, None],
        dry_run: bool,
    ) -> ServiceSpec:
        if before is not None and needs_health_check(before):
            return spec
        number = spec.healthCheckNodePort
        if number and (why := await self._port_refused(store, number)):
            raise internal(f"failed to allocate requested HealthCheck NodePort {number}: {why}")
        if not number:
            number = await self._free_port(
                store, taken, dry_run, "failed to allocate a HealthCheck NodePort 0"
            )
        taken[number] = None
        return replace(spec, healthCheckNodePort=number)

    async def _port_refused(self, store: Store, number: int) -> str:
        if number not in self._ports:
            valid = f"{self._ports.first}-{self._ports.last}"
            return f"provided port is not in the valid range. The range of valid ports is {valid}"
        if await store.get(f"{NODE_PORTS}{number}") is not None:
            return TAKEN.format("port")
        return ""

    async def _free_port(self, store: Store, taken: dict[int, None], dry_run: bool, said: str) -> int:
        for value in self._ports.guesses():
            if value not in taken and (dry_run or await store.get(f"{NODE_PORTS}{value}") is None):
                return value
        page = await store.range(NODE_PORTS)
        reserved = {int(entry.key[len(NODE_PORTS) :]) for entry in page.entries} | set(taken)
        found = self._ports.free(reserved.__contains__)
        if found is None:
            raise internal(f"{said}: {FULL}")
        return found


def internal(why: str) -> StatusError:
    """500: there is nothing left to give."""
    return failure(500, "InternalError", f"Internal error occurred: {why}")


def holder(service: Service) -> bytes:
    """What the reservation of a node port says of its holder."""
    return f"{service.metadata.namespace}/{service.metadata.name}".encode()


def reserve_address(claim: Claim, service: Service, network: Network, address: str) -> None:
    """Adds the IPAddress object that holds an address for a Service."""
    metadata = ObjectMeta(
        name=address,
        labels={
            "ipaddress.kubernetes.io/ip-family": f"IPv{network.version}",
            "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
        },
    )
    parent = ParentReference(
        resource="services", namespace=service.metadata.namespace, name=service.metadata.name
    )
    key = IPADDRESSES.key("", address)
    claim.conditions.append(Condition(key, 0))
    claim.changes.append(
        Change(key, encode(IPAddress(metadata=created(metadata), spec=IPAddressSpec(parentRef=parent))))
    )


async def give_back(
    store: Store, service: Service, before: ServiceSpec, after: ServiceSpec | None, claim: Claim
) -> None:
    """Adds the deletion of what a Service held and holds no longer, as far as it still is its own."""
    held = before.clusterIPs if needs_addresses(before) else ()
    kept = after.clusterIPs if after is not None and needs_addresses(after) else ()
    for address in held:
        if address in kept:
            continue
        entry = await store.get(IPADDRESSES.key("", address))
        if entry is None:
            continue
        parent = decoder(IPAddress).decode(entry.value).spec.parentRef
        if (parent.namespace, parent.name) == (service.metadata.namespace, service.metadata.name):
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


def in_step(spec: ServiceSpec, old: ServiceSpec | None) -> ServiceSpec:
    """clusterIP and clusterIPs made to agree where only one of them was given or changed (normalizeClusterIPs)."""
    if old is None:
        if spec.clusterIP and not spec.clusterIPs:
            return replace(spec, clusterIPs=(spec.clusterIP,))
        return spec
    if not spec.clusterIP and spec.clusterIPs and spec.clusterIPs == old.clusterIPs:
        return replace(spec, clusterIPs=())
    if spec.clusterIP and not spec.clusterIPs:
        return replace(spec, clusterIPs=(spec.clusterIP,))
    if spec.clusterIP != old.clusterIP and spec.clusterIPs == old.clusterIPs:
        return replace(spec, clusterIPs=(spec.clusterIP,) if spec.clusterIP else ())
    return spec


def inherited(spec: ServiceSpec, old: ServiceSpec) -> ServiceSpec:
    """The spec with what was allocated before, where it names nothing else (patchAllocatedValues)."""
    changes: dict[str, Any] = {}
    if spec.type != "ExternalName" and old.type != "ExternalName":
        address = spec.clusterIP or old.clusterIP
        changes["clusterIP"] = address
        if not spec.clusterIPs and address == old.clusterIP:
            changes["clusterIPs"] = old.clusterIPs
        if not spec.ipFamilies and address == old.clusterIP:
            changes["ipFamilies"] = old.ipFamilies
    if needs_node_ports(spec) and needs_node_ports(old):
        used = {port.nodePort for port in spec.ports} & {port.nodePort for port in old.ports}
        by_name = {port.name: port.nodePort for port in old.ports}
        changes["ports"] = tuple(
            replace(port, nodePort=number)
            if not port.nodePort and (number := by_name.get(port.name, 0)) and number not in used
            else port
            for port in spec.ports
        )
    if needs_health_check(spec) and needs_health_check(old) and not spec.healthCheckNodePort:
        changes["healthCheckNodePort"] = old.healthCheckNodePort
    return replace(spec, **changes)


def without_useless(spec: ServiceSpec, old: ServiceSpec) -> ServiceSpec:
    """The spec without values that a change of type left behind (dropTypeDependentFields)."""
    changes: dict[str, Any] = {}
    if old.type != "ExternalName" and spec.type == "ExternalName":
        if (spec.clusterIP, spec.clusterIPs) == (old.clusterIP, old.clusterIPs):
            changes.update(clusterIP="", clusterIPs=())
        if spec.ipFamilies == old.ipFamilies:
            changes["ipFamilies"] = ()
        if spec.ipFamilyPolicy == old.ipFamilyPolicy:
            changes["ipFamilyPolicy"] = None
    if needs_node_ports(old) and not needs_node_ports(spec):
        before = {port.nodePort for port in old.ports}
        if {port.nodePort for port in spec.ports if port.nodePort} <= before:
            changes["ports"] = tuple(replace(port, nodePort=0) for port in spec.ports)
    lost_check = needs_health_check(old) and not needs_health_check(spec)
    if lost_check and spec.healthCheckNodePort == old.healthCheckNodePort:
        changes["healthCheckNodePort"] = 0
    if old.type == "LoadBalancer" and spec.type != "LoadBalancer":
        for field in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
            if getattr(spec, field) == getattr(old, field):
                changes[field] = None
    if is_external(old) and not is_external(spec) and spec.externalTrafficPolicy == old.externalTrafficPolicy:
        changes["externalTrafficPolicy"] = NOTHING.externalTrafficPolicy
    return replace(spec, **changes)
