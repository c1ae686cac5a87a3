"""What a Deployment's status says: counts of pods, and whether enough of them are available.

Upstream: calculateStatus in pkg/controller/deployment/sync.go; the conditions in its util.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from fairlead.objects.apps_v1 import Deployment, DeploymentCondition, DeploymentStatus
from fairlead.objects.scalars import timestamp
from fairlead.workloads.deployment.history import History
from fairlead.workloads.deployment.limits import limits
from fairlead.workloads.replicas import wanted_replicas

AVAILABLE = "Available"
FAILURE = "ReplicaFailure"

Conditions = tuple[DeploymentCondition, ...]


def counted(deployment: Deployment, history: History, now: float) -> DeploymentStatus:
    """The status with the counts of these ReplicaSets and the conditions on them; others stay as they are."""
    sets = [each.status for each in history.all]
    replicas = sum(each.replicas for each in sets)
    available = sum(each.availableReplicas for each in sets)
    terminating = [each.terminatingReplicas for each in sets if each.terminatingReplicas is not None]
    status = replace(
        deployment.status,
        observedGeneration=deployment.metadata.generation,
        replicas=replicas,
        updatedReplicas=history.new.status.replicas if history.new is not None else 0,
        readyReplicas=sum(each.readyReplicas for each in sets),
        availableReplicas=available,
        # Of those that are wanted: pods that could not even be made lack, too.
        unavailableReplicas=max(sum(map(wanted_replicas, history.all)) - available, 0),
        terminatingReplicas=sum(terminating) if terminating else None,
    )
    enough = available >= limits(deployment).fewest_available
    said = (
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
        if enough
        else ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    )
    return replace(status, conditions=with_condition(status.conditions, of(AVAILABLE, *said, now)))


def with_failures(status: DeploymentStatus, history: History) -> DeploymentStatus:
    """The status with what keeps a ReplicaSet, the new one first, from making or deleting pods, if anything does."""
    new = (history.new,) if history.new is not None else ()
    found = [
        each
        for replica_set in (*new, *history.old)
        for each in replica_set.status.conditions
        if each.type == FAILURE
    ]
    if not found:
        return replace(status, conditions=without(status.conditions, FAILURE))
    first = found[0]
    told = DeploymentCondition(
        type=FAILURE,
        status=first.status,
        reason=first.reason,
        message=first.message,
        lastUpdateTime=first.lastTransitionTime,
        lastTransitionTime=first.lastTransitionTime,
    )
    return replace(status, conditions=with_condition(status.conditions, told))


def is_complete(deployment: Deployment, history: History) -> bool:
    """Whether all pods are of the new template and serve, as the Deployment's own status says already."""
    return history.new is not None and complete(deployment, deployment.status)


def complete(deployment: Deployment, status: DeploymentStatus) -> bool:
    """Whether the update is over (upstream: DeploymentComplete)."""
    wanted = limits(deployment).wanted
    return (
        status.updatedReplicas == status.replicas == status.availableReplicas == wanted
        and status.observedGeneration >= deployment.metadata.generation
    )


def condition(conditions: Iterable[DeploymentCondition], type: str) -> DeploymentCondition | None:
    """The condition of this type."""
    return next((each for each in conditions if each.type == type), None)


def of(type: str, status: str, reason: str, message: str, now: float) -> DeploymentCondition:
    """A condition that is told and holds from now on."""
    moment = timestamp(now)
    return DeploymentCondition(
        type=type,
        status=status,
        reason=reason,
        message=message,
        lastUpdateTime=moment,
        lastTransitionTime=moment,
    )


def with_condition(conditions: Conditions, new: DeploymentCondition) -> Conditions:
    """The conditions with this one, unless one says so already (upstream: SetDeploymentCondition)."""
    old = condition(conditions, new.type)
    if old is not None and (old.status, old.reason) == (new.status, new.reason):
        return conditions
    if old is not None and old.status == new.status:
        new = replace(new, lastTransitionTime=old.lastTransitionTime)
    return (*without(conditions, new.type), new)


def without(conditions: Conditions, type: str) -> Conditions:
    """The conditions of other types."""
    return tuple(each for each in conditions if each.type != type)
