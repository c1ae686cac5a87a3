"""A pod's way from its start to its end, with real processes: hooks, the order of ends, limits of time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fairlead.node import namespaces
from fairlead.node.sandbox import podnamespaces
from fairlead.objects.core_v1 import ContainerStatus, Pod
from fairlead.objects.resources import PODS
from tests.client.cluster import eventually as holds
from tests.node.places import Cluster, is_ready, root, with_cluster
from tests.node.pods import reasons, shell, signal_file, state, telling


@root
def test_sidecars_outlive_the_containers_that_they_serve(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        sidecar = {"restartPolicy": "Always"}

        def hook(name: str) -> dict[str, Any]:
            return {
                "lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", f"echo {name}-hook >>{file}"]}}}
            }

        inits = [telling("first", file, **sidecar), telling("second", file, **sidecar, **hook("second"))]
        await cluster.run(
            "web", telling("c", file, **hook("c")), initContainers=inits, terminationGracePeriodSeconds=600
        )
        other = Path(f"{file}.done")
        work = shell("c", f"until test -e {other}; do sleep 0.02; done")
        inits = [telling("helper", Path(f"{file}.helper"), **sidecar)]
        await cluster.run("work", work, initContainers=inits, restartPolicy="Never")
        await cluster.until("web", is_ready)
        await cluster.until("work", is_ready)
        await cluster.api.delete(PODS, "web", "default")
        await cluster.gone("web")
        said = file.read_text().split()
        assert said.index("second-hook") < said.index("second")
        said.remove("second-hook")  # it begins when the other one does, and may take longer
        assert said == ["c-hook", "c", "second", "first"]
        other.touch()
        pod = await cluster.until("work", lambda pod: pod.status.phase == "Succeeded")
        ended = pod.status.initContainerStatuses[0].state.terminated
        assert ended is not None
        assert ended.exitCode == 0  # it was asked, not killed

    with signal_file() as (_, file):
        with_cluster(tmp_path, test)


@root
def test_a_container_has_started_when_its_hook_has_ended(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        grace = {"terminationGracePeriodSeconds": 1}
        hook = {"postStart": {"exec": {"command": ["sh", "-c", until_told]}}}
        await cluster.run("web", {"lifecycle": hook}, **grace)
        failing = {"postStart": {"exec": {"command": ["false"]}}}
        await cluster.run("failing", {"lifecycle": failing}, **grace)

        async def told(name: str, reason: str) -> None:
            async def true() -> bool:
                return reason in await reasons(cluster, name)

            await holds(true, f"an Event {reason} about {name}")

        await told("web", "Started")
        pod = await cluster.until("web", lambda pod: bool(pod.status.containerStatuses))
        assert (pod.status.phase, state(pod).ready, state(pod).started) == ("Pending", False, False)
        assert state(pod).state.waiting is not None
        file.touch()
        pod = await cluster.until("web", is_ready)
        assert state(pod).restartCount == 0
        pod = await cluster.until("failing", restarted)
        assert not is_ready(pod)
        await told("failing", "FailedPostStartHook")
        await told("failing", "Killing")

    with signal_file() as (until_told, file):
        with_cluster(tmp_path, test)


@root
def test_a_container_says_why_it_ended(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        never = {"restartPolicy": "Never"}
        await cluster.run("told", shell("c", "echo gave up >/dev/termination-log; exit 3"), **never)
        elsewhere = {"terminationMessagePath": "/var/lib/x/end", "securityContext": {"runAsUser": 65534}}
        await cluster.run("path", shell("c", "echo done >/var/lib/x/end", **elsewhere), **never)
        fallback = {"terminationMessagePolicy": "FallbackToLogsOnError"}
        await cluster.run("log", shell("c", "echo one; echo two >&2; exit 1", **fallback), **never)
        said = {}
        for name in ("told", "path", "log"):
            pod = await cluster.until(name, lambda pod: pod.status.phase in ("Succeeded", "Failed"))
            ended = state(pod).state.terminated
            assert ended is not None
            said[name] = (ended.exitCode, sorted(ended.message.split("\n")))
        assert said == {
            "told": (3, ["", "gave up"]),
            "path": (0, ["", "done"]),
            "log": (1, ["", "one", "two"]),
        }

    with_cluster(tmp_path, test)


@root
def test_a_container_that_forks_without_end_leaves_the_node_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if namespaces.kernel() < (6, 14):
        pytest.skip("this kernel cannot limit the processes of a PID namespace (from Linux 6.14 on)")
    monkeypatch.setattr(podnamespaces, "MOST_PROCESSES", 400)  # the machine of the tests has other work, too

    async def test(cluster: Cluster) -> None:
        grace = {"terminationGracePeriodSeconds": 1}
        # A shell that cannot fork ends, with all that it has started.
        script = "for i in $(seq 500); do sleep 1000 & done"
        await cluster.run("many", shell("c", script), restartPolicy="Never", **grace)
        await cluster.run("web")
        pod = await cluster.until("many", lambda pod: pod.status.phase == "Failed")
        ended = state(pod).state.terminated
        assert ended is not None
        assert ended.exitCode == 2
        await cluster.until("web", is_ready)

    with_cluster(tmp_path, test)


@root
def test_a_full_disk_hides_nothing_and_stops_nobody_else(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        small = cluster.config.state_directory
        small.mkdir()
        namespaces.mount("tmpfs", small, "tmpfs", 0, "size=6m")
        await cluster.start()
        await cluster.run("web")
        await cluster.until("web", is_ready)
        fill = "dd if=/dev/zero of=/data/x bs=64k; echo no room; dd if=/dev/zero of=/data/y bs=1; exit 5"
        volumes = [{"name": "v", "emptyDir": {}}]
        mounts = [{"name": "v", "mountPath": "/data"}]
        await cluster.run(
            "full", shell("c", fill, volumeMounts=mounts), restartPolicy="Never", volumes=volumes
        )
        pod = await cluster.until("full", lambda pod: pod.status.phase == "Failed")
        ended = state(pod).state.terminated
        assert ended is not None
        assert ended.exitCode == 5
        assert is_ready(await cluster.until("web", is_ready))
        await cluster.api.delete(PODS, "full", "default")
        await cluster.gone("full")
        await cluster.run("next")
        assert state(await cluster.until("next", is_ready)).restartCount == 0
        assert state(await cluster.until("web", is_ready)).restartCount == 0

    with_cluster(tmp_path, test, start=False)


@root
def test_an_ephemeral_container_looks_around_in_its_target(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.run("web", shell("c", "exec sleep 1000"), terminationGracePeriodSeconds=1)
        before = await cluster.until("web", is_ready)
        script = (
            'test "$(cat /proc/1/comm)" = sleep && test "$(cat /proc/net/dev | grep -c eth0)" = 1 && exit 7'
        )
        added = {**shell("debug", script), "targetContainerName": "c"}
        patch = {"spec": {"ephemeralContainers": [added]}}
        await cluster.api.patch(
            PODS, "web", "default", patch, kind="strategic", subresource="ephemeralcontainers"
        )
        pod = await cluster.until("web", lambda pod: debugged(pod) and debugged(pod)[0].state.terminated)
        ended = debugged(pod)[0].state.terminated
        assert ended is not None
        assert (ended.exitCode, ended.reason) == (7, "Error")
        assert is_ready(pod)
        assert state(pod) == state(before)
        # One whose target has ended already.
        both = [shell("c", "exec sleep 1000"), shell("over", "exit 0")]
        await cluster.run("half", containers=both, restartPolicy="Never", terminationGracePeriodSeconds=1)
        await cluster.until("half", lambda pod: over_in(pod, "over") and is_running(pod, "c"))
        added["targetContainerName"] = "over"
        await cluster.api.patch(
            PODS, "half", "default", patch, kind="strategic", subresource="ephemeralcontainers"
        )
        pod = await cluster.until("half", cannot_be_debugged)
        waiting = debugged(pod)[0].state.waiting
        assert waiting is not None
        assert waiting.message == "unable to find target container over"
        assert is_running(pod, "c")

    with_cluster(tmp_path, test)


def cannot_be_debugged(pod: Pod) -> bool:
    """Whether the pod's ephemeral container cannot be started."""
    waiting = debugged(pod)[0].state.waiting if debugged(pod) else None
    return waiting is not None and waiting.reason == "CreateContainerConfigError"


