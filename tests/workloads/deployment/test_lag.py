"""Histories of a Deployment's controller whose informers lag, and that dies and starts again."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from http import HTTPStatus
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from fairlead.client.informer import Informer
from fairlead.objects.apps_v1 import Deployment, ReplicaSet
from fairlead.objects.resources import DEPLOYMENTS, REPLICASETS, Resource
from fairlead.objects.scalars import timestamp
from fairlead.objects.status import StatusError, failure
from fairlead.workloads.context import Context
from fairlead.workloads.deployment.controller import DeploymentController
from fairlead.workloads.deployment.limits import limits
from fairlead.workloads.deployment.status import condition
from fairlead.workloads.replicas import wanted_replicas
from tests.workloads.deployment.test_histories import deployment
from tests.workloads.lagging import Story, World
from tests.workloads.objects import NOW, template

KEY = "default/web"
STEPS = st.one_of(
    st.tuples(st.just("sync"), st.integers(0, 0)),
    st.tuples(st.sampled_from(("show sets", "show deployments")), st.integers(1, 4)),
    st.tuples(st.sampled_from(("serve", "serve", "update", "scale")), st.integers(0, 6)),
    st.tuples(st.just("restart"), st.integers(0, 0)),
)


class DeploymentStory(Story):
    """A Deployment, its ReplicaSets, and its controller of the moment."""

    controller: DeploymentController

    def __init__(self) -> None:
        super().__init__(KEY)
        self.world.put(DEPLOYMENTS, deployment(3, revisionHistoryLimit=2))
        self.restart()

    def begin(self) -> tuple[DeploymentController, dict[str, Informer[Any]]]:
        made = DeploymentController(self.world.context())
        return made, {"deployments": made.deployments, "sets": made.sets}

    @property
    def deployment(self) -> Deployment:
        found: Deployment = self.world.of(DEPLOYMENTS)[KEY]
        return found

    @property
    def sets(self) -> dict[str, ReplicaSet]:
        return self.world.of(REPLICASETS)

    @property
    def total(self) -> int:
        return sum(map(wanted_replicas, self.sets.values()))

    async def look(self) -> None:
        known = self.controller.deployments.items[KEY]
        before = self.total
        await self.sync()
        assert self.total <= max(before, limits(known).most), "more than the surge"
        images = Counter(each.spec.template.spec.containers[0].image for each in self.sets.values())
        assert set(images.values()) <= {1}, "two ReplicaSets of one template"

    def befall(self, what: str, number: int) -> None:
        match what:
            case "update":
                self.change(template=template(image=f"image{number}"))
            case "scale":
                self.change(replicas=number)
            case _:
                there = sorted(self.sets)
                if there:
                    self.serve(there[number % len(there)])

    def change(self, **spec: object) -> None:
        found = self.deployment
        changed = replace(found, spec=replace(found.spec, **spec))
        self.world.put(DEPLOYMENTS, changed, generation=found.metadata.generation + 1)

    def serve(self, key: str) -> None:
        """The ReplicaSet has all its pods, and they are available."""
        found = self.sets[key]
        size = wanted_replicas(found)
        status = replace(
            found.status,
            replicas=size,
            readyReplicas=size,
            availableReplicas=size,
            observedGeneration=found.metadata.generation,
        )
        made = found.metadata.creationTimestamp or timestamp(NOW + self.world.version)
        if status != found.status:
            self.world.put(REPLICASETS, replace(found, status=status), creationTimestamp=made)

    def serve_all(self) -> None:
        for key in self.sets:
            self.serve(key)


@settings(max_examples=200)
@given(st.lists(STEPS, max_size=50))
def test_whatever_is_shown_late_there_is_one_replica_set_a_template_and_the_newest_gets_all(
    steps: list[tuple[str, int]],
) -> None:
    async def told() -> None:
        story = DeploymentStory()
        await story.tell(steps)
        wanted = story.deployment.spec
        image = wanted.template.spec.containers[0].image
        sizes = {e.spec.template.spec.containers[0].image: wanted_replicas(e) for e in story.sets.values()}
        assert sizes[image] == wanted.replicas == story.total
        assert len(story.sets) <= 3, "two that are old stay"
        assert story.deployment.status.observedGeneration == story.deployment.metadata.generation

    asyncio.run(told())


class Refusing(World):
    """A server that takes no new objects; `said` are the Events."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[tuple[str, str, str]] = []

    async def create(self, resource: Resource[Any], obj: Any) -> Any:
        raise failure(HTTPStatus.FORBIDDEN, "Forbidden", "exceeded quota")

    def event(self, about: object, type: str, reason: str, message: str) -> None:
        self.said.append((type, reason, message))


def test_a_refused_replica_set_is_told_and_tried_again() -> None:
    async def told() -> None:
        world = Refusing()
        world.put(DEPLOYMENTS, deployment(3))
        context = world.context()
        controller = DeploymentController(Context(context.cluster, context.writer, world, context.config))  # type: ignore[arg-type]
        world.show_all(controller.deployments)
        for _ in range(2):
            with pytest.raises(StatusError, match="exceeded quota"):
                await controller.sync(KEY)
            world.show(controller.deployments, 10)
        ((type, reason, message), again) = world.said
        assert (type, reason) == ("Warning", "ReplicaSetCreateError")
        assert re.fullmatch(r'Failed to create new replica set "web-\w+": .*exceeded quota.*', message)
        assert again == (type, reason, message)
        status = world.of(DEPLOYMENTS)[KEY].status
        found = condition(status.conditions, "Progressing")
        assert found is not None
        assert (found.status, found.reason, found.message) == ("False", reason, message)
        assert world.of(DEPLOYMENTS)[KEY].metadata.annotations == {}, "there is no revision yet"
        assert world.version == 2, "the second time there is nothing new to say"

    asyncio.run(told())
