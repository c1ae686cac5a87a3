"""The StatefulSet controller: it does the next step of a set's plan, and looks again when its pods have changed.

Upstream: pkg/controller/statefulset.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from msgspec.structs import replace

from fairlead.client.informer import Change, key_of
from fairlead.client.queue import WorkQueue
from fairlead.objects.apps_v1 import ControllerRevision, StatefulSet, StatefulSetStatus
from fairlead.objects.core_v1 import PersistentVolumeClaim, Pod
from fairlead.objects.labels import NOTHING, Selector
from fairlead.objects.resources import CONTROLLERREVISIONS, PERSISTENTVOLUMECLAIMS, PODS, STATEFULSETS
from fairlead.objects.templates import readable
from fairlead.workloads import revisions, templates
from fairlead.workloads.batches import slow_start
from fairlead.workloads.claiming import Claimer
from fairlead.workloads.cluster import NAMESPACE, dependents
from fairlead.workloads.context import Context
from fairlead.workloads.expectations import Expectations
from fairlead.workloads.following import follow_dependents, follow_owners
from fairlead.workloads.statefulset import identity, retention
from fairlead.workloads.statefulset.plan import Plan, Revision, complete, plan
from fairlead.workloads.statefulset.writes import StatefulWrites


class StatefulSetController:
    """Sets by key. One look at a set costs its pods, revisions and claims."""

    def __init__(self, context: Context) -> None:
        cluster = context.cluster
        self.queue: WorkQueue[str] = WorkQueue("statefulset")
        self.workers = context.config.concurrent_statefulset_syncs
        self._writer = context.writer
        self._sets = cluster.informer(STATEFULSETS)
        self._pods = cluster.informer(PODS)
        self._claims = cluster.informer(PERSISTENTVOLUMECLAIMS)
        self._revisions = cluster.informer(CONTROLLERREVISIONS)
        self._claim_pods = Claimer(context.writer, STATEFULSETS, PODS)
        self._claim_revisions = Claimer(context.writer, STATEFULSETS, CONTROLLERREVISIONS)
        self._writes = StatefulWrites(context.writer, context.recorder)
        self._expected = Expectations(self._pods)
        follow_owners(self.queue, self._sets)
        follow_dependents(self.queue, self._sets, self._pods, _selector)
        follow_dependents(self.queue, self._sets, self._revisions, _selector)
        self._claims.subscribe(self._on_claim)

    async def sync(self, key: str) -> None:
        """Does the next step of one set, and writes its status."""
        stateful_set = self._sets.items.get(key)
        if stateful_set is None:
            self._expected.forget(key)
            return
        if not self._expected.satisfied(key):
            return  # what is missing will be told, and is a reason to look again
        selector = _selector(stateful_set)
        history = await self._claim_revisions.take(
            stateful_set, selector, dependents(self._revisions, stateful_set.metadata, selector)
        )
        pods = await self._claim_pods.take(
            stateful_set,
            selector,
            [
                pod
                for pod in dependents(self._pods, stateful_set.metadata, selector)
                if identity.is_member(stateful_set, pod)
            ],
        )
        update, collisions = await templates.newest(self._writer, stateful_set, history)
        current = _current(stateful_set, history, update)
        found = plan(stateful_set, _read(current), _read(update), pods, time.time())
        try:
            await self._carry_out(key, stateful_set, found)
        finally:
            await self._write_status(stateful_set, replace(found.status, collisionCount=collisions))
        await self._truncate(stateful_set, history, pods, {current.metadata.name, update.metadata.name})
        if found.again is not None:
            self.queue.add_after(key, found.again)

    async def _carry_out(self, key: str, stateful_set: StatefulSet, found: Plan) -> None:
        if stateful_set.metadata.deletionTimestamp is not None:
            return
        condemned = {pod.metadata.name for pod in found.condemned}
        fresh = {pod.metadata.name for pod in found.create}
        for pod in (*found.living, *found.condemned):
            if pod.metadata.name not in fresh:
                await self._see_to(stateful_set, pod, condemned=pod.metadata.name in condemned)

        async def make(pod: Pod) -> None:
            if await self._prepare_claims(stateful_set, pod):
                made = await self._writes.create_pod(stateful_set, pod)
                if made is not None:
                    self._expected.created(key, made)

        await slow_start(found.create, make)
        for pod in found.replace:
            await self._writes.replace_ended(stateful_set, pod)
            self._expected.deleted(key, pod)
        for pod in found.delete:
            await self._writes.delete_pod(stateful_set, pod)
            self._expected.deleted(key, pod)

    async def _see_to(self, stateful_set: StatefulSet, pod: Pod, *, condemned: bool) -> None:
        """Brings a pod's labels and the owners of its claims up to date; a pod that waits may lack a claim."""
        if pod.status.phase == "Pending" and not condemned:
            await self._prepare_claims(stateful_set, pod)
        for claim in self._claims_there(stateful_set, pod):
            wanted = retention.owned(stateful_set, pod, claim, condemned=condemned)
            if wanted is not claim and claim.metadata.deletionTimestamp is None:
                await self._writes.update_claim(wanted)
        named = identity.identified(stateful_set, pod)
        if named is not pod:
            await self._writes.update_pod(named)

    async def _prepare_claims(self, stateful_set: StatefulSet, pod: Pod) -> bool:
        """Makes the claims that are missing; False if one is about to go with a pod that was before."""
        there = {claim.metadata.name: claim for claim in self._claims_there(stateful_set, pod)}
        uid = pod if pod.metadata.uid else None
        if any(retention.is_stale(claim, uid) for claim in there.values()):
            return False
        for claim in identity.claims_of(stateful_set, identity.ordinal(pod)):
            if claim.metadata.name not in there:
                owned = retention.owned(stateful_set, None, claim, condemned=False)
                await self._writes.create_claim(stateful_set, pod, owned)
        return True

    def _claims_there(self, stateful_set: StatefulSet, pod: Pod) -> Iterable[PersistentVolumeClaim]:
        for claim in identity.claims_of(stateful_set, identity.ordinal(pod)):
            found = self._claims.items.get(key_of(claim))
            if found is not None:
                yield found

    async def _write_status(self, stateful_set: StatefulSet, status: StatefulSetStatus) -> None:
        status = complete(stateful_set, status)
        if status != stateful_set.status:
            await self._writer.replace(STATEFULSETS, replace(stateful_set, status=status), "status")

    async def _truncate(
        self,
        stateful_set: StatefulSet,
        history: Iterable[ControllerRevision],
        pods: Iterable[Pod],
        used: set[str],
    ) -> None:
        """Deletes the oldest revisions that neither the set nor a pod uses, beyond the limit."""
        limit = stateful_set.spec.revisionHistoryLimit
        live = used | {identity.revision(pod) for pod in pods}
        for old in revisions.superfluous(history, live, 10 if limit is None else limit):
            await self._writer.delete(CONTROLLERREVISIONS, old)

    def _on_claim(self, change: Change[PersistentVolumeClaim]) -> None:
        """A claim that is gone may be what a pod waits for."""
        if change.new is not None or change.old is None:
            return
        meta = change.old.metadata
        rest, _ = identity.split(meta.name)
        for stateful_set in self._sets.by_index(NAMESPACE, meta.namespace):
            if rest.endswith(f"-{stateful_set.metadata.name}"):
                self.queue.add(key_of(stateful_set))


def _selector(stateful_set: StatefulSet) -> Selector:
    return readable(stateful_set.spec.selector) or NOTHING


def _current(
    stateful_set: StatefulSet, history: Iterable[ControllerRevision], update: ControllerRevision
) -> ControllerRevision:
    """The revision that the status names, or the new one if it names none that there is."""
    name = stateful_set.status.currentRevision
    return next((each for each in history if each.metadata.name == name), update)


def _read(revision: ControllerRevision) -> Revision:
    return Revision(revision.metadata.name, templates.template_of(revision))
