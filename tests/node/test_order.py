"""In which order others hear of what becomes of a pod: phases, conditions, generations, and who has its address."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from fairlead.client.api import WatchEvent
from fairlead.objects.core_v1 import Pod
from fairlead.objects.resources import PODS
from tests.node.places import Cluster, is_ready, root, with_cluster
from tests.node.pods import eventually, obedient, shell, signal_file

Event = WatchEvent[Pod]


async def follow(cluster: Cluster, told: list[Event]) -> None:
    """Keeps every change of a pod from the first one on."""
    async for event in cluster.api.watch(PODS, "default", resource_version="", initial=True):
        if event.type in ("ADDED", "MODIFIED", "DELETED"):
            told.append(event)


def steps(told: list[Event], name: str) -> list[tuple[str, ...]]:
    """What was told of a pod, each change once: its phase, whether it terminates, and its conditions that are true."""
    pods = [event.object for event in told if event.object.metadata.name == name and event.type != "DELETED"]
    return [one for one, _ in groupby(map(_step, pods))]


def _step(pod: Pod) -> tuple[str, ...]:
    true = [c.type for c in pod.status.conditions if c.status == "True"]
    return (pod.status.phase, "terminating" if pod.metadata.deletionTimestamp else "", *true)


@root
def test_a_pods_life_is_told_in_order_and_its_address_is_free_after_it(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        cluster.config = replace(cluster.config, pod_cidrs=("10.244.1.0/30",))  # one address
        await cluster.start()
        told: list[Event] = []
        following = asyncio.create_task(follow(cluster, told))
        ready = ["test", "-e", f"{go}.ready"]
        probe = {"exec": {"command": ready}, "periodSeconds": 1, "timeoutSeconds": 60}
        await cluster.run(
            "old", obedient("c", "exit 3", readinessProbe=probe), initContainers=[shell("init", until_told)]
        )
        await cluster.until("old", lambda pod: sandboxed <= set(_step(pod)))
        go.touch()
        await cluster.until("old", lambda pod: pod.status.phase == "Running" and not is_ready(pod))
        Path(f"{go}.ready").touch()
        old = await cluster.until("old", is_ready)
        await cluster.run("new")
        await cluster.api.delete(PODS, "old", "default")
        await eventually(lambda: any(e.object.metadata.name == "new" and is_ready(e.object) for e in told))
        following.cancel()

        assert told[-1].object.status.podIP == old.status.podIP == "10.244.1.2"
        ends = [i for i, e in enumerate(told) if e.object.metadata.name == "old" and e.type == "DELETED"]
        has = [i for i, e in enumerate(told) if e.object.metadata.name == "new" and e.object.status.podIP]
        assert len(ends) == 1
        assert ends[0] < has[0]

        up = ("PodReadyToStartContainers", "Initialized")
        all_true = (*up, "Ready", "ContainersReady", "PodScheduled")
        seen = steps(told, "old")
        wanted = [
            ("Pending", "", "PodReadyToStartContainers", "PodScheduled"),
            ("Running", "", *up, "PodScheduled"),
            ("Running", "", *all_true),
            ("Running", "terminating", *all_true),
            ("Failed", "terminating", "Initialized", "PodScheduled"),
        ]
        assert [step for step in seen if step in wanted] == wanted, seen
        phases = [phase for phase, _ in groupby(step[0] for step in seen)]
        assert phases == ["Pending", "Running", "Failed"]

        last = told[ends[0]].object
        generations = [
            e.object.status.observedGeneration for e in told[: ends[0]] if e.object.metadata.name == "old"
        ]
        assert generations == sorted(generations)
        assert (
            last.metadata.generation == old.metadata.generation + 1
        )  # that it terminates is a change of its spec
        assert last.status.observedGeneration == last.metadata.generation
        assert {c.observedGeneration for c in last.status.conditions} == {last.metadata.generation}
        ended = last.status.containerStatuses[0].state.terminated
        assert ended is not None
        assert ended.exitCode == 3

    sandboxed = {"PodReadyToStartContainers", "PodScheduled"}
    with signal_file() as (until_told, go):
        with_cluster(tmp_path, test, start=False)
