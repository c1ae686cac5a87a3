"""Containers that do what nobody expects: what is told of them is true, and no other pod notices."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from fairlead.objects import codec
from fairlead.objects.core_v1 import ConfigMap
from fairlead.objects.resources import CONFIGMAPS, PODS
from tests.node.places import Cluster, is_ready, root, with_cluster
from tests.node.pods import PROBE, Defects, ask, eventually, shell, state

NEVER: dict[str, Any] = {"restartPolicy": "Never"}
LONG = "n" * 253
"""The longest name that a pod may have."""

STAYS = {
    "closes": "exec <&- >&- 2>&-; exec sleep 1000",
    "zombies": "for i in $(seq 50); do (sleep 0.01 & exec sleep 1000) & done; wait",
    "detached": "(setsid sh -c 'while :; do echo tick; sleep 0.05; done' &); exec sleep 1000",
    LONG: "exec sleep 1000",
}
"""Scripts of containers that go on running, by their pods' names."""

ENDS = {
    "daemon": ("setsid sh -c 'setsid sleep 1000 &'; exit 0", 0),
    "floods": ("head -c 25000000 /dev/zero | tr '\\0' x; echo; echo the end; exit 3", 3),  # of logs of 10 MiB
}
"""Scripts of containers that end, and their exit codes."""


async def run(cluster: Cluster, name: str, script: str, **fields: Any) -> None:
    await cluster.run(name, shell("c", script, **fields), terminationGracePeriodSeconds=1)


@root
def test_what_nobody_expects_of_a_container(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        defects = Defects()
        await cluster.run("web", PROBE)
        for name, script in STAYS.items():
            await run(cluster, name, script)
        await cluster.run("daemon", shell("c", ENDS["daemon"][0]), **NEVER)
        await cluster.run("floods", shell("c", ENDS["floods"][0]), **NEVER)
        crowd = [shell(f"c{i}", "exec sleep 1000") for i in range(20)]
        await cluster.run("crowd", containers=crowd, terminationGracePeriodSeconds=1)

        for name in (*STAYS, "crowd"):
            pod = await cluster.until(name, is_ready)
            assert [one.restartCount for one in pod.status.containerStatuses] == [0] * (
                20 if name == "crowd" else 1
            )
        for name in ("daemon", "floods"):
            pod = await cluster.until(name, lambda pod: pod.status.phase in ("Succeeded", "Failed"))
            ended = state(pod).state.terminated
            assert ended is not None
            assert ended.exitCode == ENDS[name][1]
        code, said = await cluster.api.raw(
            "GET", PODS.path("default", "floods", "log"), params={"tailLines": "1"}
        )
        assert (code, said) == (200, b"the end\n")
        web = await cluster.until("web", is_ready)
        assert '"pod": "web"' in await ask(web)
        assert state(web).restartCount == 0

        # What was left running went with its pod, and so does everything else now.
        for name in (*STAYS, "crowd", "daemon", "floods"):
            await cluster.api.delete(PODS, name, "default", grace_period_seconds=0)
        await eventually(lambda: uids(tmp_path) == [web.metadata.uid])
        assert defects.said == []

    with_cluster(tmp_path, test)


def config(name: str, data: dict[str, str]) -> ConfigMap:
    meta = {"name": name, "namespace": "default"}
    return codec.decode(
        ConfigMap, codec.encode({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data})
    )


@root
def test_large_environments_and_volumes(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.api.create(CONFIGMAPS, config("file", {"f": "x" * 1_000_000}))
        await cluster.api.create(CONFIGMAPS, config("many", {f"K{i}": f"v{i}" for i in range(500)}))
        chain = [
            {"name": "E0", "value": "x"},
            *({"name": f"E{i}", "value": f"$(E{i - 1})x"} for i in range(1, 500)),
        ]
        mounted: dict[str, Any] = {"volumes": [{"name": "v", "configMap": {"name": "file"}}], **NEVER}
        at = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
        await cluster.run("file", shell("c", "test $(wc -c </v/f) = 1000000", **at), **mounted)
        source = {"envFrom": [{"configMapRef": {"name": "many"}}]}
        script = 'test "${#E499}" = 500 && test "$K499" = v499'
        await cluster.run("environment", shell("c", script, env=chain, **source), **NEVER)
        # More than the kernel takes as one word (MAX_ARG_STRLEN, 128 KiB): refused with runc's words.
        source = {"envFrom": [{"configMapRef": {"name": "file"}}]}
        await cluster.run("too-large", shell("c", "true", **source), **NEVER)
        await cluster.run("no-folder", shell("c", "true", workingDir="/etc/passwd"), **NEVER)
        found = dict(zip(said, await asyncio.gather(*(over(cluster, name) for name in said)), strict=True))
        assert found == {
            "file": (0, ""),
            "environment": (0, ""),
            "too-large": (128, 'exec: "sh": argument list too long'),
            "no-folder": (128, "mkdir /etc/passwd: not a directory"),
        }

    said = ("file", "environment", "too-large", "no-folder")
    with_cluster(tmp_path, test)


async def over(cluster: Cluster, name: str) -> tuple[int, str]:
    """How a pod's only container has ended: its exit code, and what runc would say of it last."""
    pod = await cluster.until(name, lambda pod: pod.status.phase in ("Succeeded", "Failed"))
    ended = state(pod).state.terminated
    assert ended is not None
    return ended.exitCode, ended.message.rpartition("container init: ")[2]


@root
def test_a_name_that_is_used_again_while_no_agent_runs(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.run("web", PROBE)
        old = await cluster.until("web", is_ready)
        await cluster.stop()
        await cluster.api.delete(PODS, "web", "default", grace_period_seconds=0)
        await cluster.run("web", PROBE)
        await cluster.start()
        new = await cluster.until("web", is_ready)
        assert (new.metadata.uid != old.metadata.uid, state(new).restartCount) == (True, 0)
        assert '"pod": "web"' in await ask(new)
        await eventually(lambda: uids(tmp_path) == [new.metadata.uid])

    with_cluster(tmp_path, test)


def uids(directory: Path) -> list[str]:
    return [path.name for path in (directory / "node" / "pods").iterdir()]
