"""Pods and their owners for the tests of the controllers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from typing import Any

from msgspec.structs import replace

from fairlead.client.api import Api
from fairlead.client.informer import Informer, all_synced
from fairlead.objects.apps_v1 import ReplicaSet, ReplicaSetSpec
from fairlead.objects.core_v1 import (
    Container,
    ContainerStatus,
    Pod,
    PodCondition,
    PodSpec,
    PodStatus,
    PodTemplateSpec,
)
from fairlead.objects.meta_v1 import LabelSelector, ObjectMeta, OwnerReference
from fairlead.objects.resources import EVENTS, PODS
from fairlead.objects.scalars import timestamp
from fairlead.objects.status import StatusError
from fairlead.process import Health
from fairlead.workloads.config import CONTROLLERS, WorkloadsConfig
from fairlead.workloads.controller import run
from tests.client.cluster import with_server

NOW = 1_800_000_000.0
LABELS = {"app": "web"}


def template(
    labels: dict[str, str] | None = None, image: str = "fairlead/echo", **spec: Any
) -> PodTemplateSpec:
    container = Container(name="main", image=image)
    return PodTemplateSpec(
        metadata=ObjectMeta(labels=LABELS if labels is None else labels),
        spec=PodSpec(containers=(container,), **spec),
    )


def replica_set(replicas: int | None = 3, name: str = "web", uid: str = "rs", **spec: Any) -> ReplicaSet:
    return ReplicaSet(
        metadata=ObjectMeta(name=name, namespace="default", uid=uid),
        spec=ReplicaSetSpec(
            replicas=replicas,
            **{"selector": LabelSelector(matchLabels=LABELS), "template": template(), **spec},
        ),
    )


def reference(
    uid: str, kind: str = "ReplicaSet", name: str = "web", controller: bool = True
) -> OwnerReference:
    return OwnerReference(apiVersion="apps/v1", kind=kind, name=name, uid=uid, controller=controller)


def pod(
    name: str,
    *,
    owner: str = "",
    labels: dict[str, str] | None = None,
    phase: str = "Running",
    ready: float | None = None,
    node: str = "node1",
    deleted: bool = False,
    age: float = 1000.0,
    restarts: int = 0,
    annotations: dict[str, str] | None = None,
) -> Pod:
    """A pod that has been ready for so many seconds, or is not."""
    since = timestamp(NOW - (ready or 0))
    conditions = (
        (PodCondition(type="Ready", status="True", lastTransitionTime=since),) if ready is not None else ()
    )
    return Pod(
        metadata=ObjectMeta(
            name=name,
            namespace="default",
            uid=name,
            labels=LABELS if labels is None else labels,
            annotations=annotations or {},
            ownerReferences=(reference(owner),) if owner else (),
            creationTimestamp=timestamp(NOW - age),
            deletionTimestamp=timestamp(NOW) if deleted else None,
        ),
        spec=PodSpec(nodeName=node),
        status=PodStatus(
            phase=phase,
            conditions=conditions,
            containerStatuses=(ContainerStatus(name="main", restartCount=restarts),),
        ),
    )


def scenario(
    told: Callable[[Api], Awaitable[None]],
    controllers: tuple[str, ...] = CONTROLLERS,
    before: Callable[[Api], Awaitable[None]] | None = None,
) -> None:
    """Runs the story in a cluster whose workloads are kept by the controllers, empty but for what came `before`."""
    config = WorkloadsConfig(controllers=controllers)
    with_server(told, lambda api, health: run(api, config, health), before)


async def pods_of(api: Api, labels: str = "app=web") -> tuple[Pod, ...]:
    return (await api.list(PODS, "default", labels=labels)).items


async def set_phase(api: Api, pod: Pod, phase: str, ready: bool = False, **more: Any) -> None:
    """What a node says of its pod; a pod that is gone by now stays so."""
    condition = PodCondition(
        type="Ready", status="True" if ready else "False", lastTransitionTime="2026-11-23T09:00:00Z"
    )
    status = PodStatus(phase=phase, conditions=(condition,), **more)
    with suppress(StatusError):
        await api.replace(PODS, replace(pod, status=status), "status")


async def nodes_that_run_everything(api: Api) -> None:
    """Plays the nodes until cancelled: each pod gets ready, and one that is deleted goes."""
    informer: Informer[Pod] = Informer(api, PODS)
    work: asyncio.Queue[Pod] = asyncio.Queue()
    informer.subscribe(lambda change: work.put_nowait(change.new) if change.new is not None else None)
    async with all_synced((informer,), Health(), "nodes"):
        while True:
            await _play(api, await work.get())


async def _play(api: Api, seen: Pod) -> None:
    meta = seen.metadata
    if meta.deletionTimestamp is not None:
        with suppress(StatusError):
            await api.delete(PODS, meta.name, meta.namespace, grace_period_seconds=0, uid=meta.uid)
    elif seen.status.phase == "Pending":
        await set_phase(api, seen, "Running", ready=True)


async def told_of(api: Api, name: str) -> Collection[tuple[str, str]]:
    """Reasons and messages of the Events about the object of this name."""
    found = (await api.list(EVENTS, "default")).items
    return [(e.reason, e.message) for e in found if e.involvedObject.name == name]
