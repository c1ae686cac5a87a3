"""The controllers of ReplicaSets and ReplicationControllers: as many pods as are wanted."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

from msgspec import convert
from msgspec.structs import replace

from fairlead.client.informer import Informer
from fairlead.client.queue import WorkQueue
from fairlead.client.writer import is_terminating as namespace_goes
from fairlead.objects import codec, labels
from fairlead.objects.apps_v1 import ReplicaSet, ReplicaSetSpec, ReplicaSetStatus
from fairlead.objects.core_v1 import Pod, PodTemplateSpec, ReplicationController, ReplicationControllerStatus
from fairlead.objects.resources import PODS, REPLICASETS, REPLICATIONCONTROLLERS, Resource
from fairlead.objects.status import StatusError
from fairlead.workloads import replicas
from fairlead.workloads.batches import at_once, slow_start
from fairlead.workloads.claiming import Claimer, controller_of
from fairlead.workloads.cluster import dependents, owned
from fairlead.workloads.context import Context
from fairlead.workloads.expectations import Expectations
from fairlead.workloads.following import follow_dependents, follow_owners
from fairlead.workloads.podcontrol import PodControl, pod_from
from fairlead.workloads.podstate import available_in, is_active, is_terminating

T = TypeVar("T", bound=ReplicaSet | ReplicationController)

LOOK_AGAIN = 5.0
"""Seconds after which an owner is looked at again though the informer shows nothing of what was written for it."""


class _Controller(Generic[T]):
    """What both controllers do. `T` is read as a ReplicaSet, and written as what it is."""

    def __init__(self, context: Context, resource: Resource[T], workers: int) -> None:
        self.queue: WorkQueue[str] = WorkQueue(resource.kind.lower())
        self.workers = workers
        self.owners: Informer[T] = context.cluster.informer(resource)
        self.pods: Informer[Pod] = context.cluster.informer(PODS)
        self._resource: Resource[T] = resource
        self._writer = context.writer
        self._control = PodControl(context.writer, context.recorder)
        self._claimer = Claimer(context.writer, resource, PODS)
        self._expected = Expectations(self.pods)
        self._written = Expectations(self.owners)
        follow_owners(self.queue, self.owners)
        follow_dependents(self.queue, self.owners, self.pods, self.selector, replicas.concerns)

    def selector(self, owner: T) -> labels.Selector:
        """Which pods are the owner's."""
        raise NotImplementedError

    def view(self, owner: T) -> ReplicaSet:
        """The owner as a ReplicaSet."""
        raise NotImplementedError

    def with_status(self, owner: T, status: ReplicaSetStatus) -> T:
        """The owner with this status."""
        raise NotImplementedError

    def related(self, owner: T) -> Iterable[Pod]:
        """The pods of all owners that stand for the same workload; none if it stands alone."""
        return ()

    async def sync(self, key: str) -> None:
        """Makes the pods of one owner as many as are wanted, and says so in its status.

        Cost: its pods, and those of its namespace that are nobody's and have one of its labels. Pods that have ended
        are left as they are.
        """
        owner = self.owners.items.get(key)
        if owner is None:
            self._expected.forget(key)
            self._written.forget(key)
            return
        if not (self._expected.satisfied(key) and self._written.satisfied(key)):
            self.queue.add_after(key, LOOK_AGAIN)  # sooner, when the informer shows it
            return
        selector = self.selector(owner)
        pods = await self._claimer.take(
            owner, selector, filter(is_active, dependents(self.pods, owner.metadata, selector))
        )
        pods += tuple(
            pod
            for pod in owned(self.pods, owner.metadata)
            if is_terminating(pod) and selector.matches(pod.metadata.labels)
        )
        failure: BaseException | None = None
        if owner.metadata.deletionTimestamp is None:
            try:
                await self._manage(key, owner, pods)
            except (StatusError, ValueError) as error:
                failure = error
        await self._tell(key, owner, pods, failure)
        if failure is not None:
            raise failure
        self._wait_for_availability(key, owner, pods)

    async def _manage(self, key: str, owner: T, pods: Sequence[Pod]) -> None:
        wanted = replicas.wanted_replicas(self.view(owner))
        plan = replicas.plan(wanted, pods, self.related(owner), time.time())

        async def create(pod: Pod) -> None:
            try:
                self._expected.created(key, await self._control.create(owner, pod))
            except StatusError as error:
                if not namespace_goes(error):
                    raise

        async def delete(pod: Pod) -> None:
            await self._control.delete(owner, pod)
            self._expected.deleted(key, pod)

        if plan.create:
            await slow_start([pod_from(self.view(owner).spec.template, owner)] * plan.create, create)
        await at_once(plan.delete, delete)

    async def _tell(self, key: str, owner: T, pods: Sequence[Pod], failure: BaseException | None) -> None:
        """Writes the status if it says something new."""
        said = None if failure is None else str(failure)
        status = replicas.status(self.view(owner), pods, said, time.time())
        told = self.with_status(owner, status)
        if told != owner:
            written: T = await self._writer.replace(self._resource, told, "status")
            self._written.created(key, written)

    def _wait_for_availability(self, key: str, owner: T, pods: Iterable[Pod]) -> None:
        """Looks again when the next ready pod becomes available."""
        seconds, now = self.view(owner).spec.minReadySeconds, time.time()
        if seconds:
            waits = [wait for pod in pods if (wait := available_in(pod, seconds, now)) and is_active(pod)]
            if waits:
                self.queue.add_after(key, min(waits))