def over_in(pod: Pod, name: str) -> bool:
    """Whether a container of the pod has ended."""
    return any(one.name == name and one.state.terminated for one in pod.status.containerStatuses)


def is_running(pod: Pod, name: str) -> bool:
    """Whether a container of the pod runs."""
    return any(one.name == name and one.state.running for one in pod.status.containerStatuses)


def restarted(pod: Pod) -> bool:
    """Whether a container has been, which has a status by then."""
    return any(container.restartCount for container in pod.status.containerStatuses)


def debugged(pod: Pod) -> tuple[ContainerStatus, ...]:
    return pod.status.ephemeralContainerStatuses


@root
def test_a_pod_has_the_time_that_it_is_given(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.run(
            "late", shell("c", "sleep 1000"), activeDeadlineSeconds=1, terminationGracePeriodSeconds=1
        )
        stubborn = shell("c", "trap '' TERM; sleep 1000")
        await cluster.run("stubborn", stubborn, terminationGracePeriodSeconds=3600)
        await cluster.until("stubborn", is_ready)
        await cluster.api.delete(PODS, "stubborn", "default")
        await cluster.until("stubborn", lambda pod: pod.metadata.deletionTimestamp)
        await cluster.api.delete(PODS, "stubborn", "default", grace_period_seconds=1)
        pod = await cluster.until("late", lambda pod: pod.status.phase == "Failed")
        assert pod.status.reason == "DeadlineExceeded"
        assert pod.status.message == "Pod was active on the node longer than the specified deadline"
        ended = state(pod).state.terminated
        assert ended is not None
        assert ended.exitCode == 137
        assert {c.type: c.reason for c in pod.status.conditions}["Ready"] == "PodFailed"
        await cluster.gone("stubborn")

    with_cluster(tmp_path, test)


@root
def test_a_gate_keeps_a_pod_from_being_ready(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        gate = "example.org/open"
        await cluster.run("web", readinessGates=[{"conditionType": gate}], terminationGracePeriodSeconds=0)

        def ready(pod: Pod) -> tuple[str, str, str]:
            found = next((c for c in pod.status.conditions if c.type == "Ready"), None)
            return (found.status, found.reason, found.message) if found else ("", "", "")

        pod = await cluster.until("web", lambda pod: ready(pod)[1] == "ReadinessGatesNotReady")
        assert ready(pod)[2] == f'corresponding condition of pod readiness gate "{gate}" does not exist.'
        assert {c.type: c.status for c in pod.status.conditions}["ContainersReady"] == "True"
        for status in ("True", "False"):
            patch = {"status": {"conditions": [{"type": gate, "status": status}]}}
            await cluster.api.patch(PODS, "web", "default", patch, kind="strategic", subresource="status")
            pod = await cluster.until("web", lambda pod, status=status: ready(pod)[0] == status)  # type: ignore[misc]
        assert ready(pod)[2] == f'the status of pod readiness gate "{gate}" is not "True", but False'

    with_cluster(tmp_path, test)
