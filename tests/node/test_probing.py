"""Probes of every kind, and hooks that wait, in real pods: several at once on one node, 15 s."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fairlead.apiserver.certificates import make_authority
from fairlead.objects.core_v1 import ContainerStatus, Pod
from fairlead.objects.resources import EVENTS, PODS
from tests.client.cluster import eventually as holds
from tests.node import checked
from tests.node.places import Cluster, is_ready, root, with_cluster
from tests.node.pods import eventually, reasons, shell, signal_file, state

KINDS = ("HTTP", "HTTPS", "TCP", "gRPC", "exec")
PYTHON = os.path.realpath(sys.executable)
"""Not that of the virtual environment, which may be where pods have folders of their own."""
PATIENT = {"periodSeconds": 1, "timeoutSeconds": 60}
"""Of a probe that asks often, and waits for an answer of a machine that is busy."""


class Folder:
    """What the test and the containers share: the program, and the files by which probes fail."""

    def __init__(self, path: Path) -> None:
        self.path = path
        shutil.copy(checked.__file__, path / "checked.py")
        authority = make_authority(path)
        self.certificate, self.key = authority.issue(path, "server", ["192.0.2.1"])

    def prefix(self, pod: str, kind: str) -> str:
        return f"{self.path}/{pod}-{kind}"

    def files(self, what: str, pods: Iterable[str] = ("own", "side")) -> list[Path]:
        """Those by which all probes of a sort fail."""
        return [Path(f"{self.prefix(pod, kind)}.{what}") for pod in pods for kind in KINDS]

    @contextmanager
    def bad(self, what: str) -> Iterator[None]:
        """All probes of the sort fail until the end of the block."""
        for file in self.files(what):
            file.touch()
        try:
            yield
        finally:
            for file in self.files(what):
                file.unlink(missing_ok=True)

    def container(self, pod: str, number: int, **more: Any) -> dict[str, Any]:
        """One that is probed in three ways of one kind."""
        kind, port = KINDS[number], 8000 + 10 * number
        prefix = self.prefix(pod, kind)
        probes = {}
        for offset, what in enumerate(checked.PROBES):
            actions: dict[str, dict[str, Any]] = {
                "HTTP": {"httpGet": {"port": port, "path": f"/{what}"}},
                "HTTPS": {"httpGet": {"port": port, "path": f"/{what}", "scheme": "HTTPS"}},
                "TCP": {"tcpSocket": {"port": port + offset}},
                "gRPC": {"grpc": {"port": port, "service": what}},
                "exec": {"exec": {"command": ["test", "!", "-e", f"{prefix}.{what}"]}},
            }
            if what == "startup":
                # Not before the program has done what it does at each of its starts.
                done = ["-a", "-e", f"{prefix}.listens", "-a", "!", "-e", f"{prefix}.liveness"]
                actions["exec"]["exec"]["command"] += done
            probes[f"{what}Probe"] = {**actions[kind], **PATIENT, "failureThreshold": 1}
        probes["startupProbe"]["failureThreshold"] = 600
        probes["livenessProbe"]["terminationGracePeriodSeconds"] = 1
        command = [PYTHON, f"{self.path}/checked.py", kind, str(port), prefix]
        command += [str(self.certificate), str(self.key)]
        return {"name": kind.lower(), "image": "any", "command": command, **probes, **more}


def probed(pod: Pod) -> list[ContainerStatus]:
    names = {kind.lower() for kind in KINDS}
    statuses = (*pod.status.initContainerStatuses, *pod.status.containerStatuses)
    return [one for one in statuses if one.name in names]


def every(**expected: Any) -> Any:
    """Whether the fields of all statuses of probed containers are so."""

    def true(pod: Pod) -> bool:
        found = probed(pod)
        return len(found) == len(KINDS) and all(
            getattr(one, name) == value for one in found for name, value in expected.items()
        )

    return true


async def probes_of_every_kind(cluster: Cluster, folder: Folder) -> None:
    """In one pod the containers that are probed are its own, in the other they are its sidecars."""

    async def both(true: Any) -> list[Pod]:
        return [await cluster.until(name, true) for name in ("own", "side")]

    numbers = range(len(KINDS))
    with folder.bad("startup"):
        own = [folder.container("own", number) for number in numbers]
        grace = {"terminationGracePeriodSeconds": 600}
        await cluster.run("own", own[0], containers=own, **grace)
        side = [folder.container("side", number, restartPolicy="Always") for number in numbers]
        program = [PYTHON, f"{folder.path}/checked.py", "none", "0", f"{folder.path}/side-main"]
        main = {"name": "c", "image": "any", "command": program}
        await cluster.run("side", main, initContainers=side, **grace)
        pod = await cluster.until("own", lambda pod: all_run(pod, len(KINDS)))
        assert every(started=False, ready=False)(pod)
        pod = await cluster.until("side", lambda pod: all_run(pod, 1))
        assert [one.state.running is not None for one in probed(pod)] == [number == 0 for number in numbers]
        assert pod.status.phase == "Pending"
    await both(is_ready)
    await both(every(started=True, ready=True, restartCount=0))
    await eventually((folder.path / "side-main.listens").exists)  # or it would not hear that it is to end

    with folder.bad("liveness"):
        for pod in await both(every(started=True, ready=True, restartCount=1)):
            # SIGKILL, after the probe's own grace period: the pod's is ten minutes.
            codes = [one.lastState.terminated.exitCode for one in probed(pod) if one.lastState.terminated]
            assert codes == [137] * len(KINDS)

    # While a pod terminates, it is asked whether it is ready, and no longer whether it lives.
    for name in ("own", "side"):
        await cluster.api.delete(PODS, name, "default")
    told = [*folder.files("told", ["own"]), folder.path / "side-main.told"]
    await eventually(lambda: all(file.exists() for file in told))
    with folder.bad("liveness"), folder.bad("readiness"):
        for pod in await both(every(ready=False)):
            ready = {c.type: c.message for c in pod.status.conditions}["Ready"]
            assert ready == f"containers with unready status: [{' '.join(kind.lower() for kind in KINDS)}]"
    await both(every(ready=True, restartCount=1))


def all_run(pod: Pod, number: int) -> bool:
    """Whether so many of the probed containers run."""
    return sum(one.state.running is not None for one in probed(pod)) == number


async def a_container_that_does_not_start_in_time_is_killed(cluster: Cluster, folder: Folder) -> None:
    """After so many failures in a row as its threshold says, and with its own grace period."""
    log = f"{folder.path}/asked"
    count = f"echo x >>/tmp/asked; wc -l </tmp/asked >>{log}; exit 1"  # each run has a /tmp of its own
    probe = {
        "exec": {"command": ["sh", "-c", count]},
        **PATIENT,
        "failureThreshold": 3,
        "terminationGracePeriodSeconds": 1,
    }
    container = shell("c", "trap '' TERM; sleep 1000", startupProbe=probe)
    await cluster.run("web", container, terminationGracePeriodSeconds=600)
    pod = await cluster.until(
        "web", lambda pod: pod.status.containerStatuses and state(pod).restartCount == 1
    )
    await eventually(lambda: len(Path(log).read_text().split()) >= 4)
    assert Path(log).read_text().split()[:4] == ["1", "2", "3", "1"]
    assert state(pod).started is False

    async def killed() -> bool:
        events = (await cluster.api.list(EVENTS, "default")).items
        return ("Killing", "Container c failed startup probe, will be restarted") in {
            (event.reason, event.message) for event in events
        }

    await holds(killed, "an Event tells why")


async def hooks_that_ask_or_sleep(cluster: Cluster, folder: Folder) -> None:
    log = Path(f"{folder.path}/heard")
    ask = (
        "import http.server as h, signal, sys; sys.stderr = open(sys.argv[1], 'a', 1);"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit()); h.test(h.SimpleHTTPRequestHandler)"
    )
    port = {"name": "web", "containerPort": 8000}
    server = {
        "name": "server",
        "image": "any",
        "command": [PYTHON, "-c", ask, str(log)],
        "restartPolicy": "Always",
        "startupProbe": {"tcpSocket": {"port": 8000}, **PATIENT, "failureThreshold": 60},
    }
    hooks = {
        "postStart": {"httpGet": {"port": "web", "path": "/started"}},
        "preStop": {"httpGet": {"port": 8000, "path": "/stopping", "scheme": "HTTPS"}},
    }
    script = "trap 'exit 0' TERM; touch /tmp/listens; while :; do sleep 0.02; done"
    listens = {"exec": {"command": ["test", "-e", "/tmp/listens"]}, **PATIENT}
    asking = shell("c", script, lifecycle=hooks, ports=[port], readinessProbe=listens)
    await cluster.run("asks", asking, initContainers=[server], terminationGracePeriodSeconds=600)
    pause = {"postStart": {"sleep": {"seconds": 1}}, "preStop": {"sleep": {"seconds": 1}}}
    begun = time.monotonic()
    await cluster.run(
        "sleeps", shell("c", "exec sleep 1000", lifecycle=pause), terminationGracePeriodSeconds=2
    )
    await cluster.until("sleeps", is_ready)
    assert time.monotonic() - begun >= 1
    await cluster.until("asks", is_ready)
    begun = time.monotonic()
    for name in ("asks", "sleeps"):
        await cluster.api.delete(PODS, name, "default")
    for name in ("asks", "sleeps"):
        await cluster.gone(name)
    assert time.monotonic() - begun >= 1
    # Asked for by HTTPS, which is not spoken there, and then by HTTP; whatever the answer is.
    heard = [line for line in log.read_text().splitlines() if '"GET' in line]
    assert [line.split('"')[1].split()[1] for line in heard] == ["/started", "/stopping"]

    async def complaints() -> bool:
        return not {"FailedPostStartHook", "FailedPreStopHook"} & set(await reasons(cluster, "asks"))

    await holds(complaints, "no hook has failed")


@root
def test_probes_and_hooks(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        async with asyncio.TaskGroup() as tasks:
            for story in (
                probes_of_every_kind,
                a_container_that_does_not_start_in_time_is_killed,
                hooks_that_ask_or_sleep,
            ):
                tasks.create_task(story(cluster, folder))

    with signal_file() as (_, file):
        folder = Folder(file.parent)
        with_cluster(tmp_path, test)