class ReplicaSetController(_Controller[ReplicaSet]):
    """ReplicaSets."""

    def __init__(self, context: Context) -> None:
        super().__init__(context, REPLICASETS, context.config.concurrent_replicaset_syncs)

    def selector(self, owner: ReplicaSet) -> labels.Selector:
        """Which pods are the owner's."""
        return labels.from_selector(owner.spec.selector)

    def view(self, owner: ReplicaSet) -> ReplicaSet:
        """The owner itself."""
        return owner

    def with_status(self, owner: ReplicaSet, status: ReplicaSetStatus) -> ReplicaSet:
        """The owner with this status."""
        return replace(owner, status=status)

    def related(self, owner: ReplicaSet) -> Iterable[Pod]:
        """The pods of all ReplicaSets of the same Deployment (upstream: getIndirectlyRelatedPods)."""
        deployment = controller_of(owner)
        if deployment is None:
            return
        for sibling in self.owners.by_index("controller", deployment.uid):
            yield from owned(self.pods, sibling.metadata)


class ReplicationControllerController(_Controller[ReplicationController]):
    """ReplicationControllers. Upstream: pkg/controller/replication."""

    def __init__(self, context: Context) -> None:
        super().__init__(context, REPLICATIONCONTROLLERS, context.config.concurrent_rc_syncs)

    def selector(self, owner: ReplicationController) -> labels.Selector:
        """Which pods are the owner's."""
        return labels.from_map(owner.spec.selector) if owner.spec.selector else labels.NOTHING

    def view(self, owner: ReplicationController) -> ReplicaSet:
        """The owner as a ReplicaSet; its selector is not needed any more."""
        spec = owner.spec
        return ReplicaSet(
            metadata=owner.metadata,
            spec=ReplicaSetSpec(
                replicas=spec.replicas,
                minReadySeconds=spec.minReadySeconds,
                template=spec.template or PodTemplateSpec(),
            ),
            status=convert(codec.plain(owner.status), ReplicaSetStatus),
        )

    def with_status(self, owner: ReplicationController, status: ReplicaSetStatus) -> ReplicationController:
        """The owner with this status."""
        told = convert(codec.plain(replicas.without_terminating(status)), ReplicationControllerStatus)
        return replace(owner, status=told)
