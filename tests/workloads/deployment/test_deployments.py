"""The controllers of Deployments and ReplicaSets against the real API server, as kubectl sees them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from fairlead.client.api import Api
from fairlead.objects.apps_v1 import Deployment
from fairlead.objects.codec import decode, encode
from fairlead.objects.core_v1 import Pod
from fairlead.objects.resources import DEPLOYMENTS, PODS, REPLICASETS
from fairlead.process import Health
from fairlead.workloads import config
from fairlead.workloads.controller import run
from fairlead.workloads.deployment import marks
from fairlead.workloads.deployment.history import HASH
from tests.client.cluster import eventually, running, with_server
from tests.workloads.kubelet import kubelet
from tests.workloads.objects import told_of


def start(api: Api, health: Health) -> Coroutine[Any, Any, None]:
    return run(api, config.WorkloadsConfig(controllers=(config.DEPLOYMENT, config.REPLICASET)), health)


def manifest(replicas: int = 3, image: str = "one", **spec: Any) -> Deployment:
    written = {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "main", "image": image}]},
            },
            **spec,
        },
    }
    return decode(Deployment, encode(written))


async def change(api: Api, **spec: Any) -> None:
    if image := spec.pop("image", ""):
        spec["template"] = {"spec": {"containers": [{"name": "main", "image": image}]}}
    await api.patch(DEPLOYMENTS, "web", "default", {"spec": spec}, kind="strategic")


async def images(api: Api) -> list[str]:
    """Of the pods that nobody has deleted."""
    pods = (await api.list(PODS, "default")).items
    return sorted(p.spec.containers[0].image for p in pods if p.metadata.deletionTimestamp is None)


def reason(found: Deployment, type: str) -> str:
    return next((each.reason for each in found.status.conditions if each.type == type), "")


async def get(api: Api) -> Deployment:
    return await api.get(DEPLOYMENTS, "web", "default")


def is_done(api: Api, image: str, replicas: int) -> Callable[[], Awaitable[bool]]:
    async def asked() -> bool:
        found = await get(api)
        status = found.status
        return (
            await images(api) == [image] * replicas
            and status.observedGeneration == found.metadata.generation
            and status.replicas == status.updatedReplicas == status.availableReplicas == replicas
            and reason(found, "Progressing") == "NewReplicaSetAvailable"
        )

    return asked


async def leave_orphans(api: Api) -> None:
    """Deletes the Deployment alone."""
    await api.delete(DEPLOYMENTS, "web", "default", propagation_policy="Orphan")

    async def is_gone() -> bool:
        return not (await api.list(DEPLOYMENTS, "default")).items

    await eventually(is_gone, "the Deployment is gone")


def test_from_the_first_pods_to_an_update_and_back() -> None:
    async def story(api: Api) -> None:
        async with kubelet(api):
            await api.create(DEPLOYMENTS, manifest())
            await eventually(is_done(api, "one", 3), "three pods run")
            await change(api, replicas=5)
            await eventually(is_done(api, "one", 5), "five run")
            await change(api, image="two")
            await eventually(is_done(api, "two", 5), "all are new")
            await change(api, image="one")
            await eventually(is_done(api, "one", 5), "all are back")
            sets = {
                e.spec.template.spec.containers[0].image: e
                for e in (await api.list(REPLICASETS, "default")).items
            }
            assert sets.keys() == {"one", "two"}
            assert [marks.revision(sets[name]) for name in ("one", "two")] == [3, 2]
            assert sets["one"].metadata.annotations[marks.HISTORY] == "1"
            found = await get(api)
            assert found.metadata.annotations[marks.REVISION] == "3"
            new, old = sets["one"].metadata.name, sets["two"].metadata.name
            assert new == f"web-{sets['one'].metadata.labels[HASH]}"

            async def is_told() -> bool:
                said = [message for why, message in await told_of(api, "web") if why == "ScalingReplicaSet"]
                ups = {f"Scaled up replica set {new} from {step}" for step in ("0 to 3", "3 to 5")}
                # In steps of one or more, as pods get ready in time for it.
                ends = [message.split()[4] for message in said if message.endswith(" to 0")]
                return ups <= set(said) and ends == [new, old]

            await eventually(is_told, "Events tell of each step")

    with_server(story, start)


def test_recreate_waits_until_the_last_old_pod_has_ended() -> None:
    async def story(api: Api) -> None:
        async with kubelet(api) as node:
            await api.create(DEPLOYMENTS, manifest(2, strategy={"type": "Recreate"}))
            await eventually(is_done(api, "one", 2), "two pods run")
            pods = (await api.list(PODS, "default")).items
            node.slow = {pods[0].metadata.name}
            await change(api, image="two")

            async def lingers() -> bool:
                left: tuple[Pod, ...] = (await api.list(PODS, "default")).items
                return len(left) == 1 and left[0].metadata.deletionTimestamp is not None

            await eventually(lingers, "one pod is left, and ends")
            await eventually(lambda: _says(api, replicas=0), "the status says that no pod counts")
            assert len((await api.list(REPLICASETS, "default")).items) == 1
            assert await images(api) == []
            node.slow = set()
            node.look_again()
            await eventually(is_done(api, "two", 2), "both are new")

    with_server(story, start)


async def _says(api: Api, **wanted: object) -> bool:
    found = await get(api)
    return found.status.observedGeneration == found.metadata.generation and all(
        getattr(found.status, name) == value for name, value in wanted.items()
    )


def test_an_update_that_comes_to_nothing_says_so_and_is_taken_back() -> None:
    async def story(api: Api) -> None:
        async with kubelet(api):
            await api.create(DEPLOYMENTS, manifest(2, progressDeadlineSeconds=1))
            await eventually(is_done(api, "one", 2), "two pods run")
        # Nobody starts pods any more.
        await change(api, image="two")

        async def late() -> bool:
            return reason(await get(api), "Progressing") == "ProgressDeadlineExceeded"

        await eventually(late, "the deadline has passed")
        found = await get(api)
        assert reason(found, "Available") == "MinimumReplicasAvailable"

        async def both() -> bool:
            return await images(api) == ["one", "one", "two"]

        await eventually(both, "there is a new one, and the old ones still serve")
        async with kubelet(api):
            await change(api, image="one")
            await eventually(is_done(api, "one", 2), "all are back")

    with_server(story, start)


def test_a_name_that_another_has_taken_is_counted_and_another_found() -> None:
    async def story(api: Api) -> None:
        async with kubelet(api):
            await api.create(DEPLOYMENTS, manifest(1))
            await eventually(is_done(api, "one", 1), "a pod runs")
            (made,) = (await api.list(REPLICASETS, "default")).items
            await leave_orphans(api)
            other = {"metadata": {"labels": {"app": "other"}}}
            await api.patch(REPLICASETS, made.metadata.name, "default", other)
            await api.create(DEPLOYMENTS, manifest(1))
            await eventually(is_done_beside(api), "another ReplicaSet is there")

    def is_done_beside(api: Api) -> Callable[[], Awaitable[bool]]:
        async def asked() -> bool:
            found = await get(api)
            return found.status.collisionCount == 1 and found.status.availableReplicas == 1

        return asked

    with_server(story, start)


def test_replica_sets_are_adopted_and_the_oldest_revisions_go() -> None:
    @asynccontextmanager
    async def controllers(api: Api) -> AsyncIterator[None]:
        health = Health()
        async with Api(api.config) as theirs, running(start(theirs, health), health):
            yield

    async def story(api: Api) -> None:
        async with kubelet(api), AsyncExitStack() as stack:
            async with controllers(api):
                await api.create(DEPLOYMENTS, manifest(1))
                await eventually(is_done(api, "one", 1), "a pod runs")
                await leave_orphans(api)
            (before,) = (await api.list(PODS, "default")).items
            # Those that know the ReplicaSet as another's still would make one of their own.
            await stack.enter_async_context(controllers(api))
            await api.create(DEPLOYMENTS, manifest(1, revisionHistoryLimit=1))
            await eventually(is_done(api, "one", 1), "it is adopted")
            (after,) = (await api.list(PODS, "default")).items
            assert after.metadata.uid == before.metadata.uid
            for image in ("two", "three"):
                await change(api, image=image)
                await eventually(is_done(api, image, 1), image)

            async def kept() -> bool:
                sets = (await api.list(REPLICASETS, "default")).items
                return sorted(e.spec.template.spec.containers[0].image for e in sets) == ["three", "two"]

            await eventually(kept, "the first revision is gone")

    with_server(story)
