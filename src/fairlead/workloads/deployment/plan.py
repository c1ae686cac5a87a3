"""What a Deployment's controller has to do next.

Upstream: syncDeployment in pkg/controller/deployment/deployment_controller.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from msgspec.structs import replace

from fairlead.objects.apps_v1 import Deployment, ReplicaSet
from fairlead.workloads.deployment import marks, rollout, scaling
from fairlead.workloads.deployment.history import History, history, made, superfluous
from fairlead.workloads.deployment.limits import is_rolling, limits
from fairlead.workloads.deployment.scaling import Sizes
from fairlead.workloads.deployment.status import is_complete
from fairlead.workloads.replicas import wanted_replicas


@dataclass(frozen=True)
class Update:
    """A ReplicaSet to be written, and the number of pods it had."""

    replica_set: ReplicaSet
    before: int

    @property
    def said(self) -> str:
        """The sentence of the Event; empty if the number stays as it is."""
        size, name = wanted_replicas(self.replica_set), self.replica_set.metadata.name
        if size == self.before:
            return ""
        direction = "up" if size > self.before else "down"
        return f"Scaled {direction} replica set {name} from {self.before} to {size}"


@dataclass(frozen=True)
class Plan:
    """The next writes, in this order. `history` is what the status is of, `revision` the Deployment's; 0 if unknown."""

    history: History
    create: ReplicaSet | None = None
    updates: tuple[Update, ...] = ()
    delete: tuple[ReplicaSet, ...] = ()
    revision: int = 0
    rolls: bool = True
    """Whether an update may be going on, whose progress is to be told: not while it is paused or being scaled."""


def plan(deployment: Deployment, replica_sets: Iterable[ReplicaSet], old_pods: bool) -> Plan:
    """The next step for the Deployment with these ReplicaSets, all of them its own.

    `old_pods` says whether a pod of an old ReplicaSet still runs. Cost: n log n of the ReplicaSets.
    """
    found = history(deployment, replica_sets)
    if deployment.metadata.deletionTimestamp is not None:
        return Plan(found, rolls=False)
    paused = deployment.spec.paused
    if paused or scaling.is_scaled(deployment, found):
        return _step(
            deployment,
            found,
            scaling.scaled(deployment, found),
            rolls=False,
            delete=superfluous(deployment, found.old) if paused else (),
        )
    if is_rolling(deployment):
        return _step(deployment, found, rollout.rolled(deployment, found), create=True)
    sizes = rollout.emptied(found)
    if sizes or old_pods or any(each.status.replicas for each in found.old):
        return _step(deployment, found, sizes)
    if found.new is not None:
        sizes = {found.new.metadata.uid: limits(deployment).wanted}
    return _step(deployment, found, sizes, create=True)


def _step(
    deployment: Deployment,
    found: History,
    sizes: Sizes,
    *,
    create: bool = False,
    rolls: bool = True,
    delete: tuple[ReplicaSet, ...] = (),
) -> Plan:
    """The plan that leads to these sizes; old revisions go when an update is over."""
    revision = found.next_revision
    fresh = None
    if found.new is not None:
        revision = max(revision, marks.revision(found.new))
    elif create:
        fresh = made(deployment, revision, rollout.first_size(deployment, found))
    else:
        revision = 0
    written = ((each, _written(deployment, found, each, revision, sizes)) for each in found.all)
    updates = tuple(Update(new, wanted_replicas(old)) for old, new in written if new != old)
    if rolls and not any(update.said for update in updates) and is_complete(deployment, found):
        delete = superfluous(deployment, found.old)
    return Plan(found, fresh, updates, delete, revision, rolls)


def _written(
    deployment: Deployment, found: History, replica_set: ReplicaSet, revision: int, sizes: Sizes
) -> ReplicaSet:
    """The ReplicaSet with its new size, and the new one with what is the Deployment's."""
    spec, notes = replica_set.spec, replica_set.metadata.annotations
    if replica_set is found.new:
        notes = marks.of_newest(deployment, notes, revision)
        spec = replace(spec, minReadySeconds=deployment.spec.minReadySeconds)
    size = sizes.get(replica_set.metadata.uid)
    if size is not None:
        allowed = limits(deployment)
        notes = marks.sized(notes, allowed.wanted, allowed.most)
        spec = replace(spec, replicas=size)
    return replace(replica_set, metadata=replace(replica_set.metadata, annotations=notes), spec=spec)
