"""What a Deployment writes on its ReplicaSets: their revision, and the size it had in mind when it sized them.

Upstream: pkg/controller/deployment/util (SetNewReplicaSetAnnotations, SetReplicasAnnotations).
"""

from __future__ import annotations

from collections.abc import Mapping

from fairlead.objects.apps_v1 import Deployment, ReplicaSet
from fairlead.objects.meta_v1 import ObjectMeta

REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MOST = "deployment.kubernetes.io/max-replicas"
LONGEST_HISTORY = 2000
"""Characters of the numbers that a ReplicaSet had before."""

_NOT_COPIED = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        "deprecated.deployment.rollback.to",
        REVISION,
        HISTORY,
        DESIRED,
        MOST,
    }
)


def number(meta: ObjectMeta, name: str) -> int | None:
    """The number in an annotation; None where there is none."""
    text = meta.annotations.get(name, "")
    return int(text) if text.isascii() and text.removeprefix("-").isdigit() else None


def revision(replica_set: ReplicaSet) -> int:
    """The ReplicaSet's revision; 0 where it has none."""
    return number(replica_set.metadata, REVISION) or 0


def sized(annotations: Mapping[str, str], desired: int, most: int) -> dict[str, str]:
    """The annotations of a ReplicaSet that is sized for a Deployment of `desired` pods, `most` in an update."""
    return {**annotations, DESIRED: str(desired), MOST: str(most)}


def of_newest(deployment: Deployment, there: Mapping[str, str], revision: int) -> dict[str, str]:
    """The annotations of the ReplicaSet of the current template: the Deployment's own, and its revision.

    A template that is wanted again gets the next revision; those that it had are kept as a history.
    """
    copied = {
        name: value for name, value in deployment.metadata.annotations.items() if name not in _NOT_COPIED
    }
    made = {**there, **copied}
    before = there.get(REVISION, "")
    if before and not before.isdecimal():
        return made
    if int(before or 0) < revision:
        made[REVISION] = str(revision)
        if before:
            made[HISTORY] = _appended(there.get(HISTORY, ""), before)
    return made


def _appended(history: str, revision: str) -> str:
    """The history with one more revision; the oldest are left out where it would grow too long."""
    kept = [*(history.split(",") if history else ()), revision]
    while len(",".join(kept)) > LONGEST_HISTORY:
        kept.pop(0)
    return ",".join(kept)
