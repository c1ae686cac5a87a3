"""The Deployment controller: it does the next step of a Deployment's plan, and looks again when its ReplicaSets change.

Upstream: pkg/controller/deployment.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus

from msgspec.structs import replace

from fairlead.client.informer import Change, Informer, key_of
from fairlead.client.queue import WorkQueue
from fairlead.client.writer import is_terminating
from fairlead.objects.apps_v1 import Deployment, DeploymentStatus, ReplicaSet
from fairlead.objects.core_v1 import Pod
from fairlead.objects.labels import NOTHING, Selector
from fairlead.objects.resources import DEPLOYMENTS, PODS, REPLICASETS
from fairlead.objects.status import StatusError
from fairlead.objects.templates import readable
from fairlead.workloads.claiming import Claimer, controller_of
from fairlead.workloads.cluster import dependents, owned
from fairlead.workloads.context import Context
from fairlead.workloads.deployment import marks, progress
from fairlead.workloads.deployment.history import history, without_hash
from fairlead.workloads.deployment.limits import is_rolling
from fairlead.workloads.deployment.plan import Plan, plan
from fairlead.workloads.deployment.status import counted, with_failures
from fairlead.workloads.expectations import Expectations
from fairlead.workloads.following import follow_dependents, follow_owners
from fairlead.workloads.podstate import is_terminal
from fairlead.workloads.replicas import wanted_replicas

LOOK_AGAIN = 5.0
"""Seconds after which a Deployment is looked at again though the informer shows nothing of what was written for it."""


@dataclass(frozen=True)
class Outcome:
    """What became of the ReplicaSet that was to be made: its name, why there is none, or that its name is taken."""

    created: str = ""
    failure: str = ""
    error: StatusError | None = None
    collides: bool = False


class DeploymentController:
    """Deployments by key. One look at a Deployment costs its ReplicaSets; with Recreate, also its pods."""

    def __init__(self, context: Context) -> None:
        self.queue: WorkQueue[str] = WorkQueue("deployment")
        self.workers = context.config.concurrent_deployment_syncs
        self.deployments: Informer[Deployment] = context.cluster.informer(DEPLOYMENTS)
        self.sets: Informer[ReplicaSet] = context.cluster.informer(REPLICASETS)
        self.pods: Informer[Pod] = context.cluster.informer(PODS)
        self._writer = context.writer
        self._recorder = context.recorder
        self._claimer = Claimer(context.writer, DEPLOYMENTS, REPLICASETS)
        self._expected = Expectations(self.sets)
        self._written = Expectations(self.deployments)
        follow_owners(self.queue, self.deployments)
        follow_dependents(self.queue, self.deployments, self.sets, _selector)
        self.pods.subscribe(self._on_pod)

    async def sync(self, key: str) -> None:
        """Does the next step of one Deployment, and writes its status."""
        deployment = self.deployments.items.get(key)
        if deployment is None:
            self._expected.forget(key)
            self._written.forget(key)
            return
        if not (self._expected.satisfied(key) and self._written.satisfied(key)):
            self.queue.add_after(key, LOOK_AGAIN)  # sooner, when the informer shows it
            return
        selector = _selector(deployment)
        sets = await self._claimer.take(
            deployment, selector, dependents(self.sets, deployment.metadata, selector)
        )
        found = plan(deployment, sets, self._old_pods(deployment, sets))
        outcome = Outcome()
        if found.create is not None:
            outcome = await self._create(key, deployment, found.create)
        try:
            if outcome.error is None and not outcome.collides:
                await self._carry_out(key, deployment, found)
        finally:
            await self._tell(key, deployment, found, outcome)
        if outcome.error is not None:
            raise outcome.error

    def _old_pods(self, deployment: Deployment, sets: Iterable[ReplicaSet]) -> bool:
        """Whether pods of old ReplicaSets run, or are about to end; only Recreate has to know."""
        if is_rolling(deployment):
            return False
        old = history(deployment, sets).old
        return any(not is_terminal(pod) for each in old for pod in owned(self.pods, each.metadata))

    async def _create(self, key: str, deployment: Deployment, wanted: ReplicaSet) -> Outcome:
        """Makes the new ReplicaSet. Raises StatusError where the namespace is going away."""
        try:
            made = await self._writer.create(REPLICASETS, wanted)
        except StatusError as error:
            if is_terminating(error):
                raise
            if error.code != HTTPStatus.CONFLICT:
                said = f'Failed to create new replica set "{wanted.metadata.name}": {error}'
                self._recorder.event(deployment, "Warning", progress.NOT_CREATED, said)
                return Outcome(failure=said, error=error)
            meta = wanted.metadata
            there = await self._writer.api.get(REPLICASETS, meta.name, meta.namespace)
            controller = controller_of(there)
            ours = controller is not None and controller.uid == deployment.metadata.uid
            same = without_hash(there.spec.template) == without_hash(deployment.spec.template)
            self._expected.created(key, there)
            return Outcome(collides=not (ours and same))
        self._expected.created(key, made)
        if size := wanted_replicas(made):
            self._say(deployment, f"Scaled up replica set {made.metadata.name} from 0 to {size}")
        return Outcome(created=made.metadata.name)

    async def _carry_out(self, key: str, deployment: Deployment, found: Plan) -> None:
        for update in found.updates:
            written: ReplicaSet = await self._writer.replace(REPLICASETS, update.replica_set)
            self._expected.created(key, written)
            if update.said:
                self._say(deployment, update.said)
        for old in found.delete:
            await self._writer.delete(REPLICASETS, old)
            self._expected.deleted(key, old)

    async def _tell(self, key: str, deployment: Deployment, found: Plan, outcome: Outcome) -> None:
        """Writes status and revision if they say something new; looks again when the deadline of an update ends."""
        now = time.time()
        noted = progress.noted(deployment, found.history, now, outcome.created, outcome.failure)
        status = told(noted, found, now)
        if outcome.collides:
            status = replace(status, collisionCount=(status.collisionCount or 0) + 1)
        meta = deployment.metadata
        if found.revision and not outcome.failure and not outcome.collides:
            revision = {marks.REVISION: str(found.revision)}
            meta = replace(meta, annotations={**meta.annotations, **revision})
        new = replace(deployment, metadata=meta, status=status)
        if new != deployment:
            written: Deployment = await self._writer.replace(DEPLOYMENTS, new, "status")
            self._written.created(key, written)
        again = progress.look_again(deployment, status, now)
        if again is not None:
            self.queue.add_after(key, again)

    def _say(self, deployment: Deployment, message: str) -> None:
        self._recorder.event(deployment, "Normal", "ScalingReplicaSet", message)

    def _on_pod(self, change: Change[Pod]) -> None:
        """The end of an old pod is what a Deployment with Recreate waits for."""
        before = change.old
        if before is None or not (change.new is None or is_terminal(change.new)):
            return
        owner = controller_of(before)
        if owner is None or owner.kind != REPLICASETS.kind:
            return
        replica_set = self.sets.items.get(f"{before.metadata.namespace}/{owner.name}")
        if replica_set is None or (above := controller_of(replica_set)) is None:
            return
        deployment = self.deployments.items.get(f"{before.metadata.namespace}/{above.name}")
        if deployment is not None and not is_rolling(deployment):
            self.queue.add(key_of(deployment))


def told(deployment: Deployment, found: Plan, now: float) -> DeploymentStatus:
    """The new status of the Deployment, whose conditions have what was done just now."""
    status = counted(deployment, found.history, now)
    if not found.rolls:
        return status
    return with_failures(progress.progressed(deployment, found.history, status, now), found.history)


def _selector(deployment: Deployment) -> Selector:
    return readable(deployment.spec.selector) or NOTHING
