"""Histories of a ReplicaSet's pods with an informer that lags, and with controllers that die and start again."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from fairlead.objects.core_v1 import Pod
from fairlead.objects.resources import PODS, REPLICASETS
from fairlead.objects.status import StatusError
from fairlead.workloads.podstate import is_active, is_terminal
from fairlead.workloads.replicacontroller import ReplicaSetController
from tests.workloads.lagging import World
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


class Story:
    """A ReplicaSet, its pods, and its controller of the moment."""

    def __init__(self) -> None:
        self.world = World()
        self.world.put(REPLICASETS, replica_set(3))
        self.restart()

    def restart(self) -> None:
        """Another controller, which knows nothing, takes over."""
        self.controller = ReplicaSetController(self.world.context())
        self.world.show_all(self.controller.owners)
        self.world.show_all(self.controller.pods)

    @property
    def active(self) -> set[str]:
        """The keys of the pods that the server has and that count."""
        return {key for key, each in self.world.of(PODS).items() if is_active(each)}

    async def sync(self) -> None:
        """One look of the controller, which is to change nothing for the worse, whatever it does not know yet."""
        owner = self.controller.owners.items[KEY]
        known = {key for key, each in self.controller.pods.items.items() if is_active(each)}
        before, vanished = self.active, known - self.active
        with suppress(StatusError):  # the status of an older state
            await self.controller.sync(KEY)
        wanted = owner.spec.replicas or 0
        assert len(self.active) <= max(len(before), wanted), "it made more than are wanted"
        assert len(self.active) >= min(len(before), wanted - len(vanished)), (
            "it deleted more than are too many"
        )

    def happen(self, what: str, number: int) -> None:
        """Something that is not the controller's doing."""
        match what:
            case "show pods":
                self.world.show(self.controller.pods, number)
            case "show owners":
                self.world.show(self.controller.owners, number)
            case "restart":
                self.restart()
            case "scale":
                owner = self.world.of(REPLICASETS)[KEY]
                self.world.put(REPLICASETS, replace(owner, spec=replace(owner.spec, replicas=number)))
            case _:
                there = sorted(self.world.of(PODS))
                if there:
                    self.befall(what, self.world.of(PODS)[there[number % len(there)]])

    def befall(self, what: str, victim: Pod) -> None:
        """What a node or a user does to a pod."""
        if what == "delete" and victim.metadata.deletionTimestamp is None:
            self.world.put(PODS, victim, deletionTimestamp="2026-11-23T09:00:00Z")
        elif what == "end" and victim.metadata.deletionTimestamp is not None:
            self.world.drop(PODS, f"default/{victim.metadata.name}")
        elif what in ("run", "fail") and not is_terminal(victim):
            status = pod("any", phase="Running" if what == "run" else "Failed", ready=5).status
            self.world.put(PODS, replace(victim, status=status))

    async def settle(self) -> None:
        """Everything is shown, and the controller looks until it has nothing to do any more."""
        for _ in range(20):
            before = self.world.version
            self.world.show(self.controller.owners, 1000)
            self.world.show(self.controller.pods, 1000)
            await self.controller.sync(KEY)
            if self.world.version == before:
                return
        raise AssertionError("the controller does not come to rest")


@settings(max_examples=150)
@given(HISTORIES)
def test_whatever_happens_the_wanted_number_is_reached_and_never_passed(steps: list[tuple[str, int]]) -> None:
    async def told() -> None:
        story = Story()
        for what, number in steps:
            if what == "sync":
                await story.sync()
            else:
                story.happen(what, number)
        await story.settle()
        owner = story.world.of(REPLICASETS)[KEY]
        assert len(story.active) == owner.spec.replicas
        assert owner.status.replicas == owner.spec.replicas

    asyncio.run(told())
