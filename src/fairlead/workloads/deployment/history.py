"""Which of a Deployment's ReplicaSets is of its current template, which are old, and which of those go.

Upstream: FindNewReplicaSet, EqualIgnoreHash in pkg/controller/deployment/util; getNewReplicaSet, cleanupDeployment.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from fairlead.objects.apps_v1 import Deployment, ReplicaSet, ReplicaSetSpec
from fairlead.objects.core_v1 import PodTemplateSpec
from fairlead.objects.meta_v1 import LabelSelector, ObjectMeta
from fairlead.workloads.claiming import controller_reference
from fairlead.workloads.deployment import marks
from fairlead.workloads.deployment.limits import kept_revisions, limits
from fairlead.workloads.hashing import hash_of
from fairlead.workloads.replicas import wanted_replicas

HASH = "pod-template-hash"


@dataclass(frozen=True)
class History:
    """`new` is of the current template, if there is one yet; the others are old, in the order of their making."""

    new: ReplicaSet | None
    old: tuple[ReplicaSet, ...]

    @property
    def all(self) -> tuple[ReplicaSet, ...]:
        """All of them, the new one last."""
        return self.old if self.new is None else (*self.old, self.new)

    @property
    def active(self) -> tuple[ReplicaSet, ...]:
        """Those that are to have pods."""
        return tuple(each for each in self.all if wanted_replicas(each) > 0)

    @property
    def next_revision(self) -> int:
        """The number after those of the old ones."""
        return max(map(marks.revision, self.old), default=0) + 1


def history(deployment: Deployment, replica_sets: Iterable[ReplicaSet]) -> History:
    """The Deployment's ReplicaSets in order; of two with its template the older is the new one. Cost: n log n."""
    ordered = sorted(replica_sets, key=age)
    wanted = without_hash(deployment.spec.template)
    new = next((each for each in ordered if without_hash(each.spec.template) == wanted), None)
    return History(new, tuple(each for each in ordered if each is not new))


def age(replica_set: ReplicaSet) -> tuple[str, str]:
    """Sorts ReplicaSets, the oldest first."""
    return replica_set.metadata.creationTimestamp or "", replica_set.metadata.name


def without_hash(template: PodTemplateSpec) -> PodTemplateSpec:
    """The template as the user wrote it."""
    if HASH not in template.metadata.labels:
        return template
    labels = {name: value for name, value in template.metadata.labels.items() if name != HASH}
    return replace(template, metadata=replace(template.metadata, labels=labels))


def made(deployment: Deployment, revision: int, replicas: int) -> ReplicaSet:
    """The ReplicaSet of the current template, told by a hash from the others, as it is to be created."""
    spec = deployment.spec
    hashed = {HASH: hash_of(spec.template, deployment.status.collisionCount)}
    labels = {**spec.template.metadata.labels, **hashed}
    selector = spec.selector or LabelSelector()
    allowed = limits(deployment)
    written = marks.of_newest(deployment, {}, revision)
    return ReplicaSet(
        metadata=ObjectMeta(
            name=f"{deployment.metadata.name}-{hashed[HASH]}",
            namespace=deployment.metadata.namespace,
            labels=labels,
            annotations=marks.sized(written, allowed.wanted, allowed.most),
            ownerReferences=(controller_reference(deployment),),
        ),
        spec=ReplicaSetSpec(
            replicas=replicas,
            minReadySeconds=spec.minReadySeconds,
            selector=replace(selector, matchLabels={**selector.matchLabels, **hashed}),
            template=replace(spec.template, metadata=replace(spec.template.metadata, labels=labels)),
        ),
    )


def superfluous(deployment: Deployment, old: Sequence[ReplicaSet]) -> tuple[ReplicaSet, ...]:
    """The old ReplicaSets beyond the limit of revisions, by revision; one that has pods stays for now."""
    limit = kept_revisions(deployment)
    alive = [each for each in old if each.metadata.deletionTimestamp is None]
    if limit is None or len(alive) <= limit:
        return ()
    ordered = sorted(alive, key=lambda each: (marks.revision(each), age(each)))
    return tuple(each for each in ordered[: len(ordered) - limit] if _is_empty(each))


def _is_empty(replica_set: ReplicaSet) -> bool:
    """Whether it has no pods and will have none, as far as its controller has said."""
    status = replica_set.status
    return (
        wanted_replicas(replica_set) == status.replicas == 0
        and replica_set.metadata.generation <= status.observedGeneration
    )
