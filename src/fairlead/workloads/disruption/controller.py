"""The disruption controller: it keeps the status of budgets true, by which the server decides on evictions.

Upstream: pkg/controller/disruption.
"""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import Any

from msgspec.structs import replace

from fairlead.client.informer import Change, key_of
from fairlead.client.queue import WorkQueue
from fairlead.objects.core_v1 import Pod
from fairlead.objects.policy_v1 import PodDisruptionBudget, PodDisruptionBudgetStatus
from fairlead.objects.resources import PODDISRUPTIONBUDGETS, PODS
from fairlead.objects.status import StatusError
from fairlead.objects.templates import readable
from fairlead.workloads.cluster import NAMESPACE
from fairlead.workloads.context import Context
from fairlead.workloads.disruption import plan
from fairlead.workloads.disruption.scales import Scales

_POD = "pod "
"""What keys of pods begin with, in the one queue; no budget's key has a space."""


class DisruptionController:
    """Budgets by key. One look at a budget costs the pods of its namespace."""

    def __init__(self, context: Context) -> None:
        cluster = context.cluster
        self.queue: WorkQueue[str] = WorkQueue("disruption")
        self.workers = 1
        self._writer, self._recorder = context.writer, context.recorder
        self._budgets = cluster.informer(PODDISRUPTIONBUDGETS)
        self._pods = cluster.informer(PODS)
        self._scales = Scales(context.writer.api, cluster)
        self._budgets.subscribe(lambda change: self.queue.add(change.key))
        self._pods.subscribe(self._on_pod)
        for informer in self._scales.informers:
            informer.subscribe(self._on_scaled)

    async def sync(self, key: str) -> None:
        """Writes the status of one budget, or takes back what a pod says of its disruption."""
        if key.startswith(_POD):
            await self._refresh(self._pods.items.get(key.removeprefix(_POD)))
            return
        budget = self._budgets.items.get(key)
        if budget is None:
            return
        try:
            status, again = await self._status(budget)
        except plan.NoScale as error:
            text = f"Failed to calculate the number of expected pods: {error}"
            self._recorder.event(budget, "Warning", "CalculateExpectedPodCountFailed", text)
            status, again = plan.failed(budget, str(error), time.time()), None
        if status != budget.status:
            await self._writer.replace(PODDISRUPTIONBUDGETS, replace(budget, status=status), "status")
        if again is not None:
            self.queue.add_after(key, again)

    async def _status(self, budget: PodDisruptionBudget) -> tuple[PodDisruptionBudgetStatus, float | None]:
        now, namespace = time.time(), budget.metadata.namespace
        matcher = readable(budget.spec.selector)
        pods = [
            pod
            for pod in self._pods.by_index(NAMESPACE, namespace)
            if matcher is not None and matcher.matches(pod.metadata.labels)
        ]
        scales = {}
        if plan.needs_scale(budget):
            scales = await self._scales.of(namespace, plan.controllers(pods).values())
        wanted = plan.expected(budget, pods, scales)
        gone = plan.disrupted(budget, pods, now)
        for pod in gone.late:
            text = f"Pod was expected by PDB {key_of(budget)} to be deleted but it wasn't"
            self._recorder.event(pod, "Warning", "NotDeleted", text)
        status = plan.status(budget, pods, wanted, gone, now)
        if status != budget.status:
            self._tell(budget, pods, wanted)
        return status, gone.again

    def _tell(self, budget: PodDisruptionBudget, pods: list[Pod], wanted: plan.Expected) -> None:
        if not pods:
            self._recorder.event(budget, "Normal", "NoPods", "No matching pods found")
        if wanted.unmanaged:
            text = (
                "Pods selected by this PodDisruptionBudget belong to no controller "
                f"({', '.join(wanted.unmanaged[:10])}), so that their number cannot be known: "
                "give .spec.minAvailable as a number"
            )
            self._recorder.event(budget, "Warning", "UnmanagedPods", text)

    async def _refresh(self, pod: Pod | None) -> None:
        """Takes back that the pod is to be disrupted, if it has not been deleted in time."""
        if pod is None:
            return
        condition, again = plan.stale(pod, time.time())
        if again is not None:
            self.queue.add_after(_POD + key_of(pod), again)
        if condition is None:
            return
        patch = {"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [condition]}}
        try:
            await self._writer.patch(PODS, pod, patch, kind="strategic", subresource="status")
        except StatusError as error:
            if error.code not in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                raise

    def _on_pod(self, change: Change[Pod]) -> None:
        old, new = change.old, change.new
        if old is not None and new is not None and _counts(old) == _counts(new):
            return
        seen = new or old
        if seen is None:
            return
        for budget in self._budgets.by_index(NAMESPACE, seen.metadata.namespace):
            matcher = readable(budget.spec.selector)
            if matcher is not None and any(
                pod is not None and matcher.matches(pod.metadata.labels) for pod in (old, new)
            ):
                self.queue.add(key_of(budget))
        if new is not None and plan.stale(new, time.time()) != (None, None):
            self.queue.add(_POD + change.key)

    def _on_scaled(self, change: Change[Any]) -> None:
        old, new = change.old, change.new
        if old is not None and new is not None and old.spec.replicas == new.spec.replicas:
            return
        for budget in self._budgets.by_index(NAMESPACE, change.key.partition("/")[0]):
            if plan.needs_scale(budget):
                self.queue.add(key_of(budget))


def _counts(pod: Pod) -> tuple[object, ...]:
    """All of a pod by which a budget counts it."""
    return (
        pod.metadata.uid,
        pod.metadata.labels,
        pod.metadata.deletionTimestamp,
        pod.metadata.ownerReferences,
        [(c.type, c.status) for c in pod.status.conditions if c.type in ("Ready", "DisruptionTarget")],
        pod.status.phase,
    )
