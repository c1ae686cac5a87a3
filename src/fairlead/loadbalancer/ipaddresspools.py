"""IPAddressPool: pools as custom resources, ours and MetalLB's, which have the same spec."""

from __future__ import annotations

from importlib import resources
from typing import Any

from msgspec import field

from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.resources import Resource
from fairlead.objects.scalars import Object

GROUP = "fairlead.dev"
METALLB = "metallb.io"


class IPAddressPool(Object, frozen=True, kw_only=True):
    """A pool as the API has it. Spec and status are read later: what is wrong in one must not hide the others."""

    kind: str = field(default_factory=lambda: "IPAddressPool")  # a default would not be sent
    apiVersion: str = field(default_factory=lambda: f"{GROUP}/v1")
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: Any = None
    status: Any = None


class MetalLBPool(IPAddressPool, frozen=True, kw_only=True):
    """A pool of MetalLB's. Upstream: metallb/api/v1beta1/ipaddresspool_types.go."""

    apiVersion: str = field(default_factory=lambda: f"{METALLB}/v1beta1")


RESOURCES: dict[str, Resource[Any]] = {
    GROUP: Resource(GROUP, "v1", "ipaddresspools", "IPAddressPool", IPAddressPool, namespaced=False),
    METALLB: Resource(METALLB, "v1beta1", "ipaddresspools", "IPAddressPool", MetalLBPool),
}
"""Where pools are served, by API group."""


def definition() -> str:
    """The CustomResourceDefinition of our group, in YAML."""
    return resources.files(__package__).joinpath("manifests/ipaddresspools.yaml").read_text()
