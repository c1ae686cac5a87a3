"""What a StatefulSet's pods want: which to make, which to delete, and what its status is.

Upstream: pkg/controller/statefulset/stateful_set_control.go (updateStatefulSet).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from msgspec.structs import replace

from fairlead.objects.apps_v1 import StatefulSet, StatefulSetStatus
from fairlead.objects.core_v1 import Pod, PodTemplateSpec
from fairlead.objects.scalars import IntOrString
from fairlead.workloads.podstate import available_in, is_ready
from fairlead.workloads.statefulset import identity

ENDED = ("Succeeded", "Failed")


@dataclass(frozen=True)
class Revision:
    """A revision of the set: its name, and the template that it keeps."""

    name: str
    template: PodTemplateSpec


@dataclass(frozen=True)
class Plan:
    """The next step. Pods are in the order in which they are to be made or deleted."""

    status: StatefulSetStatus
    create: tuple[Pod, ...] = ()
    replace: tuple[Pod, ...] = ()
    """Ended pods: deleted, so that the next step makes them anew."""
    delete: tuple[Pod, ...] = ()
    living: tuple[Pod, ...] = ()
    """The pods that the set keeps and those that it makes: their claims have to be there."""
    condemned: tuple[Pod, ...] = ()
    """Those for which the set is too small now."""
    again: float | None = None
    """Seconds until a pod is available by the passing of time."""


def plan(
    stateful_set: StatefulSet, current: Revision, update: Revision, pods: Iterable[Pod], now: float
) -> Plan:
    """The next step of a set with these pods, all its own. `now` in s since 1970. Cost: the pods and replicas.

    With OrderedReady pods are made from the first place on, each when those before it are available, and deleted from
    the last; with Parallel all at once. Updates go from the last place down to the partition, as far as
    maxUnavailable allows.
    """
    return _Step(stateful_set, current, update, tuple(pods), now).plan()


def complete(stateful_set: StatefulSet, status: StatefulSetStatus) -> StatefulSetStatus:
    """The status; its current revision is the new one once the update is over. Upstream: completeRollingUpdate."""
    spec = stateful_set.spec
    wanted = spec.replicas or 0
    if spec.updateStrategy.type == "RollingUpdate" and (
        status.updatedReplicas == status.readyReplicas == status.replicas == wanted
    ):
        return replace(status, currentReplicas=status.updatedReplicas, currentRevision=status.updateRevision)
    return status


def most_unavailable(value: IntOrString | None, replicas: int) -> int:
    """`maxUnavailable` as a number of pods: a share is rounded up, one at least (getStatefulSetMaxUnavailable)."""
    if value is None:
        return 1
    if isinstance(value, int):
        return max(value, 1)
    return max(math.ceil(int(value.removesuffix("%")) * replicas / 100), 1)


@dataclass
class _Step:
    set: StatefulSet
    current: Revision
    update: Revision
    pods: tuple[Pod, ...]
    now: float
    create: list[Pod] = field(default_factory=list)
    replaced: list[Pod] = field(default_factory=list)
    deleted: list[Pod] = field(default_factory=list)

    def plan(self) -> Plan:
        spec = self.set.spec
        first, count = identity.start(self.set), spec.replicas or 0
        there = {identity.ordinal(pod): pod for pod in self.pods}
        places = range(first, first + count)
        kept = [there.get(place) for place in places]
        condemned = [
            there[place] for place in sorted(there, reverse=True) if place not in places and place >= 0
        ]
        status = self._status()
        if self.set.metadata.deletionTimestamp is not None:
            return Plan(status, again=self._again())
        self._step(kept, places, condemned)
        updated = {pod.metadata.name for pod in self.deleted} - {pod.metadata.name for pod in condemned}
        if updated:
            gone = sum(
                pod.metadata.name in updated and identity.revision(pod) == self.current.name
                for pod in self.pods
            )
            status = replace(status, currentReplicas=status.currentReplicas - gone)
        return Plan(
            status=status,
            create=tuple(self.create),
            replace=tuple(self.replaced),
            delete=tuple(self.deleted),
            living=(*(pod for pod in kept if pod is not None), *self.create),
            condemned=tuple(condemned),
            again=self._again(),
        )

    def _step(self, kept: list[Pod | None], places: range, condemned: list[Pod]) -> None:
        ordered = self.set.spec.podManagementPolicy != "Parallel"
        for place, pod in zip(places, kept, strict=True):
            if self._raise(place, pod) and ordered:
                return
        unavailable = next(
            (p for p in (*kept, *reversed(condemned)) if p is not None and self._lacks(p)), None
        )
        for pod in condemned:
            if pod.metadata.deletionTimestamp is not None:
                if ordered:
                    return
                continue
            # One that has ended is not waited for: it never serves again (upstream waits).
            if ordered and self._lacks(pod) and pod is not unavailable and pod.status.phase not in ENDED:
                return
            self.deleted.append(pod)
            if ordered:
                return
        if self.set.spec.updateStrategy.type != "OnDelete":
            self._roll(kept)

    def _raise(self, place: int, pod: Pod | None) -> bool:
        """Sees to one pod that has to be; whether those after it have to wait for it."""
        if pod is None:
            self.create.append(self._made(place))
            return True
        if pod.status.phase in ENDED:
            if pod.metadata.deletionTimestamp is None:
                self.replaced.append(pod)
            return True
        return self._lacks(pod)

    def _made(self, place: int) -> Pod:
        """The pod at a place that is empty: of the old revision below the partition of an update, else of the new one.

        Upstream: newVersionedStatefulSetPod.
        """
        strategy, first = self.set.spec.updateStrategy, identity.start(self.set)
        keeps = 0
        if strategy.type == "RollingUpdate":
            rolling = strategy.rollingUpdate
            keeps = rolling.partition or 0 if rolling is not None else self.set.status.currentReplicas
        of = self.current if place < first + keeps else self.update
        return identity.pod_of(self.set, of.template, of.name, place)

    def _roll(self, kept: list[Pod | None]) -> None:
        """Deletes pods of another revision than the new one, from the last place down to the partition.

        Never so many that fewer are available than may be; a pod that is not available anyway costs nothing of that.
        """
        rolling = self.set.spec.updateStrategy.rollingUpdate
        partition = (rolling.partition or 0) if rolling is not None else 0
        most = most_unavailable(rolling.maxUnavailable if rolling is not None else None, len(kept))
        lacking = sum(pod is None or self._lacks(pod) for pod in kept)
        old = [pod for pod in kept[partition:] if pod is not None and self._is_old(pod)]
        # the places that are down and stay so, whatever is deleted
        left = most - (lacking - sum(self._lacks(pod) for pod in old))
        for pod in reversed(old):
            if left <= 0:
                return
            if self._lacks(pod):
                left -= 1
            elif lacking < most:
                lacking += 1
                left -= 1
            else:
                continue
            self.deleted.append(pod)

    def _is_old(self, pod: Pod) -> bool:
        return (
            identity.revision(pod) != self.update.name
            and pod.metadata.deletionTimestamp is None
            and pod.status.phase not in ENDED
        )

    def _lacks(self, pod: Pod) -> bool:
        """Whether the pod does not serve: it is not available, or goes."""
        return pod.metadata.deletionTimestamp is not None or not self._is_available(pod)

    def _is_available(self, pod: Pod) -> bool:
        return available_in(pod, self.set.spec.minReadySeconds, self.now) == 0

    def _again(self) -> float | None:
        waits = (available_in(pod, self.set.spec.minReadySeconds, self.now) for pod in self.pods)
        return min((wait for wait in waits if wait), default=None)

    def _status(self) -> StatefulSetStatus:
        """What is, as the pods say it. Upstream: computeReplicaStatus."""
        ready = [pod for pod in self.pods if pod.status.phase == "Running" and is_ready(pod)]
        staying = [identity.revision(pod) for pod in self.pods if pod.metadata.deletionTimestamp is None]
        old = self.set.status
        return StatefulSetStatus(
            observedGeneration=self.set.metadata.generation,
            replicas=len(self.pods),
            readyReplicas=len(ready),
            availableReplicas=sum(self._is_available(pod) for pod in ready),
            currentReplicas=staying.count(self.current.name),
            updatedReplicas=staying.count(self.update.name),
            currentRevision=self.current.name,
            updateRevision=self.update.name,
            collisionCount=old.collisionCount or 0,
            conditions=old.conditions,
        )
