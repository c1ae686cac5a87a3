"""The scheduler against a real API server."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from msgspec.structs import replace
from prometheus_client import REGISTRY

from fairlead.client.api import Api
from fairlead.client.election import ElectionConfig
from fairlead.objects.core_v1 import Pod, PodSchedulingGate
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.resources import EVENTS, LEASES, NODES, PODS, PRIORITYCLASSES
from fairlead.objects.scheduling_v1 import PriorityClass
from fairlead.process import Health
from fairlead.workloads.scheduler import run, run_elected
from tests.client.cluster import eventually, with_server
from tests.workloads.scheduling.makers import far, node, pod, term


def made(name: str, **fields: Any) -> Pod:
    """A pod as a user writes it, without a uid."""
    written = pod(name, **fields)
    return replace(written, metadata=replace(written.metadata, uid=""))


def test_ten_pods_made_at_once_are_spread_and_told() -> None:
    async def two_nodes(api: Api) -> None:
        for name in ("n1", "n2"):
            await api.create(NODES, node(name))

    async def told(api: Api) -> None:
        await asyncio.gather(*(api.create(PODS, made(f"p{n}")) for n in range(10)))

        async def bound() -> bool:
            found = (await api.list(PODS, "default")).items
            return Counter(p.spec.nodeName for p in found) == {"n1": 5, "n2": 5}

        async def said() -> bool:
            found = (await api.list(EVENTS, "default")).items
            return {e.reason for e in found} == {"Scheduled"} and len(found) == 10

        await eventually(bound, "five pods are on each node")
        await eventually(said, "an Event tells of each")

    with_server(told, run, two_nodes)


def test_a_pod_that_fits_nowhere_says_why_and_waits_for_a_node() -> None:
    async def told(api: Api) -> None:
        await api.create(NODES, node("n1"))
        await api.create(PODS, made("a", nodeSelector={"disk": "ssd"}))

        async def unschedulable() -> bool:
            found = (await api.get(PODS, "a", "default")).status.conditions
            return [(c.status, c.reason, c.message) for c in found if c.type == "PodScheduled"] == [
                (
                    "False",
                    "Unschedulable",
                    "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. preemption: "
                    "0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
                )
            ]

        async def bound() -> bool:
            return (await api.get(PODS, "a", "default")).spec.nodeName == "n2"

        await eventually(unschedulable, "its condition says why")
        await api.create(NODES, node("n2", labels={"disk": "ssd"}))
        await eventually(bound, "it is on the node that came")

    with_server(told, run)


def test_a_pod_waits_for_its_gate_and_for_another_to_go() -> None:
    async def told(api: Api) -> None:
        await api.create(NODES, node("n1"))
        await api.create(PODS, made("first"))
        apart = far(term())

        async def on_node(name: str) -> bool:
            return (await api.get(PODS, name, "default")).spec.nodeName == "n1"

        await eventually(lambda: on_node("first"), "the first pod has its node")
        gates = (PodSchedulingGate(name="example.com/wait"),)
        gated = await api.create(PODS, made("second", affinity=apart, schedulingGates=gates))
        assert [c.reason for c in gated.status.conditions] == ["SchedulingGated"]
        open_ = replace(gated, spec=replace(gated.spec, schedulingGates=()))
        await api.replace(PODS, open_)

        async def refused() -> bool:
            found = (await api.get(PODS, "second", "default")).status.conditions
            return [c.message for c in found if c.type == "PodScheduled"] == [
                "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules. preemption: "
                "0/1 nodes are available: 1 No preemption victims found for incoming pod."
            ]

        await eventually(refused, "the second pod, its gate open, says that it may not be with the first")
        await api.delete(PODS, "first", "default", grace_period_seconds=0)
        await eventually(lambda: on_node("second"), "it is there when the first has gone")

    with_server(told, run)


def test_a_pod_goes_for_a_more_important_one() -> None:
    async def told(api: Api) -> None:
        await api.create(NODES, node("n1", cpu="2"))
        await api.create(PODS, made("low", cpu="2"))
        important = PriorityClass(metadata=ObjectMeta(name="important"), value=10)
        await api.create(PRIORITYCLASSES, important)

        async def on_node(name: str) -> bool:
            return (await api.get(PODS, name, "default")).spec.nodeName == "n1"

        await eventually(lambda: on_node("low"), "the first pod has its node")
        await api.create(PODS, made("high", cpu="1", priorityClassName="important"))

        async def ends() -> bool:
            found = await api.get(PODS, "low", "default")
            target = [c.reason for c in found.status.conditions if c.type == "DisruptionTarget"]
            return found.metadata.deletionTimestamp is not None and target == ["PreemptionByScheduler"]

        async def nominated() -> bool:
            status = (await api.get(PODS, "high", "default")).status
            said = [c.message for c in status.conditions if c.type == "PodScheduled"]
            return status.nominatedNodeName == "n1" and said == [
                "0/1 nodes are available: 1 Insufficient cpu. preemption: "
                "not eligible due to a terminating pod on the nominated node."
            ]

        await eventually(ends, "the less important pod ends")
        await eventually(nominated, "the other says on which node it will have room")
        await api.create(PODS, made("equal", cpu="1", priorityClassName="important"))
        await api.create(PODS, made("late", cpu="2"))
        await api.delete(PODS, "low", "default", grace_period_seconds=0)
        await eventually(lambda: on_node("high"), "it is there when the other has gone")
        await eventually(lambda: on_node("equal"), "so is another that is as important")

        async def preempted() -> bool:
            found = (await api.list(EVENTS, "default")).items
            return [e.involvedObject.name for e in found if e.reason == "Preempted"] == ["low"]

        await eventually(preempted, "an Event tells why it ended")
        assert not await on_node("late")

    with_server(told, run)


def figure(name: str, **labels: str) -> float:
    """What the process tells Prometheus."""
    return REGISTRY.get_sample_value(f"scheduler_{name}", labels) or 0.0


def test_of_two_replicas_the_one_that_leads_schedules_and_counts() -> None:
    """The other one takes over when the first has gone; both have the Lease of kube-scheduler."""

    async def told(api: Api) -> None:
        await api.create(NODES, node("n1"))
        first, second = (
            asyncio.create_task(run_elected(api, ElectionConfig("kube-scheduler", identity=name), Health()))
            for name in ("first", "second")
        )

        async def leads() -> str:
            lease = (await api.list(LEASES, "kube-system")).items
            return next(
                (at.spec.holderIdentity or "" for at in lease if at.metadata.name == "kube-scheduler"), ""
            )

        async def on_node(name: str) -> bool:
            return (await api.get(PODS, name, "default")).spec.nodeName == "n1"

        def attempts() -> list[float]:
            results = ("scheduled", "unschedulable", "error")
            return [figure("schedule_attempts_total", result=r, profile="default-scheduler") for r in results]

        async def led() -> bool:
            return bool(await leads())

        await eventually(led, "one of them leads")
        leader = first if await leads() == "first" else second
        before = attempts()
        await api.create(PODS, made("a"))
        await api.create(PODS, made("b", cpu="1000"))
        gated = made("c")
        gates = [PodSchedulingGate(name="example.com/later")]
        await api.create(PODS, replace(gated, spec=replace(gated.spec, schedulingGates=gates)))
        await eventually(lambda: on_node("a"), "a pod gets its node")

        async def counted() -> bool:
            scheduled, unschedulable, errors = (
                now - was for now, was in zip(attempts(), before, strict=True)
            )
            waiting = [
                figure("pending_pods", queue=q) for q in ("active", "backoff", "unschedulable", "gated")
            ]
            return (scheduled, unschedulable, errors) == (1, 1, 0) and waiting == [0, 0, 1, 1]

        await eventually(counted, "each try is counted once, and who waits")
        leader.cancel()
        await asyncio.gather(leader, return_exceptions=True)
        await api.create(PODS, made("d"))
        await eventually(lambda: on_node("d"), "the other one goes on")
        other = second if leader is first else first
        other.cancel()
        await asyncio.gather(other, return_exceptions=True)
        assert figure("pending_pods", queue="unschedulable") == 0

    async def nothing(api: Api, health: Health) -> None:
        await asyncio.Event().wait()

    with_server(told, nothing)
