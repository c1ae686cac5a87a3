"""Pods on nodes: how fast they start, what they cost while they run, as processes and simulated."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import cluster
from bench import lab as labs
from bench.report import Measure, Unavailable
from fairlead.client.api import Api
from fairlead.client.informer import Change, Informer
from fairlead.client.kubeconfig import Config, load
from fairlead.node import agent
from fairlead.node.simulated import SIMULATED
from fairlead.objects import resources
from fairlead.objects.core_v1 import Container, ContainerPort, Pod, PodSpec
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.resources import PODS
from fairlead.process import Health
from fairlead.process import run as run_process

TITLE = "Pods: started a second, memory and CPU of each; simulated ones"
NODES, AGENTS = 3, 4
DEADLINE = 480.0
IDLE_SECONDS = 20.0
TICKS = os.sysconf("SC_CLK_TCK")
WRITERS = 16
"""Requests at a time with which pods are made."""


def measure(quick: bool) -> list[Measure]:
    """Makes a lab and fills it, then agents of their own for simulated pods; everything goes again."""
    if os.geteuid() != 0:
        raise Unavailable("it looks into the lab's processes, which takes root")
    processes, simulated = (60, 1000) if quick else (500, 20_000)
    return [*_processes(processes), *_simulated(simulated)]


def _processes(count: int) -> list[Measure]:
    with TemporaryDirectory(prefix="fairlead-bench-") as folder:
        kubeconfig = Path(folder) / "kubeconfig"
        with labs.lab(kubeconfig, nodes=NODES):
            seconds = asyncio.run(_fill(load(kubeconfig), count, lambda n: _pod(n, f"node{n % NODES + 1}")))
            after = labs.pss()
            agents = [pid for pid, name in _lab_processes() if re.fullmatch(r"fairlead-node\d+", name)]
            idle = _cpu_share(agents)
    pods = sum(megabytes for name, megabytes in after.items() if name.startswith("pod:") or name == "python3")
    return [
        Measure(f"{count} pods on {NODES} nodes, from the first made to all ready", (seconds,), "s"),
        Measure("  started a second", (count / seconds,), "/s", budget=10, more_is_better=True),
        Measure("  memory of a pod: its processes (PSS)", (pods * 1000 / count,), "kB"),
        Measure("  CPU of a node's agent and proxy, idle, of one core", (idle / NODES,), "%", budget=2),
    ]


def _simulated(count: int) -> list[Measure]:
    with TemporaryDirectory(prefix="fairlead-bench-") as folder, ExitStack() as stack:
        directory = Path(folder)
        config = stack.enter_context(cluster.api_server(directory))
        asyncio.run(_with(config, cluster.until_up))
        pids = [stack.enter_context(_agent(config, directory, number)) for number in range(AGENTS)]
        asyncio.run(_until_nodes(config))
        memory, cpu = sum(map(cluster.pss, pids)), sum(map(_cpu, pids))
        seconds = asyncio.run(
            _fill(config, count, lambda n: _pod(n, f"sim{n % AGENTS}", {SIMULATED: "true"}))
        )
        used = sum(map(_cpu, pids)) - cpu
        memory = sum(map(cluster.pss, pids)) - memory
        idle = _cpu_share(pids)
    return [
        Measure(
            f"{count} simulated pods on {AGENTS} nodes, from the first made to all ready", (seconds,), "s"
        ),
        Measure("  CPU of the agents for each", (used / count * 1e6,), "us"),
        Measure("  memory of the agents for each (PSS)", (memory / count / 1000,), "kB"),
        Measure("  CPU of an agent, idle, of one core", (idle / AGENTS,), "%", budget=2),
    ]


def _pod(number: int, node: str, annotations: dict[str, str] | None = None) -> Pod:
    """An echo pod, bound to its node."""
    container = Container(name="echo", image="fairlead/echo", ports=(ContainerPort(containerPort=8080),))
    return Pod(
        metadata=ObjectMeta(name=f"echo-{number}", namespace="default", annotations=annotations or {}),
        spec=PodSpec(containers=(container,), nodeName=node),
    )


async def _with(config: Config, work: Callable[[Api], Awaitable[None]]) -> None:
    async with Api(config) as api:
        await work(api)


async def _fill(config: Config, count: int, pod: Callable[[int], Pod]) -> float:
    """Makes the pods; gives the seconds until each of them says that it is ready."""
    async with Api(config) as api:
        ready: set[str] = set()
        done = asyncio.Event()
        informer = Informer(api, PODS)

        def look(change: Change[Pod]) -> None:
            new = change.new
            if new is None or not any(
                c.type == "Ready" and c.status == "True" for c in new.status.conditions
            ):
                return
            if new.metadata.namespace == "default":
                ready.add(new.metadata.name)
            if len(ready) >= count:
                done.set()

        informer.subscribe(look)
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(informer.run())
            await informer.synced()
            began = time.monotonic()
            numbers = iter(range(count))

            async def make() -> None:
                for number in numbers:
                    await api.create(PODS, pod(number))

            makers = [tasks.create_task(make()) for _ in range(WRITERS)]
            async with asyncio.timeout(DEADLINE):
                await done.wait()
            took = time.monotonic() - began
            await asyncio.gather(*makers)
            following.cancel()
        return took


async def _until_nodes(config: Config) -> None:
    async with Api(config) as api, asyncio.timeout(cluster.DEADLINE):
        while len((await api.list(resources.NODES)).items) < AGENTS:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@contextmanager
def _agent(config: Config, directory: Path, number: int) -> Iterator[int]:
    """An agent alone, in a network namespace of its own, with 16,381 addresses for pods."""

    async def work() -> None:
        node = agent.NodeConfig(
            name=f"sim{number}",
            addresses=(f"192.168.1.{number + 10}",),
            pod_cidrs=(f"10.{128 + number}.0.0/18",),
            state_directory=directory / f"sim{number}",
        )
        async with Api(config) as api:
            await agent.run(api, node, Health())

    with cluster.child(lambda: run_process(work)) as pid:
        yield pid


def _lab_processes() -> list[tuple[int, str]]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if labs.NAME.encode() in (process / "cmdline").read_bytes().split(b"\0"):
                found.append((int(process.name), (process / "comm").read_text().strip()))
    return found


def _cpu(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _cpu_share(pids: list[int]) -> float:
    """The percents of one core that the processes use together, over a while."""
    time.sleep(IDLE_SECONDS / 2)  # what was under way comes to its end
    before, began = sum(map(_cpu, pids)), time.monotonic()
    time.sleep(IDLE_SECONDS)
    return (sum(map(_cpu, pids)) - before) / (time.monotonic() - began) * 100
