"""What a Service of type LoadBalancer asks for. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fairlead.loadbalancer.pools import Address, parse_address
from fairlead.objects.core_v1 import Service

CLASS = "fairlead.dev/loadbalancer"
"""The `spec.loadBalancerClass` that is ours."""

ADDRESSES = "fairlead.dev/load-balancer-ips"
"""Annotation: the addresses wanted, with commas, one a family."""
POOL = "fairlead.dev/address-pool"
"""Annotation: the pool that they have to come from."""
SHARING = "fairlead.dev/allow-shared-ip"
"""Annotation: Services with the same text here may have one address, if their ports differ."""

NAMES: Mapping[str, tuple[str, ...]] = {
    ADDRESSES: (ADDRESSES, "metallb.io/loadBalancerIPs", "metallb.universe.tf/loadBalancerIPs"),
    POOL: (POOL, "metallb.io/address-pool", "metallb.universe.tf/address-pool"),
    SHARING: (SHARING, "metallb.io/allow-shared-ip", "metallb.universe.tf/allow-shared-ip"),
}
"""Each annotation under all its names; MetalLB's mean the same here."""

VERSIONS = {"IPv4": 4, "IPv6": 6}


@dataclass(frozen=True)
class Request:
    """What one Service asks for.

    `versions` are the address families in their order, `all_versions` says that none may be missing. `wanted` are
    addresses asked for by name, `held` those that its status has. `sharing` and `backend` decide with whom an address
    may be shared; `ports` are protocol and number.
    """

    key: str
    versions: tuple[int, ...]
    all_versions: bool = True
    wanted: tuple[Address, ...] = ()
    held: tuple[Address, ...] = ()
    pool: str = ""
    sharing: str = ""
    backend: str = ""
    ports: frozenset[tuple[str, int]] = frozenset()
    namespace: str = ""
    namespace_labels: Mapping[str, str] | None = None
    labels: Mapping[str, str] | None = None


def is_ours(service: Service, *, default: bool, name: str = CLASS) -> bool:
    """Whether the Service is for us: of type LoadBalancer, of our class, or without a class if we are the default.

    `name` is our class.
    """
    spec = service.spec
    if spec is None or spec.type != "LoadBalancer":
        return False
    return spec.loadBalancerClass == name if spec.loadBalancerClass else default


def request_of(service: Service, namespace_labels: Mapping[str, str]) -> Request:
    """What the Service asks for. Raises ValueError with a sentence for what cannot be understood."""
    spec, meta = service.spec, service.metadata
    assert spec is not None
    versions = tuple(VERSIONS[family] for family in spec.ipFamilies) or (4,)
    name, text = _said(meta.annotations, ADDRESSES)
    if text and spec.loadBalancerIP:
        raise ValueError(f"both spec.loadBalancerIP and the annotation {name} are set: keep one of them")
    source = f"the annotation {name}" if text else "spec.loadBalancerIP"
    try:
        wanted = tuple(
            parse_address(part) for part in (text or spec.loadBalancerIP).split(",") if part.strip()
        )
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None
    for address in wanted:
        if address.version not in versions:
            raise ValueError(f"{source}: {address} is IPv{address.version}, which is not in spec.ipFamilies")
    if len({address.version for address in wanted}) != len(wanted):
        raise ValueError(f"{source}: more than one address of a family")
    local = spec.externalTrafficPolicy == "Local"
    return Request(
        key=f"{meta.namespace}/{meta.name}",
        versions=versions,
        all_versions=spec.ipFamilyPolicy != "PreferDualStack",
        wanted=wanted,
        held=held_by(service),
        pool=_said(meta.annotations, POOL)[1],
        sharing=_said(meta.annotations, SHARING)[1],
        backend=",".join(f"{k}={v}" for k, v in sorted(spec.selector.items())) if local else "",
        ports=ports_of(service),
        namespace=meta.namespace,
        namespace_labels=namespace_labels,
        labels=meta.labels,
    )


def held_by(service: Service) -> tuple[Address, ...]:
    """The addresses in the Service's status."""
    ingress = service.status.loadBalancer.ingress if service.status is not None else ()
    return tuple(parse_address(each.ip) for each in ingress if each.ip)


def ports_of(service: Service) -> frozenset[tuple[str, int]]:
    """Protocol and number of the Service's ports."""
    ports = service.spec.ports if service.spec is not None else ()
    return frozenset((port.protocol or "TCP", port.port) for port in ports)


def _said(annotations: Mapping[str, str], meant: str) -> tuple[str, str]:
    """The name under which an annotation is there, and its text; raises ValueError if two say two things."""
    found = [(name, text) for name in NAMES[meant] if (text := annotations.get(name, "").strip())]
    for name, text in found[1:]:
        if text != found[0][1]:
            raise ValueError(f"the annotations {found[0][0]} and {name} differ: keep one of them")
    return found[0] if found else (meant, "")
