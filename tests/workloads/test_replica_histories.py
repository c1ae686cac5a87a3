"""Histories of a ReplicaSet's pods with an informer that lags, and with controllers that die and start again."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from fairlead.client.informer import Informer
from fairlead.objects.core_v1 import Pod
from fairlead.objects.resources import PODS, REPLICASETS
from fairlead.workloads.podstate import is_active, is_terminal
from fairlead.workloads.replicacontroller import ReplicaSetController
from tests.workloads.lagging import Story
from tests.workloads.objects import pod, replica_set

KEY = "default/web"
STEPS = st.one_of(
    st.tuples(st.just("sync"), st.integers(0, 0)),
    st.tuples(st.just("show pods"), st.integers(1, 4)),
    st.tuples(st.just("show owners"), st.integers(1, 2)),
    st.tuples(st.sampled_from(("run", "fail", "delete", "end")), st.integers(0, 6)),
    st.tuples(st.just("scale"), st.integers(0, 6)),
    st.tuples(st.just("restart"), st.integers(0, 0)),
)
HISTORIES = st.lists(STEPS, max_size=40)


class ReplicaSetStory(Story):
    """A ReplicaSet, its pods, and its controller of the moment."""

    controller: ReplicaSetController

    def __init__(self) -> None:
        super().__init__(KEY)
        self.world.put(REPLICASETS, replica_set(3))
        self.restart()

    def begin(self) -> tuple[ReplicaSetController, dict[str, Informer[Any]]]:
        made = ReplicaSetController(self.world.context())
        return made, {"owners": made.owners, "pods": made.pods}

    @property
    def active(self) -> set[str]:
        """The keys of the pods that the server has and that count."""
        return {key for key, each in self.world.of(PODS).items() if is_active(each)}

    async def look(self) -> None:
        """One look of the controller, which is to change nothing for the worse, whatever it does not know yet."""
        owner = self.controller.owners.items[KEY]
        known = {key for key, each in self.controller.pods.items.items() if is_active(each)}
        before, vanished = self.active, known - self.active
        await self.sync()
        wanted = owner.spec.replicas or 0
        assert len(self.active) <= max(len(before), wanted), "it made more than are wanted"
        assert len(self.active) >= min(len(before), wanted - len(vanished)), (
            "it deleted more than are too many"
        )

    def befall(self, what: str, number: int) -> None:
        if what == "scale":
            owner = self.world.of(REPLICASETS)[KEY]
            self.world.put(REPLICASETS, replace(owner, spec=replace(owner.spec, replicas=number)))
            return
        there = sorted(self.world.of(PODS))
        if there:
            self.happen_to(self.world.of(PODS)[there[number % len(there)]], what)

    def happen_to(self, victim: Pod, what: str) -> None:
        """What a node or a user does to a pod."""
        if what == "delete" and victim.metadata.deletionTimestamp is None:
            self.world.put(PODS, victim, deletionTimestamp="2026-11-23T09:00:00Z")
        elif what == "end" and victim.metadata.deletionTimestamp is not None:
            self.world.drop(PODS, f"default/{victim.metadata.name}")
        elif what in ("run", "fail") and not is_terminal(victim):
            status = pod("any", phase="Running" if what == "run" else "Failed", ready=5).status
            self.world.put(PODS, replace(victim, status=status))


@settings(max_examples=150)
@given(HISTORIES)
def test_whatever_happens_the_wanted_number_is_reached_and_never_passed(steps: list[tuple[str, int]]) -> None:
    async def told() -> None:
        story = ReplicaSetStory()
        await story.tell(steps)
        owner = story.world.of(REPLICASETS)[KEY]
        assert len(story.active) == owner.spec.replicas
        assert owner.status.replicas == owner.spec.replicas

    asyncio.run(told())
