"""The DaemonSet controller against the real API server."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from msgspec import to_builtins

from fairlead.client.api import Api
from fairlead.objects.apps_v1 import DaemonSet
from fairlead.objects.codec import decode, encode
from fairlead.objects.core_v1 import Node, Pod
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.resources import CONTROLLERREVISIONS, DAEMONSETS, EVENTS, NODES, PODS
from fairlead.process import Health
from fairlead.workloads import config
from fairlead.workloads.controller import run
from fairlead.workloads.daemonset.pods import node_of
from tests.client.cluster import eventually, with_server
from tests.workloads.kubelet import kubelet

NAMESPACE = "kube-system"


def start(api: Api, health: Health) -> Coroutine[Any, Any, None]:
    return run(api, config.WorkloadsConfig(controllers=(config.DAEMONSET,)), health)


def manifest(image: str = "one", **spec: Any) -> DaemonSet:
    template = {
        "metadata": {"labels": {"app": "agent"}},
        "spec": {"containers": [{"name": "main", "image": image}], "nodeSelector": {"os": "linux"}},
    }
    written = {
        "metadata": {"name": "agent", "namespace": NAMESPACE},
        "spec": {"selector": {"matchLabels": {"app": "agent"}}, "template": template, **spec},
    }
    return decode(DaemonSet, encode(written))


async def add_node(api: Api, name: str, **labels: str) -> None:
    await api.create(NODES, Node(metadata=ObjectMeta(name=name, labels=labels)))


async def pods_of(api: Api) -> list[Pod]:
    return list((await api.list(PODS, NAMESPACE)).items)


async def status_is(api: Api, **wanted: Any) -> bool:
    found = await api.get(DAEMONSETS, "agent", NAMESPACE)
    status = to_builtins(found.status)
    return found.status.observedGeneration == found.metadata.generation and all(
        status.get(name, 0) == value for name, value in wanted.items()
    )


def everywhere(count: int) -> dict[str, int]:
    return dict.fromkeys(
        (
            "desiredNumberScheduled",
            "currentNumberScheduled",
            "numberReady",
            "numberAvailable",
            "updatedNumberScheduled",
        ),
        count,
    )


async def places(api: Api) -> list[str]:
    return sorted(node_of(pod) for pod in await pods_of(api))


def test_a_pod_on_every_node_that_is_and_comes_and_is_chosen() -> None:
    async def scenario(api: Api) -> None:
        for name in ("a", "b"):
            await add_node(api, name, os="linux")
        await add_node(api, "w", os="windows")
        async with kubelet(api, node_of):
            await api.create(DAEMONSETS, manifest())
            await eventually(lambda: status_is(api, **everywhere(2)), "both nodes have one")
            assert await places(api) == ["a", "b"]
            await add_node(api, "c", os="linux")
            await eventually(lambda: status_is(api, **everywhere(3)), "the new node has one")
            await api.patch(NODES, "w", "", {"metadata": {"labels": {"os": "linux"}}})
            await eventually(lambda: status_is(api, **everywhere(4)), "the node that is chosen now has one")
            taint = {"key": "dedicated", "effect": "NoSchedule"}
            await api.patch(NODES, "a", "", {"spec": {"taints": [taint]}})
            await eventually(
                lambda: status_is(api, desiredNumberScheduled=3, numberMisscheduled=1),
                "the pod of the tainted node is misscheduled",
            )
            assert await places(api) == ["a", "b", "c", "w"], "it stays"
            await api.patch(NODES, "b", "", {"metadata": {"labels": {"os": None}}})

            async def left() -> bool:
                return await places(api) == ["a", "c", "w"]

            await eventually(left, "the pod of the node that is not chosen any more is gone")

    with_server(scenario, start)


def test_updates_by_deletion_and_by_surge() -> None:
    async def scenario(api: Api) -> None:
        for name in ("a", "b"):
            await add_node(api, name, os="linux")
        async with kubelet(api, node_of):
            await api.create(DAEMONSETS, manifest())
            await eventually(lambda: status_is(api, **everywhere(2)), "both nodes have one")

            async def update(image: str, **spec: Any) -> None:
                containers = [{"name": "main", "image": image}]
                patch = {"spec": {"template": {"spec": {"containers": containers}}, **spec}}
                await api.patch(DAEMONSETS, "agent", NAMESPACE, patch, kind="strategic")

            async def are(image: str) -> bool:
                found = {pod.spec.containers[0].image for pod in await pods_of(api)}
                return found == {image} and await status_is(api, **everywhere(2))

            await update("two")
            await eventually(lambda: are("two"), "all are new")
            surge = {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
            }
            await update("three", updateStrategy=surge)
            await eventually(lambda: are("three"), "all are new again")
            kept = sorted((await api.list(CONTROLLERREVISIONS, NAMESPACE)).items, key=lambda r: r.revision)
            assert [r.revision for r in kept] == [1, 2, 3]
            await api.patch(DAEMONSETS, "agent", NAMESPACE, kept[0].data, kind="strategic")
            await eventually(lambda: are("one"), "the first template is back")

    with_server(scenario, start)


def test_failed_pods_are_replaced_and_told_of() -> None:
    async def scenario(api: Api) -> None:
        await add_node(api, "a", os="linux")
        async with kubelet(api, node_of):
            await api.create(DAEMONSETS, manifest())
            await eventually(lambda: status_is(api, **everywhere(1)), "the node has one")
            (before,) = await pods_of(api)
            failed = {"status": {"phase": "Failed"}}
            await api.patch(PODS, before.metadata.name, NAMESPACE, failed, subresource="status")

            async def is_another() -> bool:
                found = await pods_of(api)
                return len(found) == 1 and found[0].metadata.uid != before.metadata.uid

            await eventually(is_another, "another pod is there")

            async def is_told() -> bool:
                events = await api.list(EVENTS, NAMESPACE, fields="involvedObject.name=agent")
                return {"FailedDaemonPod", "SuccessfulCreate", "SuccessfulDelete"} <= {
                    e.reason for e in events.items
                }

            await eventually(is_told, "Events say so")

    with_server(scenario, start)
