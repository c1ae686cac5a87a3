"""The DaemonSet controller: it does the next step of a set's plan, and looks again when pods or nodes have changed.

Upstream: pkg/controller/daemon.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from msgspec.structs import replace

from fairlead.client.informer import Change, key_of
from fairlead.client.queue import WorkQueue
from fairlead.client.writer import is_terminating
from fairlead.objects.apps_v1 import ControllerRevision, DaemonSet, DaemonSetStatus
from fairlead.objects.core_v1 import Node, Pod
from fairlead.objects.labels import NOTHING, Selector
from fairlead.objects.resources import CONTROLLERREVISIONS, DAEMONSETS, NODES, PODS
from fairlead.objects.status import StatusError
from fairlead.objects.templates import readable
from fairlead.workloads import revisions, templates
from fairlead.workloads.batches import MOST, at_once, slow_start
from fairlead.workloads.claiming import Claimer
from fairlead.workloads.cluster import dependents
from fairlead.workloads.context import Context
from fairlead.workloads.daemonset.backoff import FailedPods
from fairlead.workloads.daemonset.eligibility import eligibility
from fairlead.workloads.daemonset.plan import Plan, plan
from fairlead.workloads.daemonset.pods import pod_for
from fairlead.workloads.expectations import Expectations
from fairlead.workloads.following import follow_dependents, follow_owners
from fairlead.workloads.podcontrol import PodControl


class DaemonSetController:
    """Sets by key. One look at a set costs the nodes, and its pods and revisions."""

    def __init__(self, context: Context) -> None:
        cluster = context.cluster
        self.queue: WorkQueue[str] = WorkQueue("daemonset")
        self.workers = context.config.concurrent_daemonset_syncs
        self._writer, self._recorder = context.writer, context.recorder
        self._sets = cluster.informer(DAEMONSETS)
        self._pods = cluster.informer(PODS)
        self._nodes = cluster.informer(NODES)
        self._revisions = cluster.informer(CONTROLLERREVISIONS)
        self._claim_pods = Claimer(context.writer, DAEMONSETS, PODS)
        self._claim_revisions = Claimer(context.writer, DAEMONSETS, CONTROLLERREVISIONS)
        self._control = PodControl(context.writer, context.recorder)
        self._expected = Expectations(self._pods)
        self._failed = FailedPods()
        follow_owners(self.queue, self._sets)
        follow_dependents(self.queue, self._sets, self._pods, _selector)
        follow_dependents(self.queue, self._sets, self._revisions, _selector)
        self._nodes.subscribe(self._on_node)

    async def sync(self, key: str) -> None:
        """Does the next step of one set, and writes its status."""
        daemon_set = self._sets.items.get(key)
        if daemon_set is None:
            self._expected.forget(key)
            self._failed.forget(key)
            return
        if not self._expected.satisfied(key):
            return  # what is missing will be told, and is a reason to look again
        selector = _selector(daemon_set)
        meta = daemon_set.metadata
        history = await self._claim_revisions.take(
            daemon_set, selector, dependents(self._revisions, meta, selector)
        )
        pods = await self._claim_pods.take(daemon_set, selector, dependents(self._pods, meta, selector))
        newest, collisions = await templates.newest(self._writer, daemon_set, history)
        hash = newest.metadata.labels.get(revisions.DAEMON_HASH, "")
        found = plan(
            daemon_set,
            hash,
            self._nodes.items.values(),
            pods,
            time.time(),
            lambda node: self._failed.wait(key, node, time.monotonic()),
        )
        try:
            await self._carry_out(key, daemon_set, hash, found)
        finally:
            await self._write_status(daemon_set, found.status, collisions)
        await self._truncate(daemon_set, history, newest, pods)
        if found.again is not None:
            self.queue.add_after(key, found.again)

    async def _carry_out(self, key: str, daemon_set: DaemonSet, hash: str, found: Plan) -> None:
        async def make(node: str) -> None:
            try:
                made = await self._control.create(daemon_set, pod_for(daemon_set, node, hash))
            except StatusError as error:
                if not is_terminating(error):
                    raise
            else:
                self._expected.created(key, made)

        async def delete(pod: Pod) -> None:
            await self._control.delete(daemon_set, pod)
            self._expected.deleted(key, pod)

        for pod in found.ended:
            self._tell_ended(key, daemon_set, pod)
        await slow_start(found.create[:MOST], make)
        await at_once((*found.ended, *found.delete)[:MOST], delete)

    def _tell_ended(self, key: str, daemon_set: DaemonSet, pod: Pod) -> None:
        node, name = pod.spec.nodeName, key_of(pod)
        if pod.status.phase == "Failed":
            self._failed.deleted(key, node, time.monotonic())
            text = f"Found failed daemon pod {name} on node {node}, will try to kill it"
            self._recorder.event(daemon_set, "Warning", "FailedDaemonPod", text)
        else:
            text = f"Found succeeded daemon pod {name} on node {node}, will try to delete it"
            self._recorder.event(daemon_set, "Normal", "SucceededDaemonPod", text)

    async def _write_status(self, daemon_set: DaemonSet, status: DaemonSetStatus, collisions: int) -> None:
        if collisions:
            status = replace(status, collisionCount=collisions)
        if status != daemon_set.status:
            await self._writer.replace(DAEMONSETS, replace(daemon_set, status=status), "status")

    async def _truncate(
        self,
        daemon_set: DaemonSet,
        history: Iterable[ControllerRevision],
        newest: ControllerRevision,
        pods: Iterable[Pod],
    ) -> None:
        """Deletes the oldest revisions that neither the set nor a pod uses, beyond the limit."""
        limit = daemon_set.spec.revisionHistoryLimit
        hashes = {pod.metadata.labels.get(revisions.DAEMON_HASH) for pod in pods}
        live = {
            each.metadata.name
            for each in history
            if each.metadata.labels.get(revisions.DAEMON_HASH) in hashes
        }
        for old in revisions.superfluous(
            history, live | {newest.metadata.name}, 10 if limit is None else limit
        ):
            await self._writer.delete(CONTROLLERREVISIONS, old)

    def _on_node(self, change: Change[Node]) -> None:
        """Queues the sets for which the node is another than before. Cost: the sets."""
        old, new = change.old, change.new
        if old is not None and new is not None and _decides(old) == _decides(new):
            return
        for key, daemon_set in self._sets.items.items():
            before = eligibility(daemon_set, old) if old is not None else None
            after = eligibility(daemon_set, new) if new is not None else None
            if before != after:
                self.queue.add(key)


def _decides(node: Node) -> tuple[object, ...]:
    """All of a node that decides which pods it is eligible for; its heartbeats do not."""
    return node.metadata.labels, node.spec.taints


def _selector(daemon_set: DaemonSet) -> Selector:
    return readable(daemon_set.spec.selector) or NOTHING
