"""The types of api.policy.v1. Written by tools/generate_objects.py: change that."""

from __future__ import annotations

from msgspec import field

from fairlead.objects.meta_v1 import Condition, DeleteOptions, LabelSelector, ListMeta, ObjectMeta
from fairlead.objects.scalars import IntOrString, Object, Time, empty, zero


class Eviction(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "Eviction")
    apiVersion: str = field(default_factory=lambda: "policy/v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    deleteOptions: DeleteOptions | None = None


class PodDisruptionBudget(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "PodDisruptionBudget")
    apiVersion: str = field(default_factory=lambda: "policy/v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    spec: PodDisruptionBudgetSpec = field(default_factory=lambda: PodDisruptionBudgetSpec())
    status: PodDisruptionBudgetStatus = field(default_factory=lambda: PodDisruptionBudgetStatus())


class PodDisruptionBudgetList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "PodDisruptionBudgetList")
    apiVersion: str = field(default_factory=lambda: "policy/v1")
    metadata: ListMeta = field(default_factory=lambda: ListMeta())
    items: tuple[PodDisruptionBudget, ...] = field(default_factory=empty)


class PodDisruptionBudgetSpec(Object, frozen=True, kw_only=True):
    minAvailable: IntOrString | None = None
    selector: LabelSelector | None = None
    maxUnavailable: IntOrString | None = None
    unhealthyPodEvictionPolicy: str | None = None


class PodDisruptionBudgetStatus(Object, frozen=True, kw_only=True):
    observedGeneration: int = 0
    disruptedPods: dict[str, Time] = {}
    disruptionsAllowed: int = field(default_factory=zero)
    currentHealthy: int = field(default_factory=zero)
    desiredHealthy: int = field(default_factory=zero)
    expectedPods: int = field(default_factory=zero)
    conditions: tuple[Condition, ...] = ()
