"""The condition Progressing: what an update is at, whether it is over, paused, or has come to nothing.

Upstream: pkg/controller/deployment/progress.go; checkPausedConditions in sync.go; the reasons in its util.
"""

from __future__ import annotations

from msgspec.structs import replace

from fairlead.objects.apps_v1 import Deployment, DeploymentStatus
from fairlead.objects.scalars import moment
from fairlead.workloads.deployment.history import History
from fairlead.workloads.deployment.limits import deadline
from fairlead.workloads.deployment.status import complete, condition, of, with_condition, without

PROGRESSING = "Progressing"
DONE = "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"
PAUSED = "DeploymentPaused"
NOT_CREATED = "ReplicaSetCreateError"


def noted(
    deployment: Deployment, history: History, now: float, created: str = "", failure: str = ""
) -> Deployment:
    """The Deployment with what this look at it has to say, before pods are counted.

    That it is paused or goes on; the name of the ReplicaSet just created, or why none could be.
    """
    if deadline(deployment) is None:
        return deployment
    found = condition(deployment.status.conditions, PROGRESSING)
    paused = found is not None and found.reason == PAUSED
    timed_out = found is not None and found.reason == TIMED_OUT
    if deployment.spec.paused and not paused and not timed_out:
        deployment = _with(deployment, "Unknown", PAUSED, "Deployment is paused", now)
    elif paused and not deployment.spec.paused:
        deployment = _with(deployment, "Unknown", "DeploymentResumed", "Deployment is resumed", now)
    if created:
        text = f'Created new replica set "{created}"'
        return _with(deployment, "True", "NewReplicaSetCreated", text, now)
    if failure:
        return _with(deployment, "False", NOT_CREATED, failure, now)
    if history.new is not None and condition(deployment.status.conditions, PROGRESSING) is None:
        text = f'Found new replica set "{history.new.metadata.name}"'
        return _with(deployment, "True", "FoundNewReplicaSet", text, now)
    return deployment


def progressed(
    deployment: Deployment, history: History, status: DeploymentStatus, now: float
) -> DeploymentStatus:
    """The new status with what has become of the update since the one that the Deployment has."""
    if deadline(deployment) is None:
        return replace(status, conditions=without(status.conditions, PROGRESSING))
    before = condition(deployment.status.conditions, PROGRESSING)
    if status.replicas == status.updatedReplicas and before is not None and before.reason == DONE:
        return status
    new = history.new
    subject = (
        f'Deployment "{deployment.metadata.name}"' if new is None else f'ReplicaSet "{new.metadata.name}"'
    )
    conditions = status.conditions
    if complete(deployment, status):
        told = of(PROGRESSING, "True", DONE, f"{subject} has successfully progressed.", now)
    elif _has_moved(deployment.status, status):
        told = of(PROGRESSING, "True", "ReplicaSetUpdated", f"{subject} is progressing.", now)
        if before is not None and before.status == "True":
            told = replace(told, lastTransitionTime=before.lastTransitionTime)
        conditions = without(conditions, PROGRESSING)  # the time of the last progress is news in itself
    elif _is_late(deployment, status, now):
        told = of(PROGRESSING, "False", TIMED_OUT, f"{subject} has timed out progressing.", now)
    else:
        return status
    return replace(status, conditions=with_condition(conditions, told))


def look_again(deployment: Deployment, status: DeploymentStatus, now: float) -> float | None:
    """Seconds until the update will have timed out if nothing happens; None if it cannot (requeueStuckDeployment)."""
    found = condition(status.conditions, PROGRESSING)
    limit = deadline(deployment)
    if deployment.spec.paused or limit is None or found is None or found.reason == TIMED_OUT:
        return None
    if complete(deployment, status):
        return None
    # A second more: the time in the condition is rounded down.
    return max((moment(found.lastUpdateTime) or now) + limit + 1 - now, 1.0)


def _with(deployment: Deployment, status: str, reason: str, message: str, now: float) -> Deployment:
    conditions = with_condition(deployment.status.conditions, of(PROGRESSING, status, reason, message, now))
    return replace(deployment, status=replace(deployment.status, conditions=conditions))


def _has_moved(old: DeploymentStatus, new: DeploymentStatus) -> bool:
    """Whether there are more new pods, fewer old ones, or more that serve (upstream: DeploymentProgressing)."""
    return (
        new.updatedReplicas > old.updatedReplicas
        or new.replicas - new.updatedReplicas < old.replicas - old.updatedReplicas
        or new.readyReplicas > old.readyReplicas
        or new.availableReplicas > old.availableReplicas
    )


def _is_late(deployment: Deployment, status: DeploymentStatus, now: float) -> bool:
    """Whether the deadline has passed since the last progress (upstream: DeploymentTimedOut)."""
    found, limit = condition(status.conditions, PROGRESSING), deadline(deployment)
    if found is None or limit is None or found.reason == DONE:
        return False
    if found.reason == TIMED_OUT:
        return True
    since = moment(found.lastUpdateTime)
    return since is not None and since + limit < now
