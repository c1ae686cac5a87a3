"""Histories of Deployments whose ReplicaSets say late what they have, and whose pods come and fail at any time."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from fairlead.objects.apps_v1 import (
    Deployment,
    DeploymentSpec,
    DeploymentStrategy,
    ReplicaSet,
    RollingUpdateDeployment,
)
from fairlead.objects.meta_v1 import LabelSelector, ObjectMeta
from fairlead.objects.scalars import timestamp
from fairlead.workloads.deployment.controller import told
from fairlead.workloads.deployment.limits import limits
from fairlead.workloads.deployment.plan import Plan, plan
from fairlead.workloads.replicas import wanted_replicas
from tests.workloads.objects import LABELS, NOW, template


def deployment(replicas: int = 3, **spec: object) -> Deployment:
    rolling = DeploymentStrategy(
        type="RollingUpdate", rollingUpdate=RollingUpdateDeployment(maxSurge="25%", maxUnavailable="25%")
    )
    whole = {
        "replicas": replicas,
        "selector": LabelSelector(matchLabels=LABELS),
        "template": template(),
        "strategy": rolling,
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
        **spec,
    }
    return Deployment(
        metadata=ObjectMeta(name="web", namespace="default", uid="d", generation=1),
        spec=DeploymentSpec(**whole),  # type: ignore[arg-type]
    )


@dataclass
class Pods:
    """The pods of one ReplicaSet: those that are there, and those of them that are available."""

    there: int = 0
    available: int = 0


@dataclass
class Story:
    """A Deployment, its ReplicaSets, and their pods."""

    deployment: Deployment
    sets: dict[str, ReplicaSet] = field(default_factory=dict)
    pods: dict[str, Pods] = field(default_factory=dict)
    made: int = 0

    def change(self, **spec: object) -> None:
        """What a user does."""
        meta = self.deployment.metadata
        self.deployment = replace(
            self.deployment,
            metadata=replace(meta, generation=meta.generation + 1),
            spec=replace(self.deployment.spec, **spec),
        )

    def look(self) -> Plan:
        """One look of the controller; it keeps to the limits, whatever the statuses do not say yet."""
        before = self.total
        found = plan(self.deployment, self.sets.values(), self.old_pods())
        allowed = limits(self.deployment)
        serving = self.serving()
        if found.create is not None:
            self.made += 1
            uid = f"u{self.made:03}"
            moment = timestamp(NOW + self.made)
            meta = replace(found.create.metadata, uid=uid, creationTimestamp=moment)
            self.sets[uid] = replace(found.create, metadata=meta)
            self.pods[uid] = Pods()
        for update in found.updates:
            self.sets[update.replica_set.metadata.uid] = update.replica_set
        for old in found.delete:
            assert self.pods.pop(old.metadata.uid).there == 0
            del self.sets[old.metadata.uid]
        self.deployment = replace(self.deployment, status=told(self.deployment, found, NOW))
        assert self.total <= max(before, allowed.most), "more than the surge"
        if found.rolls and self.deployment.spec.strategy.type == "RollingUpdate":
            assert self.serving() >= min(serving, allowed.fewest_available), "fewer than may be"
        return found

    @property
    def total(self) -> int:
        return sum(map(wanted_replicas, self.sets.values()))

    def serving(self) -> int:
        """Pods that are available and may stay, as far as the statuses say: the controller cannot know better."""
        return sum(min(each.status.availableReplicas, wanted_replicas(each)) for each in self.sets.values())

    def counts(self) -> dict[str, tuple[int, int]]:
        """The pods of each ReplicaSet, those there are and those that are available."""
        return {uid: (pods.there, pods.available) for uid, pods in self.pods.items()}

    def old_pods(self) -> bool:
        """Whether an old ReplicaSet has pods, which only the informer of pods says."""
        wanted = self.deployment.spec.template.spec
        return any(self.pods[u].there for u, each in self.sets.items() if each.spec.template.spec != wanted)

    def happen(self, what: str, number: int) -> None:
        if what == "look":
            self.look()
        elif what == "scale":
            self.change(replicas=number)
        elif what == "update":
            self.change(template=template(image=f"image{number % 3}"))
        elif what == "pause":
            self.change(paused=not self.deployment.spec.paused)
        elif self.sets:
            uid = sorted(self.sets)[number % len(self.sets)]
            getattr(self, what)(uid)

    def reconcile(self, uid: str) -> None:
        """The ReplicaSet's controller makes or deletes pods; those that are not available go first."""
        wanted, pods = wanted_replicas(self.sets[uid]), self.pods[uid]
        pods.there = wanted
        pods.available = min(pods.available, wanted)

    def say(self, uid: str) -> None:
        """It writes its status."""
        each, pods = self.sets[uid], self.pods[uid]
        status = replace(
            each.status,
            replicas=pods.there,
            readyReplicas=pods.available,
            availableReplicas=pods.available,
            observedGeneration=each.metadata.generation,
        )
        self.sets[uid] = replace(each, status=status)

    def serve(self, uid: str) -> None:
        self.pods[uid].available = min(self.pods[uid].available + 1, self.pods[uid].there)

    def fail(self, uid: str) -> None:
        self.pods[uid].available = max(self.pods[uid].available - 1, 0)

    def settle(self) -> None:
        """Everybody does what is to be done until nothing is."""
        if self.deployment.spec.paused:
            self.change(paused=False)
        for _ in range(100):
            before = dict(self.sets), self.deployment, self.counts()
            self.look()
            for uid in self.sets:
                self.reconcile(uid)
                self.pods[uid].available = self.pods[uid].there
                self.say(uid)
            if (dict(self.sets), self.deployment, self.counts()) == before:
                return
        raise AssertionError("it does not come to rest")


STEPS = st.tuples(
    st.sampled_from(
        ("look", "look", "look", "scale", "update", "pause", "reconcile", "say", "serve", "serve", "fail")
    ),
    st.integers(0, 9),
)
SHARES = st.one_of(st.integers(0, 4), st.integers(0, 100).map(lambda share: f"{share}%"))
STRATEGIES = st.one_of(
    st.just(DeploymentStrategy(type="Recreate")),
    st.builds(
        lambda surge, unavailable: DeploymentStrategy(
            type="RollingUpdate",
            rollingUpdate=RollingUpdateDeployment(maxSurge=surge, maxUnavailable=unavailable),
        ),
        SHARES,
        SHARES,
    ),
)


@settings(max_examples=300)
@given(STRATEGIES, st.lists(STEPS, max_size=60))
def test_whatever_happens_the_newest_template_gets_all_pods_within_the_limits(
    strategy: DeploymentStrategy, steps: list[tuple[str, int]]
) -> None:
    story = Story(deployment(strategy=strategy, revisionHistoryLimit=1))
    for what, number in steps:
        story.happen(what, number)
    story.settle()
    wanted = story.deployment.spec.replicas
    found = {e.spec.template.spec.containers[0].image: wanted_replicas(e) for e in story.sets.values()}
    image = story.deployment.spec.template.spec.containers[0].image
    assert found[image] == wanted == story.total
    assert len(story.sets) <= 2, "one that is old stays for a rollback"
    conditions = {each.type: (each.status, each.reason) for each in story.deployment.status.conditions}
    assert conditions["Available"] == ("True", "MinimumReplicasAvailable")
    assert conditions["Progressing"] == ("True", "NewReplicaSetAvailable")
