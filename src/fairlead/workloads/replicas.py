"""How many pods a ReplicaSet or ReplicationController lacks or has too many, and what its status says.

Upstream: pkg/controller/replicaset (manageReplicas, calculateStatus), which serves both kinds, as this does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from fairlead.objects.apps_v1 import ReplicaSet, ReplicaSetCondition, ReplicaSetStatus
from fairlead.objects.core_v1 import Pod
from fairlead.objects.scalars import timestamp
from fairlead.workloads.batches import MOST
from fairlead.workloads.podstate import condition, is_active, is_available, is_ready, is_terminating
from fairlead.workloads.ranking import first_to_go

FAILURE = "ReplicaFailure"


@dataclass(frozen=True)
class Plan:
    """Pods to make and pods to delete; only one of the two is ever asked for."""

    create: int = 0
    delete: tuple[Pod, ...] = ()


def plan(replicas: int, pods: Sequence[Pod], related: Iterable[Pod], now: float) -> Plan:
    """What brings the pods to the wanted number, `MOST` of them at a time.

    `pods` are all that the owner has, `related` those of the other owners that stand for the same workload.
    Cost: n log n of the pods where some have to go, else n.
    """
    active = [pod for pod in pods if is_active(pod)]
    surplus = len(active) - replicas
    if surplus < 0:
        return Plan(create=min(-surplus, MOST))
    return Plan(delete=tuple(first_to_go(active, related, min(surplus, MOST), now))) if surplus else Plan()


def status(owner: ReplicaSet, pods: Sequence[Pod], failure: str | None, now: float) -> ReplicaSetStatus:
    """The status of the owner with these pods; `failure` is what the last attempt to make or delete some met with.

    Cost: the pods.
    """
    active = [pod for pod in pods if is_active(pod)]
    wanted = owner.spec.template.metadata.labels.items()
    return ReplicaSetStatus(
        replicas=len(active),
        fullyLabeledReplicas=sum(wanted <= pod.metadata.labels.items() for pod in active),
        readyReplicas=sum(is_ready(pod) for pod in active),
        availableReplicas=sum(is_available(pod, owner.spec.minReadySeconds, now) for pod in active),
        terminatingReplicas=sum(is_terminating(pod) for pod in pods),
        observedGeneration=owner.metadata.generation,
        conditions=_conditions(owner, len(active), failure, now),
    )


def _conditions(
    owner: ReplicaSet, active: int, failure: str | None, now: float
) -> tuple[ReplicaSetCondition, ...]:
    """The conditions, with the first failure as long as there is one."""
    known = owner.status.conditions
    if failure is None:
        return tuple(each for each in known if each.type != FAILURE)
    if any(each.type == FAILURE for each in known):
        return known
    surplus = active - wanted_replicas(owner)
    made = ReplicaSetCondition(
        type=FAILURE,
        status="True",
        reason="FailedCreate" if surplus < 0 else "FailedDelete" if surplus > 0 else "",
        message=failure,
        lastTransitionTime=timestamp(now),
    )
    return (*known, made)


def wanted_replicas(owner: ReplicaSet) -> int:
    """The number of pods that it is to have; 1 where it does not say."""
    return 1 if owner.spec.replicas is None else owner.spec.replicas


def concerns(old: Pod, new: Pod) -> bool:
    """Whether the change of a pod can change the plan or the status of its owner."""
    return old is not new and _read(old) != _read(new)


def _read(pod: Pod) -> tuple[object, ...]:
    ready = condition(pod, "Ready")
    return (
        pod.metadata.uid,
        pod.metadata.labels,
        pod.metadata.deletionTimestamp is None,
        pod.status.phase in ("Succeeded", "Failed"),
        ready and (ready.status, ready.lastTransitionTime),
    )


def without_terminating(status: ReplicaSetStatus) -> ReplicaSetStatus:
    """The status of a ReplicationController, which does not count pods that are being deleted."""
    return replace(status, terminatingReplicas=None)
