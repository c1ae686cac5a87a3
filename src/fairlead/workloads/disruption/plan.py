"""How many disruptions a budget allows.

Upstream: pkg/controller/disruption/disruption.go, component-helpers/apps/poddisruptionbudget.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from fairlead.objects.core_v1 import Pod, PodCondition
from fairlead.objects.meta_v1 import Condition, OwnerReference
from fairlead.objects.policy_v1 import PodDisruptionBudget, PodDisruptionBudgetStatus
from fairlead.objects.scalars import IntOrString, moment, timestamp
from fairlead.workloads.claiming import controller_of
from fairlead.workloads.podstate import condition, is_ready, is_terminal

DELETION_TIMEOUT = 120.0
"""Seconds in which a pod that was evicted has to begin to go; after them it counts as there again."""

STALE = 120.0
"""Seconds after which a pod that says it is to be disrupted, and is not deleted, does not say so any more."""


@dataclass(frozen=True)
class Expected:
    """How many pods there are to be, how many of them healthy, and those that belong to nobody."""

    pods: int
    healthy: int
    unmanaged: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scale:
    """How many pods a controller wants; by its uid, which for a ReplicaSet of a Deployment is the Deployment's."""

    uid: str
    replicas: int


class NoScale(Exception):
    """A pod's controller has no number of replicas; the text is a sentence."""


def needs_scale(budget: PodDisruptionBudget) -> bool:
    """Whether the budget counts by what the controllers of the pods want, not by the pods that there are."""
    return budget.spec.maxUnavailable is not None or isinstance(budget.spec.minAvailable, str)


def expected(budget: PodDisruptionBudget, pods: Iterable[Pod], scales: Mapping[str, Scale]) -> Expected:
    """What the budget asks of these pods. `scales` are what their controllers want, by the controller's uid.

    Raises NoScale where a controller that counts has none. Upstream: getExpectedPodCount.
    """
    pods = tuple(pods)
    spec = budget.spec
    if not needs_scale(budget):
        return (
            Expected(len(pods), int(spec.minAvailable)) if spec.minAvailable is not None else Expected(0, 0)
        )
    counted: dict[str, int] = {}
    unmanaged = []
    for pod in pods:
        controller = controller_of(pod)
        if controller is None:
            unmanaged.append(pod.metadata.name)
        elif (scale := scales.get(controller.uid)) is not None:
            counted[scale.uid] = scale.replicas
        else:
            raise NoScale(f'found no controllers for pod "{pod.metadata.name}"')
    count = sum(counted.values())
    if spec.maxUnavailable is not None:
        healthy = max(count - _share(spec.maxUnavailable, count), 0)
    else:
        healthy = _share(spec.minAvailable, count)
    return Expected(count, healthy, tuple(unmanaged))


def controllers(pods: Iterable[Pod]) -> dict[str, OwnerReference]:
    """The controllers of the pods, by uid."""
    found = (controller_of(pod) for pod in pods)
    return {controller.uid: controller for controller in found if controller is not None}


@dataclass(frozen=True)
class Disrupted:
    """The pods that were evicted and do not go yet."""

    pods: dict[str, str]
    late: tuple[Pod, ...]
    """Those that have not gone in time: they count as there again."""
    again: float | None
    """Seconds until the next one would be late."""


def disrupted(budget: PodDisruptionBudget, pods: Iterable[Pod], now: float) -> Disrupted:
    """Which evictions have still to be seen. `now` in s since 1970. Upstream: buildDisruptedPodMap."""
    kept, late, waits = {}, [], []
    for pod in pods:
        when = budget.status.disruptedPods.get(pod.metadata.name)
        if when is None or pod.metadata.deletionTimestamp is not None:
            continue
        left = (moment(when) or 0.0) + DELETION_TIMEOUT - now
        if left < 0:
            late.append(pod)
        else:
            kept[pod.metadata.name] = when
            waits.append(left)
    return Disrupted(kept, tuple(late), min(waits, default=None))


def status(
    budget: PodDisruptionBudget, pods: Iterable[Pod], wanted: Expected, gone: Disrupted, now: float
) -> PodDisruptionBudgetStatus:
    """The budget's status with these pods. `now` in s since 1970. Upstream: updatePdbStatus."""
    healthy = sum(
        pod.metadata.deletionTimestamp is None and pod.metadata.name not in gone.pods and is_ready(pod)
        for pod in pods
    )
    allowed = max(healthy - wanted.healthy, 0) if wanted.pods > 0 else 0
    enough = "SufficientPods" if allowed > 0 else "InsufficientPods"
    return PodDisruptionBudgetStatus(
        observedGeneration=budget.metadata.generation,
        disruptedPods=gone.pods,
        disruptionsAllowed=allowed,
        currentHealthy=healthy,
        desiredHealthy=wanted.healthy,
        expectedPods=wanted.pods,
        conditions=_conditions(budget, budget.metadata.generation, allowed > 0, enough, "", now),
    )


def failed(budget: PodDisruptionBudget, why: str, now: float) -> PodDisruptionBudgetStatus:
    """The status of a budget that cannot be worked out: nothing is allowed. Upstream: failSafe."""
    observed = budget.status.observedGeneration
    conditions = _conditions(budget, observed, False, "SyncFailed", why, now)
    return replace(budget.status, disruptionsAllowed=0, conditions=conditions)


def stale(pod: Pod, now: float) -> tuple[PodCondition | None, float | None]:
    """The DisruptionTarget condition of a pod that stays after all, taken back; or the seconds until it will be.

    `now` in s since 1970. Upstream: nonTerminatingPodHasStaleDisruptionCondition.
    """
    found = condition(pod, "DisruptionTarget")
    if found is None or found.status != "True" or found.reason == "TerminationByKubelet":
        return None, None
    if pod.metadata.deletionTimestamp is not None or is_terminal(pod):
        return None, None
    left = (moment(found.lastTransitionTime) or 0.0) + STALE - now
    if left > 0:
        return None, left
    return PodCondition(type="DisruptionTarget", status="False", lastTransitionTime=timestamp(now)), None


def _share(value: IntOrString | None, of: int) -> int:
    """A number, or a percentage of the pods, rounded up."""
    if isinstance(value, str):
        return math.ceil(int(value.removesuffix("%")) * of / 100)
    return value or 0


def _conditions(
    budget: PodDisruptionBudget, generation: int, allowed: bool, reason: str, message: str, now: float
) -> tuple[Condition, ...]:
    said = "True" if allowed else "False"
    before = next((c for c in budget.status.conditions if c.type == "DisruptionAllowed"), None)
    since = before.lastTransitionTime if before is not None and before.status == said else timestamp(now)
    own = Condition(
        type="DisruptionAllowed",
        status=said,
        observedGeneration=generation,
        lastTransitionTime=since,
        reason=reason,
        message=message,
    )
    return (*(c for c in budget.status.conditions if c.type != "DisruptionAllowed"), own)
