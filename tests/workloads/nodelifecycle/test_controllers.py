"""The controllers of nodes against the real API server: nodes are silent here unless the test renews their Leases."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop
from prometheus_client import REGISTRY

from fairlead.client.api import Api
from fairlead.objects.coordination_v1 import Lease, LeaseSpec
from fairlead.objects.core_v1 import (
    Container,
    Node,
    NodeCondition,
    NodeSpec,
    NodeStatus,
    Pod,
    PodSpec,
    Taint,
    Toleration,
)
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.resources import EVENTS, LEASES, NODES, PODS
from fairlead.objects.scalars import microtime, timestamp
from fairlead.objects.status import StatusError
from fairlead.process import Health
from fairlead.workloads import config
from fairlead.workloads.controller import run
from fairlead.workloads.nodelifecycle import controller as lifecycle
from fairlead.workloads.nodelifecycle.zones import Rates
from tests.client.cluster import api_server, eventually, running, with_server

BEAT = 0.1
CONFIG = config.WorkloadsConfig(
    controllers=(config.NODE_LIFECYCLE, config.TAINT_EVICTION, config.POD_GC),
    node_monitor_grace_period=3.0,
    node_startup_grace_period=3.0,
    rates=Rates(node_eviction_rate=100.0),
    orphan_quarantine=0.2,
    terminated_pod_gc_threshold=2,
)


def start(api: Api, health: Health) -> Coroutine[Any, Any, None]:
    return run(api, CONFIG, health)


async def add_node(api: Api, name: str, *taints: Taint) -> None:
    ready = (NodeCondition(type="Ready", status="True"),)
    await api.create(
        NODES,
        Node(
            metadata=ObjectMeta(name=name), spec=NodeSpec(taints=taints), status=NodeStatus(conditions=ready)
        ),
    )
    spec = LeaseSpec(holderIdentity=name, renewTime=microtime(time.time()))
    await api.create(LEASES, Lease(metadata=ObjectMeta(name=name, namespace="kube-node-lease"), spec=spec))


async def report(api: Api, name: str) -> None:
    """The node says of itself that it is ready."""
    ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": timestamp(time.time())}
    status = {"status": {"conditions": [ready]}}
    await api.patch(NODES, name, "", status, kind="strategic", subresource="status")


async def add_pod(api: Api, name: str, node: str, *tolerations: Toleration) -> None:
    spec = PodSpec(
        nodeName=node, containers=(Container(name="main", image="pause"),), tolerations=tolerations
    )
    await api.create(PODS, Pod(metadata=ObjectMeta(name=name, namespace="default"), spec=spec))
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    await api.patch(PODS, name, "default", {"status": status}, kind="strategic", subresource="status")


async def renew(api: Api, name: str) -> None:
    """The node renews its Lease."""
    await api.patch(LEASES, name, "kube-node-lease", {"spec": {"renewTime": microtime(time.time())}})


@asynccontextmanager
async def alive(api: Api, names: Iterable[str]) -> AsyncIterator[None]:
    """These nodes renew their Leases until the end of the block."""

    async def beat() -> None:
        while True:
            for name in names:
                await renew(api, name)
            await asyncio.sleep(BEAT)

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task  # it fails if a Lease could not be renewed


async def taints_of(api: Api, name: str) -> set[str]:
    found = (await api.get(NODES, name)).spec.taints
    return {f"{t.key.removeprefix('node.kubernetes.io/')}:{t.effect}" for t in found}


async def status_of(api: Api, name: str) -> str:
    pod = await api.get(PODS, name, "default")
    return next(c.status for c in pod.status.conditions if c.type == "Ready")


async def is_going(api: Api, name: str) -> bool:
    try:
        pod = await api.get(PODS, name, "default")
    except StatusError as error:
        return error.code == 404
    return pod.metadata.deletionTimestamp is not None


async def is_gone(api: Api, name: str) -> bool:
    try:
        await api.get(PODS, name, "default")
    except StatusError as error:
        return error.code == 404
    return False


async def reasons(api: Api, about: str) -> set[str]:
    events = await api.list(EVENTS, fields=f"involvedObject.name={about}")
    return {event.reason for event in events.items}


FOR_EVER = Toleration(key="node.kubernetes.io/unreachable", operator="Exists", effect="NoExecute")
FOR_NO_TIME = Toleration(
    key="node.kubernetes.io/unreachable", operator="Exists", effect="NoExecute", tolerationSeconds=0
)


def test_a_node_that_falls_silent_and_comes_back() -> None:
    async def scenario(api: Api) -> None:
        for name in ("dead", "well"):
            await add_node(api, name)
        await add_pod(api, "leaves", "dead", FOR_NO_TIME)
        await add_pod(api, "waits", "dead")
        await add_pod(api, "stays", "dead", FOR_EVER)
        await add_pod(api, "elsewhere", "well")
        async with alive(api, ["well"]):

            async def is_tainted() -> bool:
                return await taints_of(api, "dead") == {"unreachable:NoSchedule", "unreachable:NoExecute"}

            await eventually(is_tainted, "the silent node has both taints")
            await eventually(lambda: is_going(api, "leaves"), "the pod without toleration is deleted")
            node = await api.get(NODES, "dead")
            said = {c.type: (c.status, c.reason) for c in node.status.conditions}
            assert said["Ready"] == ("Unknown", "NodeStatusUnknown")
            assert said["MemoryPressure"] == ("Unknown", "NodeStatusNeverUpdated")
            leaving = await api.get(PODS, "leaves", "default")
            disrupted = next(c for c in leaving.status.conditions if c.type == "DisruptionTarget")
            assert (disrupted.status, disrupted.reason) == ("True", "DeletionByTaintManager")
            for name in ("waits", "stays"):
                assert await status_of(api, name) == "False"
                assert not await is_going(api, name)
            assert await status_of(api, "elsewhere") == "True"
            assert await taints_of(api, "well") == set()

            async def is_told() -> bool:
                told = await reasons(api, "leaves")
                return {"NodeNotReady", "TaintManagerEviction"} <= told and "NodeNotReady" in await reasons(
                    api, "dead"
                )

            await eventually(is_told, "Events say so")
        async with alive(api, ["well", "dead"]):
            await report(api, "dead")

            async def is_clean() -> bool:
                return await taints_of(api, "dead") == set()

            await eventually(is_clean, "the node that is back has no taint any more")
            assert not await is_going(api, "waits")

            async def is_cancelled() -> bool:
                events = await api.list(EVENTS, fields="involvedObject.name=waits")
                return "Cancelling deletion of Pod default/waits" in {e.message for e in events.items}

            await eventually(is_cancelled, "an Event says that the pod stays")

    with_server(scenario, start)


def test_when_every_node_is_silent_nobody_is_evicted_until_one_is_back() -> None:
    async def scenario(api: Api) -> None:
        for name in ("one", "two"):
            await add_node(api, name)
        await add_pod(api, "leaves", "one", FOR_NO_TIME)

        async def are_silent() -> bool:
            found = [await taints_of(api, name) for name in ("one", "two")]
            return all("unreachable:NoSchedule" in each for each in found) and not any(
                "unreachable:NoExecute" in each for each in found
            )

        await eventually(are_silent, "both are silent, and neither expels")
        assert not await is_going(api, "leaves")
        async with alive(api, ["two"]):
            await report(api, "two")
            await eventually(lambda: is_going(api, "leaves"), "the pod of the node that stays away goes")

    with_server(scenario, start)


def test_while_the_server_is_away_nobody_counts_as_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes that could not renew their Leases meanwhile have their whole time once it is back.

    The controller's clock goes when the test says so; after each grace period of the true one, it looks at every node.
    """
    now, grace = [1000.0], 0.3
    monkeypatch.setattr(lifecycle, "time", SimpleNamespace(monotonic=lambda: now[0], time=time.time))
    config = replace(CONFIG, node_monitor_grace_period=grace, node_startup_grace_period=grace)

    async def nodes_are_looked_at(times: int) -> None:
        before = looks()

        async def is_so() -> bool:
            return looks() >= before + times

        await eventually(is_so, "the nodes are looked at")

    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="fairlead-test-")))
            server = AsyncExitStack()
            where = await server.enter_async_context(api_server(folder))
            api, theirs = [await stack.enter_async_context(Api(where)) for _ in range(2)]
            for name in ("dead", "well"):
                await add_node(api, name)
            health = Health()
            await stack.enter_async_context(running(run(theirs, config, health), health))
            await server.aclose()
            now[0] += 10 * grace  # that long it is away
            await nodes_are_looked_at(4)
            port = int(where.server.rpartition(":")[2])
            await stack.enter_async_context(api_server(folder, port))
            await add_node(api, "new")

            async def are_in_touch() -> bool:
                return "RegisteredNode" in await reasons(api, "new")

            async def is_told() -> bool:
                return "NodeNotReady" in await reasons(api, "dead")

            await eventually(are_in_touch, "the controllers are in touch again")
            await nodes_are_looked_at(9)
            for name in ("dead", "well"):
                assert "NodeNotReady" not in await reasons(api, name)
            now[0] += 0.6 * grace
            await renew(api, "well")
            now[0] += 0.6 * grace
            await eventually(is_told, "the node that stays silent is told of")
            assert "NodeNotReady" not in await reasons(api, "well")

    uvloop.run(scenario())


