"""What every cluster has from its first moment on: its namespaces, the Service of the API itself."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from fairlead.apiserver.answers import decoded
from fairlead.apiserver.happenings import Happenings
from fairlead.apiserver.kind import Kind
from fairlead.apiserver.kinds import (
    ENDPOINTS,
    ENDPOINTSLICES,
    NAMESPACES,
    PRIORITYCLASSES,
    SERVICECIDRS,
    SERVICES,
)
from fairlead.apiserver.masterleases import MasterLeases
from fairlead.apiserver.registry import Registry
from fairlead.apiserver.servicecidrs import READY, with_condition
from fairlead.objects import priorityclasses
from fairlead.objects.core_v1 import (
    EndpointAddress,
    EndpointPort,
    Endpoints,
    EndpointSubset,
    Namespace,
    Service,
    ServicePort,
    ServiceSpec,
)
from fairlead.objects.discovery_v1 import Endpoint, EndpointConditions, EndpointSlice
from fairlead.objects.discovery_v1 import EndpointPort as SlicePort
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.networking_v1 import ServiceCIDR, ServiceCIDRSpec
from fairlead.objects.resources import Stored
from fairlead.objects.status import StatusError
from fairlead.store import Failed

SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
NAME = "kubernetes"
LABELS = {"component": "apiserver", "provider": "kubernetes"}
CIDR_COMPONENT = "kubernetes-service-cidr-controller"
INTERVAL_SECONDS = 10.0

log = logging.getLogger("fairlead.apiserver")


async def bootstrap(
    registry: Registry, service_cidrs: Sequence[str], leases: MasterLeases | None, port: int
) -> None:
    """Makes what is not there yet. `leases` (none: no endpoints) says where pods reach the API servers, at `port`."""
    for name in SYSTEM_NAMESPACES:
        await ensure(registry, NAMESPACES, Namespace(metadata=ObjectMeta(name=name)))
    for priority_class in priorityclasses.SYSTEM:
        await ensure(registry, PRIORITYCLASSES, priority_class)
    await ensure_service_cidr(registry, tuple(service_cidrs))
    await ensure(registry, SERVICES, service(first_address(service_cidrs[0]), port))
    if leases is not None:
        await point_at(registry, await leases.renew(), port)


async def point_at(registry: Registry, addresses: Sequence[str], port: int) -> None:
    """Lets the Service lead to the API servers at these addresses."""
    await ensure(registry, ENDPOINTS, endpoints(addresses, port))
    await ensure(registry, ENDPOINTSLICES, endpoint_slice(addresses, port))


async def leave(registry: Registry, leases: MasterLeases, port: int) -> None:
    """Takes this server out of the endpoints, unless it is the last one: then there is nobody to be led to instead."""
    try:
        if others := await leases.leave():
            await point_at(registry, others, port)
    except (StatusError, Failed) as error:
        log.warning("the other servers will find out by themselves that this one is gone: %s", error)


async def ensure_service_cidr(registry: Registry, cidrs: tuple[str, ...]) -> None:
    """Makes the default ServiceCIDR, or gives the one that is there its second family.

    One that is otherwise is left as it is, and said so. Upstream: pkg/controlplane/controller/defaultservicecidr.
    """
    wanted = with_condition(
        ServiceCIDR(metadata=ObjectMeta(name=NAME), spec=ServiceCIDRSpec(cidrs=cidrs)), READY
    )
    try:
        await registry.create(SERVICECIDRS, "", wanted)
        return
    except StatusError as error:
        if error.reason != "AlreadyExists":
            raise
    entry = await registry.get(SERVICECIDRS, "", NAME)
    there = decoded(SERVICECIDRS, entry.value, entry.revision)
    if there.spec.cidrs == cidrs:
        return
    if len(cidrs) == 2 and there.spec.cidrs == cidrs[:1]:

        async def dual(old: Any) -> Any:
            return replace(old, spec=wanted.spec)

        await registry.update(SERVICECIDRS, "", NAME, dual)
        return
    said = "The default ServiceCIDR {} does not match the controller flag configurations {}"
    message = said.format(*(f"[{' '.join(which)}]" for which in (there.spec.cidrs, cidrs)))
    await Happenings(registry, CIDR_COMPONENT).warn(
        there, "KubernetesDefaultServiceCIDRInconsistent", message
    )


async def keep(
    registry: Registry, service_cidrs: Sequence[str], leases: MasterLeases | None, port: int
) -> None:
    """Brings back what of it was deleted, as upstream's reconcilers do, until it is cancelled."""
    while True:
        await asyncio.sleep(leases.interval if leases is not None else INTERVAL_SECONDS)
        try:
            await registry.store.sync()
            await bootstrap(registry, service_cidrs, leases, port)
        except (StatusError, Failed) as error:
            log.warning("cannot bring back what every cluster has: %s", error)


async def ensure(registry: Registry, kind: Kind, obj: Stored) -> None:
    """Creates the object, or writes it over the one that is there if it has an address that is not ours any more."""
    metadata = obj.metadata
    try:
        await registry.create(kind, metadata.namespace, obj)
    except StatusError as error:
        # Another server that makes the same Service at the same time may be seen by its address first.
        there = await registry.store.get(kind.key(metadata.namespace, metadata.name))
        if error.reason != "AlreadyExists" and there is None:
            raise
        if kind in (ENDPOINTS, ENDPOINTSLICES):

            async def ours(_: object) -> Stored:
                return obj

            await registry.update(kind, metadata.namespace, metadata.name, ours)


def first_address(cidr: str) -> str:
    """The first address of the Service network, which is the API's own."""
    return str(ipaddress.ip_network(cidr)[1])


def service(cluster_ip: str, port: int) -> Service:
    """`kubernetes` in the namespace `default`."""
    return Service(
        metadata=ObjectMeta(name=NAME, namespace="default", labels=LABELS),
        spec=ServiceSpec(
            type="ClusterIP",
            clusterIP=cluster_ip,
            clusterIPs=(cluster_ip,),
            ipFamilies=("IPv6" if ":" in cluster_ip else "IPv4",),
            ipFamilyPolicy="SingleStack",
            ports=(ServicePort(name="https", protocol="TCP", port=443, targetPort=port),),
        ),
    )


def endpoints(addresses: Sequence[str], port: int) -> Endpoints:
    """The Endpoints of the API."""
    labels = {"endpointslice.kubernetes.io/skip-mirror": "true"}
    return Endpoints(
        metadata=ObjectMeta(name=NAME, namespace="default", labels=labels),
        subsets=(
            EndpointSubset(
                addresses=tuple(EndpointAddress(ip=address) for address in addresses),
                ports=(EndpointPort(name="https", port=port, protocol="TCP"),),
            ),
        ),
    )


def endpoint_slice(addresses: Sequence[str], port: int) -> EndpointSlice:
    """The EndpointSlice of the API, of one family: that of the first address."""
    is_ipv6 = ":" in addresses[0]
    ready = EndpointConditions(ready=True)
    return EndpointSlice(
        metadata=ObjectMeta(name=NAME, namespace="default", labels={"kubernetes.io/service-name": NAME}),
        addressType="IPv6" if is_ipv6 else "IPv4",
        endpoints=tuple(
            Endpoint(addresses=(address,), conditions=ready)
            for address in addresses
            if (":" in address) == is_ipv6
        ),
        ports=(SlicePort(name="https", protocol="TCP", port=port),),
    )
