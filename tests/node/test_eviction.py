"""Which pods are evicted for what they store, and how that is measured."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from fairlead.node import eviction
from fairlead.node.eviction import Storage, Usage, is_limited, measure, verdict
from fairlead.objects.core_v1 import (
    Container,
    EmptyDirVolumeSource,
    Pod,
    PodSpec,
    ResourceRequirements,
    Volume,
)
from fairlead.objects.resources import EVENTS
from tests.client.cluster import eventually as holds
from tests.node.places import Cluster, is_ready, root, with_cluster
from tests.node.pods import shell


def pod(size: str | None = None, *limits: str, medium: str = "") -> Pod:
    """A pod with an emptyDir `v` of a size and containers `c0`, `c1` ... with limits of their storage, or none."""
    containers = tuple(
        Container(
            name=f"c{number}",
            resources=ResourceRequirements(limits={"ephemeral-storage": limit} if limit else {}),
        )
        for number, limit in enumerate(limits or ("",))
    )
    volume = Volume(name="v", emptyDir=EmptyDirVolumeSource(sizeLimit=size, medium=medium))
    return Pod(spec=PodSpec(containers=containers, volumes=(volume,)))


CASES = {
    "no limit": (pod(), Usage({"v": 1 << 40}, {"c0": 1 << 40}), None),
    "within": (pod("1Mi", "2Mi"), Usage({"v": 1 << 20}, {"c0": 1 << 20}), None),
    "an emptyDir": (
        pod("1Mi", "9Mi"),
        Usage({"v": (1 << 20) + 1}),
        'Usage of EmptyDir volume "v" exceeds the limit "1Mi". ',
    ),
    "in memory the kernel limits it": (pod("1Mi", medium="Memory"), Usage({"v": 1 << 30}), None),
    "logs, root and emptyDirs together": (
        pod(None, "2Mi"),
        Usage({"v": 1 << 20}, {"c0": (1 << 20) + 1}),
        "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. ",
    ),
    "of several containers": (
        pod(None, "1k", "2k"),
        Usage({"v": 2000}, {"c0": 500, "c1": 501}),
        "Pod ephemeral local storage usage exceeds the total limit of containers 3000. ",
    ),
    "one container": (
        pod(None, "1k", "2k"),
        Usage({}, {"c0": 1001, "c1": 0}),
        'Container c0 exceeded its local ephemeral storage limit "1k". ',
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_who_is_evicted(name: str) -> None:
    given, usage, message = CASES[name]
    found = verdict(given, usage)
    assert (found.message if found else None) == message
    assert found is None or (found.reason, found.disrupted) == ("Evicted", True)
    assert is_limited(given) == (name not in ("no limit", "in memory the kernel limits it"))


def test_what_is_measured(tmp_path: Path) -> None:
    for path in ("volumes/v/a/b", "logs/c0/0.log", "layers/c0/0/upper/etc/x", "volumes/other/x"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"x" * 100_000)
    os.link(tmp_path / "volumes/v/a/b", tmp_path / "volumes/v/again")
    (tmp_path / "volumes/v/loop").symlink_to(tmp_path)
    usage = asyncio.run(measure(pod(), tmp_path))
    assert 100_000 <= usage.volumes["v"] < 130_000
    assert 200_000 <= usage.containers["c0"] < 230_000


def test_a_clock_that_was_set_back_does_not_stop_the_measuring(tmp_path: Path) -> None:
    (tmp_path / "volumes/v").mkdir(parents=True)
    (tmp_path / "volumes/v/x").write_bytes(b"x" * 100_000)
    storage = Storage(tmp_path)

    async def look(now: float) -> bool:
        return (await storage.check(pod("1k"), now))[0] is not None

    assert [asyncio.run(look(now)) for now in (10_000.0, 10_001.0, 5_000.0)] == [True, False, True]


@root
def test_a_pod_that_fills_its_volume_is_evicted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eviction, "EVERY", 0.1)

    async def test(cluster: Cluster) -> None:
        volumes = [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]
        mounts = [{"name": "v", "mountPath": "/data"}]
        write = "dd if=/dev/zero of=/data/x bs=1k count={} 2>/dev/null; exec sleep 1000"
        grace = {"terminationGracePeriodSeconds": 600}
        full = shell("c", write.format(2000), volumeMounts=mounts)
        await cluster.run("full", full, volumes=volumes, **grace)
        await cluster.run(
            "other", shell("c", write.format(500), volumeMounts=mounts), volumes=volumes, **grace
        )
        pod = await cluster.until("full", lambda pod: pod.status.phase == "Failed")
        assert (pod.status.reason, pod.status.message) == (
            "Evicted",
            'Usage of EmptyDir volume "v" exceeds the limit "1Mi". ',
        )
        target = {c.type: c for c in pod.status.conditions}["DisruptionTarget"]
        assert (target.status, target.reason) == ("True", "TerminationByKubelet")
        assert is_ready(await cluster.until("other", is_ready))

        async def told() -> bool:
            return "Evicted" in {event.reason for event in (await cluster.api.list(EVENTS, "default")).items}

        await holds(told, "an Event tells of it")

    with_cluster(tmp_path, test)
