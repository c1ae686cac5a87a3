"""The StatefulSet controller against the real API server."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from msgspec import to_builtins
from msgspec.structs import replace

from fairlead.client.api import Api
from fairlead.objects.apps_v1 import StatefulSet
from fairlead.objects.codec import decode, encode
from fairlead.objects.core_v1 import Pod
from fairlead.objects.resources import (
    CONTROLLERREVISIONS,
    EVENTS,
    PERSISTENTVOLUMECLAIMS,
    PODS,
    STATEFULSETS,
)
from fairlead.objects.status import StatusError
from fairlead.process import Health
from fairlead.workloads import config
from fairlead.workloads.controller import run
from tests.client.cluster import eventually, with_server
from tests.workloads.kubelet import kubelet

NAMESPACE = "default"


def start(api: Api, health: Health) -> Coroutine[Any, Any, None]:
    return run(api, config.WorkloadsConfig(controllers=(config.STATEFULSET,)), health)


def manifest(replicas: int = 3, image: str = "one", **spec: Any) -> StatefulSet:
    template = {
        "metadata": {"labels": {"app": "db"}},
        "spec": {"containers": [{"name": "main", "image": image}]},
    }
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    written = {
        "metadata": {
            "name": "db",
            "namespace": NAMESPACE,
            "annotations": {"kubernetes.io/change-cause": image},
        },
        "spec": {
            "replicas": replicas,
            "serviceName": "db",
            "selector": {"matchLabels": {"app": "db"}},
            "template": template,
            "volumeClaimTemplates": [claim],
            **spec,
        },
    }
    return decode(StatefulSet, encode(written))


async def pods_of(api: Api) -> dict[str, Pod]:
    return {pod.metadata.name: pod for pod in (await api.list(PODS, NAMESPACE)).items}


async def status_is(api: Api, **wanted: Any) -> bool:
    found = await api.get(STATEFULSETS, "db", NAMESPACE)
    status = to_builtins(found.status)
    return found.status.observedGeneration == found.metadata.generation and all(
        status.get(name, 0) == value for name, value in wanted.items()
    )


async def images(api: Api) -> list[str]:
    pods = await pods_of(api)
    return [pods[name].spec.containers[0].image for name in sorted(pods)]


async def claims(api: Api) -> list[str]:
    return sorted(c.metadata.name for c in (await api.list(PERSISTENTVOLUMECLAIMS, NAMESPACE)).items)


async def patch(api: Api, spec: dict[str, Any]) -> None:
    await api.patch(STATEFULSETS, "db", NAMESPACE, {"spec": spec}, kind="strategic")


def template(image: str) -> dict[str, Any]:
    return {"template": {"spec": {"containers": [{"name": "main", "image": image}]}}}


def test_from_the_first_pod_to_the_last_update_and_back() -> None:
    async def scenario(api: Api) -> None:
        async with kubelet(api) as node:
            node.broken.add("db-1")
            await api.create(STATEFULSETS, manifest())
            await eventually(
                lambda: status_is(api, replicas=2, readyReplicas=1), "the second pod is there, not ready"
            )
            assert sorted(await pods_of(api)) == ["db-0", "db-1"], "the third waits for the second"
            assert await claims(api) == ["data-db-0", "data-db-1"]
            node.broken.clear()
            node.look_again()
            await eventually(
                lambda: status_is(api, replicas=3, availableReplicas=3, currentReplicas=3, updatedReplicas=3),
                "all three are ready",
            )
            pods = await pods_of(api)
            first = pods["db-0"]
            assert (first.spec.hostname, first.spec.subdomain) == ("db-0", "db")
            assert first.metadata.labels["apps.kubernetes.io/pod-index"] == "0"
            assert {pod.metadata.labels["controller-revision-hash"] for pod in pods.values()} == {
                (await api.get(STATEFULSETS, "db", NAMESPACE)).status.currentRevision
            }

            rolling = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
            await patch(api, {**template("two"), "updateStrategy": rolling})
            await eventually(
                lambda: status_is(api, updatedReplicas=1, readyReplicas=3, currentReplicas=2),
                "the pod above the partition is updated",
            )
            assert await images(api) == ["one", "one", "two"]
            await patch(api, {"updateStrategy": {"rollingUpdate": {"partition": 0}}})
            await eventually(lambda: status_is(api, updatedReplicas=3, currentReplicas=3), "all are updated")
            assert await images(api) == ["two"] * 3
            status = (await api.get(STATEFULSETS, "db", NAMESPACE)).status
            assert status.currentRevision == status.updateRevision

            # as `kubectl rollout undo` does: the data of a revision is a patch of the set
            kept = sorted((await api.list(CONTROLLERREVISIONS, NAMESPACE)).items, key=lambda r: r.revision)
            assert [r.revision for r in kept] == [1, 2]
            assert [r.metadata.annotations["kubernetes.io/change-cause"] for r in kept] == ["one", "one"]
            await api.patch(STATEFULSETS, "db", NAMESPACE, kept[0].data, kind="strategic")
            await eventually(
                lambda: status_is(
                    api, updateRevision=kept[0].metadata.name, updatedReplicas=3, readyReplicas=3
                ),
                "the first template is back",
            )
            assert await images(api) == ["one"] * 3
            numbers = {
                r.metadata.name: r.revision for r in (await api.list(CONTROLLERREVISIONS, NAMESPACE)).items
            }
            assert numbers == {kept[0].metadata.name: 3, kept[1].metadata.name: 2}

            await patch(api, {"replicas": 1})
            await eventually(lambda: status_is(api, replicas=1), "two pods are gone")
            assert list(await pods_of(api)) == ["db-0"]
            assert await claims(api) == ["data-db-0", "data-db-1", "data-db-2"], "claims are kept"

            async def told() -> bool:
                events = await api.list(EVENTS, NAMESPACE, fields="involvedObject.name=db")
                said = {event.message for event in events.items}
                return {
                    "create Pod db-0 in StatefulSet db successful",
                    "create Claim data-db-0 Pod db-0 in StatefulSet db success",
                    "delete Pod db-2 in StatefulSet db successful",
                } <= said

            await eventually(told, "Events tell of it")

    with_server(scenario, start)


def test_failed_pods_lost_pods_and_orphans() -> None:
    async def scenario(api: Api) -> None:
        async with kubelet(api):
            await api.create(STATEFULSETS, manifest(2, podManagementPolicy="Parallel"))
            await eventually(lambda: status_is(api, readyReplicas=2), "both are ready")
            before = await pods_of(api)
            await api.patch(
                PODS, "db-1", NAMESPACE, {"status": {"phase": "Failed"}}, kind="merge", subresource="status"
            )
            await api.delete(PODS, "db-0", NAMESPACE)

            async def are_new() -> bool:
                now = await pods_of(api)
                return set(now) == set(before) and not (
                    {p.metadata.uid for p in now.values()} & {p.metadata.uid for p in before.values()}
                )

            await eventually(are_new, "both have been made anew")
            await eventually(lambda: status_is(api, readyReplicas=2), "and are ready")

            # a set that is deleted without its pods finds them again
            await api.delete(STATEFULSETS, "db", NAMESPACE, propagation_policy="Orphan")

            async def is_gone() -> bool:
                try:
                    await api.get(STATEFULSETS, "db", NAMESPACE)
                except StatusError as error:
                    return error.code == 404
                return False

            await eventually(is_gone, "the set is gone")
            orphans = await pods_of(api)
            assert len(orphans) == 2
            await api.create(STATEFULSETS, manifest(2))
            await eventually(lambda: status_is(api, readyReplicas=2, replicas=2), "the new set has them")
            assert {p.metadata.uid for p in (await pods_of(api)).values()} == {
                p.metadata.uid for p in orphans.values()
            }

    with_server(scenario, start)


def test_claims_go_with_the_pods_where_the_policy_says_so() -> None:
    async def scenario(api: Api) -> None:
        async with kubelet(api):
            policy = {"whenScaled": "Delete", "whenDeleted": "Delete"}
            await api.create(STATEFULSETS, manifest(2, persistentVolumeClaimRetentionPolicy=policy))
            await eventually(lambda: status_is(api, readyReplicas=2), "both are ready")
            await patch(api, {"replicas": 1})

            async def only_first() -> bool:
                return await claims(api) == ["data-db-0"]

            await eventually(only_first, "the claim of the pod that is gone is gone")
            await patch(api, {"replicas": 2})
            await eventually(lambda: status_is(api, readyReplicas=2), "it is back, with a new claim")
            await api.delete(STATEFULSETS, "db", NAMESPACE)

            async def none_left() -> bool:
                return not await claims(api) and not await pods_of(api)

            await eventually(none_left, "nothing is left")

    with_server(scenario, start)


def test_old_revisions_go_beyond_the_limit() -> None:
    async def scenario(api: Api) -> None:
        async with kubelet(api):
            made = manifest(1)
            await api.create(STATEFULSETS, replace(made, spec=replace(made.spec, revisionHistoryLimit=1)))
            for image in ("two", "three", "four"):
                await eventually(lambda: status_is(api, readyReplicas=1, updatedReplicas=1), "it is ready")
                await patch(api, template(image))

            async def two_left() -> bool:
                kept = (await api.list(CONTROLLERREVISIONS, NAMESPACE)).items
                return sorted(r.revision for r in kept) == [3, 4]

            await eventually(two_left, "the set's own and one more are left")

    with_server(scenario, start)