def looks() -> float:
    """How often the controller has looked at a node."""
    labels = {"name": "node_lifecycle"}
    return REGISTRY.get_sample_value("workqueue_work_duration_seconds_count", labels) or 0.0


def test_cordoned_nodes_are_tainted_and_users_taints_expel() -> None:
    async def scenario(api: Api) -> None:
        await add_node(api, "n")
        await add_pod(api, "p", "n")
        async with alive(api, ["n"]):
            await api.patch(NODES, "n", "", {"spec": {"unschedulable": True}})

            async def is_cordoned() -> bool:
                return await taints_of(api, "n") == {"unschedulable:NoSchedule"}

            await eventually(is_cordoned, "the cordoned node is tainted")
            assert not await is_going(api, "p")
            taint = {"key": "maintenance", "effect": "NoExecute"}
            await api.patch(NODES, "n", "", {"spec": {"unschedulable": False, "taints": [taint]}})
            await eventually(lambda: is_going(api, "p"), "the user's taint expels the pod")

            async def is_left() -> bool:
                return await taints_of(api, "n") == {"maintenance:NoExecute"}

            await eventually(is_left, "only the user's taint is left")

    with_server(scenario, start)


def test_pods_of_a_node_that_is_gone_go_and_so_do_too_many_ended_ones() -> None:
    async def scenario(api: Api) -> None:
        for name in ("gone", "well"):
            await add_node(api, name)
        await add_pod(api, "orphan", "gone")
        await add_pod(api, "stays", "well")
        async with alive(api, ["well"]):
            await api.delete(NODES, "gone")
            await eventually(lambda: is_gone(api, "orphan"), "the pod of the node that is gone is removed")
            for number in range(3):
                await add_pod(api, f"ended{number}", "well")
                status = {"status": {"phase": "Succeeded"}}
                await api.patch(PODS, f"ended{number}", "default", status, subresource="status")

            async def two_left() -> bool:
                pods = await api.list(PODS, "default")
                return sum(pod.status.phase == "Succeeded" for pod in pods.items) == 2

            await eventually(two_left, "of three ended pods two are left")
            assert not await is_going(api, "stays")

            held = ObjectMeta(name="held", namespace="default", finalizers=("example.com/hold",))
            spec = PodSpec(containers=(Container(name="main", image="pause"),))
            await api.create(PODS, Pod(metadata=held, spec=spec))
            await api.delete(PODS, "held", "default")

            async def has_ended() -> bool:
                return (await api.get(PODS, "held", "default")).status.phase == "Failed"

            await eventually(has_ended, "a pod that never had a node says that it has ended")
            await api.patch(PODS, "held", "default", {"metadata": {"finalizers": None}})
            await eventually(lambda: is_gone(api, "held"), "it goes when nobody holds it any more")

    with_server(scenario, start)
