"""A Deployment that is scaled, also while it is paused or in the middle of an update: who grows, who shrinks.

Upstream: scale, isScalingEvent in pkg/controller/deployment/sync.go; GetReplicaSetProportion in its util.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from fairlead.objects.apps_v1 import Deployment, ReplicaSet
from fairlead.workloads.deployment import marks
from fairlead.workloads.deployment.history import History, age
from fairlead.workloads.deployment.limits import Limits, is_rolling, limits
from fairlead.workloads.replicas import wanted_replicas

Sizes = Mapping[str, int]
"""Numbers of pods by the uid of a ReplicaSet; whoever is not in it stays as it is."""


def is_scaled(deployment: Deployment, history: History) -> bool:
    """Whether the number of pods is another than the one that the ReplicaSets were last sized for."""
    wanted = limits(deployment).wanted
    before = [marks.number(each.metadata, marks.DESIRED) for each in history.active]
    return any(number is not None and number != wanted for number in before)


def scaled(deployment: Deployment, history: History) -> Sizes:
    """The sizes for the number of pods that is wanted now, without any progress of an update.

    One that has pods alone, or else the newest, gets all of them. In the middle of an update what is to come or go is
    shared out in proportion, the rest to the largest.
    """
    allowed = limits(deployment)
    active = history.active
    if len(active) <= 1:
        only = active[0] if active else history.new or (history.old[-1] if history.old else None)
        return {} if only is None else {only.metadata.uid: allowed.wanted}
    if history.new is not None and _is_saturated(history.new, allowed.wanted):
        return {each.metadata.uid: 0 for each in history.old if wanted_replicas(each) > 0}
    return _shared_out(deployment, active, allowed) if is_rolling(deployment) else {}


def _is_saturated(new: ReplicaSet, wanted: int) -> bool:
    """Whether the new ReplicaSet has all the pods of the Deployment, and they serve."""
    desired = marks.number(new.metadata, marks.DESIRED)
    return wanted_replicas(new) == desired == new.status.availableReplicas == wanted


def _shared_out(deployment: Deployment, active: tuple[ReplicaSet, ...], allowed: Limits) -> Sizes:
    room = allowed.most if allowed.wanted > 0 else 0
    missing = room - sum(map(wanted_replicas, active))
    # The largest first; of equal ones the newest where pods come, the oldest where they go.
    ordered = sorted(active, key=age, reverse=missing > 0)
    ordered.sort(key=wanted_replicas, reverse=True)
    sizes, left = {}, missing
    for each in ordered:
        share = _share(deployment, each, allowed)
        share = max(min(share, left), 0) if missing > 0 else min(max(share, left), 0)
        sizes[each.metadata.uid] = wanted_replicas(each) + share
        left -= share
    first = ordered[0].metadata.uid
    sizes[first] = max(sizes[first] + left, 0)
    return sizes


def _share(deployment: Deployment, replica_set: ReplicaSet, allowed: Limits) -> int:
    """By how much the ReplicaSet would grow with the Deployment, or shrink if it is negative."""
    size = wanted_replicas(replica_set)
    if allowed.wanted == 0:
        return -size
    before = marks.number(replica_set.metadata, marks.MOST) or deployment.status.replicas
    return math.floor(size * allowed.most / before + 0.5) - size if before > 0 else 0
