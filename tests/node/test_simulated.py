"""Pods without processes: what they say of themselves, and their lives through the API."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from fairlead.node.config import pods_of
from fairlead.node.simulated import SIMULATED, make
from fairlead.objects import codec
from fairlead.objects.core_v1 import Container, Pod, PodSpec, PodStatus, Probe
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.resources import PODS
from tests.node.places import Cluster, interfaces, is_ready, root, with_cluster

NOW = 1_000_000.0


def pod(delay: int = 0, deadline: int | None = None) -> Pod:
    probe = Probe(initialDelaySeconds=delay)
    return Pod(
        metadata=ObjectMeta(name="web", namespace="default", uid="u", annotations={SIMULATED: "true"}),
        spec=PodSpec(
            initContainers=(Container(name="i"), Container(name="s", restartPolicy="Always")),
            containers=(Container(name="c", readinessProbe=probe),),
            activeDeadlineSeconds=deadline,
        ),
        status=PodStatus(phase="Pending"),
    )


CASES = {
    "at once": (pod(), 0, "Running", "True", None),
    "not before its probe would be asked": (pod(5), 4, "Running", "False", 5),
    "then": (pod(5), 5, "Running", "True", None),
    "until its deadline": (pod(deadline=60), 59, "Running", "True", 60),
    "is over": (pod(deadline=60), 60, "Failed", "False", None),
}


@pytest.mark.parametrize("name", CASES)
def test_a_life_without_a_process(name: str) -> None:
    given, passed, phase, ready, wake = CASES[name]
    first, _ = make(given, ("10.0.0.2",), ("192.0.2.1",), NOW)
    given = replace(given, status=first)
    made, when = make(given, ("10.0.0.2",), ("192.0.2.1",), NOW + passed)
    assert (made.phase, {c.type: c.status for c in made.conditions}["Ready"]) == (phase, ready)
    assert when == (None if wake is None else NOW + wake)
    assert (made.podIP, made.initContainerStatuses[0].ready) == ("10.0.0.2", True)
    assert make(replace(given, status=made), ("10.0.0.2",), ("192.0.2.1",), NOW + passed)[0] == made


def test_a_node_says_that_it_can_have_as_many_pods_as_addresses() -> None:
    assert [pods_of([cidr]) for cidr in ("10.0.0.0/24", "10.0.0.0/28", "10.0.0.0/18")] == [250, 250, 16381]


@root
def test_simulated_pods_come_stay_and_go(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        async def create(name: str) -> None:
            body = {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "namespace": "default", "annotations": {SIMULATED: "true"}},
                "spec": {"nodeName": "node1", "containers": [{"name": "c", "image": "any"}]},
            }
            await cluster.api.create(PODS, codec.decode(Pod, codec.encode(body)))

        names = [f"web-{number}" for number in range(20)]
        for name in names:
            await create(name)
        before = [await cluster.until(name, is_ready) for name in names]
        assert len({pod.status.podIP for pod in before}) == 20
        assert interfaces() == ["lo"]
        assert not (cluster.config.state_directory / "pods").exists()
        await cluster.stop()
        await cluster.start()
        await cluster.run("real")
        await create("late")
        real, late = await cluster.until("real", is_ready), await cluster.until("late", is_ready)
        assert len({pod.status.podIP for pod in (*before, real, late)}) == 22
        for known in before:
            assert (
                await cluster.get(known.metadata.name) == known
            )  # taken up as they were, and not written again
        for name in names:
            await cluster.api.delete(PODS, name, "default")
        for name in names:
            await cluster.gone(name)

    with_cluster(tmp_path, test)
