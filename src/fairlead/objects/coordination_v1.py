"""The types of api.coordination.v1. Written by tools/generate_objects.py: change that."""

from __future__ import annotations

from msgspec import field

from fairlead.objects.meta_v1 import ListMeta, ObjectMeta
from fairlead.objects.scalars import MicroTime, Object, empty


class Lease(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "Lease")
    apiVersion: str = field(default_factory=lambda: "coordination.k8s.io/v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    spec: LeaseSpec = field(default_factory=lambda: LeaseSpec())


class LeaseList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "LeaseList")
    apiVersion: str = field(default_factory=lambda: "coordination.k8s.io/v1")
    metadata: ListMeta = field(default_factory=lambda: ListMeta())
    items: tuple[Lease, ...] = field(default_factory=empty)


class LeaseSpec(Object, frozen=True, kw_only=True):
    holderIdentity: str | None = None
    leaseDurationSeconds: int | None = None
    acquireTime: MicroTime | None = None
    renewTime: MicroTime | None = None
    leaseTransitions: int | None = None
    strategy: str | None = None
    preferredHolder: str | None = None
