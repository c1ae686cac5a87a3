"""The next step from old ReplicaSets to the new one, within the limits.

Upstream: pkg/controller/deployment/rolling.go and recreate.go, NewRSNewReplicas in its util.
"""

from __future__ import annotations

from collections.abc import Sequence

from fairlead.objects.apps_v1 import Deployment, ReplicaSet
from fairlead.workloads.deployment.history import History
from fairlead.workloads.deployment.limits import Limits, is_rolling, limits
from fairlead.workloads.deployment.scaling import Sizes
from fairlead.workloads.replicas import wanted_replicas


def first_size(deployment: Deployment, history: History) -> int:
    """With how many pods the ReplicaSet of a new template begins."""
    allowed = limits(deployment)
    if not is_rolling(deployment):
        return allowed.wanted
    return _grown(0, sum(map(wanted_replicas, history.old)), allowed)


def rolled(deployment: Deployment, history: History) -> Sizes:
    """The sizes of the next step of a rolling update: the new ReplicaSet first, then the old ones.

    Old pods go only as far as enough others are available; those that are not available go first.
    Cost: the ReplicaSets.
    """
    allowed = limits(deployment)
    new = history.new
    size = wanted_replicas(new) if new is not None else first_size(deployment, history)
    total = sum(map(wanted_replicas, history.old)) + size
    if new is not None:
        grown = allowed.wanted if size > allowed.wanted else _grown(size, total, allowed)
        if grown != size:
            return {new.metadata.uid: grown}
    available = new.status.availableReplicas if new is not None else 0
    spare = total - allowed.fewest_available - max(size - available, 0)
    return _shrunk(history.old, available, spare, allowed) if spare > 0 else {}


def _grown(size: int, total: int, allowed: Limits) -> int:
    """The size of the new ReplicaSet when it takes the room that is left."""
    return size + max(min(allowed.most - total, allowed.wanted - size), 0)


def _shrunk(old: Sequence[ReplicaSet], available_new: int, spare: int, allowed: Limits) -> Sizes:
    """The old ReplicaSets without up to `spare` pods."""
    sizes = {each.metadata.uid: wanted_replicas(each) for each in old if wanted_replicas(each) > 0}
    for each in old:  # cleanupUnhealthyReplicas
        uid = each.metadata.uid
        gone = min(spare, max(sizes.get(uid, 0) - each.status.availableReplicas, 0))
        if gone:
            sizes[uid] -= gone
            spare -= gone
    # What a status says of pods that were given up since does not count: fewer than wanted could be left.
    serving = sum(min(sizes.get(each.metadata.uid, 0), each.status.availableReplicas) for each in old)
    spare = min(spare, available_new + serving - allowed.fewest_available)
    for each in old:  # scaleDownOldReplicaSetsForRollingUpdate
        uid = each.metadata.uid
        gone = max(min(spare, sizes.get(uid, 0)), 0)
        if gone:
            sizes[uid] -= gone
            spare -= gone
    before = {each.metadata.uid: wanted_replicas(each) for each in old}
    return {uid: size for uid, size in sizes.items() if size != before[uid]}


def emptied(history: History) -> Sizes:
    """The first step of Recreate: no old ReplicaSet keeps a pod."""
    return {each.metadata.uid: 0 for each in history.old if wanted_replicas(each) > 0}
