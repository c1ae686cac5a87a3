"""What pods use of the machine: processor time and memory, summed up over the processes of their containers.

Processes of this machine are no cgroups of their own, so /proc is read when somebody asks: about 0.1 ms a process, in a
thread. Memory is the proportional share (Pss) where the kernel tells it: pages that processes share count once.
Upstream: kubelet/pkg/apis/stats/v1alpha1, pkg/kubelet/server/stats.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fairlead.node.podstate import PodState
from fairlead.objects.scalars import timestamp

SHORTEST, LONGEST = 0.5, 60.0
"""Seconds between the two looks that a rate is made of."""

PAGE = os.sysconf("SC_PAGE_SIZE")
TICK = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Process:
    """A process: its parent, and the processor time of it and of its children that have ended, in seconds."""

    pid: int
    parent: int
    cpu: float


@dataclass(frozen=True)
class Used:
    """What something has used: seconds of a processor, and bytes of memory now."""

    cpu: float = 0.0
    memory: int = 0


@dataclass(frozen=True)
class Asked:
    """A container that runs: its pod's sandbox as this machine knows it, its first process as that sandbox does."""

    id: str
    sandbox: int
    pid: int


def parse_stat(text: bytes) -> Process:
    """A process's line in /proc/PID/stat. The program's name may have anything in it."""
    pid, _, rest = text.partition(b" ")
    fields = rest.rpartition(b")")[2].split()
    return Process(int(pid), int(fields[1]), sum(int(field) for field in fields[11:15]) * TICK)


def tree(root: int, children: Mapping[int, Sequence[int]]) -> list[int]:
    """A process and all that descend from it."""
    found = [root]
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


def look(containers: Sequence[Asked], own: int) -> tuple[dict[str, Used], Used]:
    """What each container uses, by its id, and what this agent's process does. Blocks: reads /proc."""
    processes: dict[int, Process] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal() and (text := _text(f"/proc/{name}/stat")):
            processes[int(name)] = parse_stat(text)
    children: dict[int, list[int]] = {}
    for process in processes.values():
        children.setdefault(process.parent, []).append(process.pid)
    found = {}
    for container in containers:
        depth = len(_inner_pids(container.sandbox))
        for child in children.get(container.sandbox, ()):
            inner = _inner_pids(child)
            if depth and len(inner) >= depth and inner[depth - 1] == container.pid:
                pids = tree(child, children)
                cpu = sum(processes[pid].cpu for pid in pids)
                found[container.id] = Used(cpu, sum(_memory(pid) for pid in pids))
    agent = processes.get(own)
    return found, Used(agent.cpu if agent else 0.0, _memory(own))


def _text(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:  # it has ended
        return b""


def _inner_pids(pid: int) -> list[int]:
    """What a process is called in each of its PID namespaces, from ours inwards."""
    for line in _text(f"/proc/{pid}/status").splitlines():
        if line.startswith(b"NSpid:"):
            return [int(word) for word in line.split()[1:]]
    return []


def _memory(pid: int) -> int:
    for line in _text(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) * 1024
    fields = _text(f"/proc/{pid}/statm").split()
    return int(fields[1]) * PAGE if fields else 0


class Usage:
    """Makes summaries; remembers the last look, for rates."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._at = 0.0
        self._cpu: dict[str, float] = {}

    async def summary(self, node: str, states: Iterable[PodState]) -> dict[str, Any]:
        """The usage of a node and its pods, as /stats/summary has it. Takes half a second where nobody asked lately."""
        running = [state for state in states if state.pod is not None and state.sandbox is not None]
        asked = [
            Asked(record.id, state.sandbox.record.pid, record.pid)
            for state in running
            if state.sandbox is not None
            for record in state.running()
        ]
        async with self._lock:
            if not SHORTEST <= time.monotonic() - self._at <= LONGEST:
                await self._look(asked)
                await asyncio.sleep(SHORTEST)
            before, since = self._cpu, self._at
            used, agent = await self._look(asked)
            rates = {
                one: max(0.0, total - before[one]) / (self._at - since)
                for one, total in self._cpu.items()
                if one in before
            }
        now = timestamp(time.time())
        pods = [_pod(state, used, rates, now) for state in running]
        every = [Used(0.0, 0), agent, *used.values()]
        rate = sum(rates.values())
        return {
            "node": {
                "nodeName": node,
                **_usage(rate, sum(one.cpu for one in every), sum(one.memory for one in every), now),
            },
            "pods": pods,
        }

    async def _look(self, asked: Sequence[Asked]) -> tuple[dict[str, Used], Used]:
        used, agent = await asyncio.to_thread(look, asked, os.getpid())
        self._at = time.monotonic()
        self._cpu = {"": agent.cpu, **{one: found.cpu for one, found in used.items()}}
        return used, agent


def _pod(state: PodState, used: Mapping[str, Used], rates: Mapping[str, float], now: str) -> dict[str, Any]:
    assert state.pod is not None
    meta = state.pod.metadata
    containers = []
    for record in state.running():
        if (found := used.get(record.id)) is None:
            continue
        age = max(SHORTEST, time.time() - record.started_at)
        rate = rates.get(record.id, found.cpu / age)  # one that is new has its whole life for a rate
        started = timestamp(record.started_at)
        usage = _usage(rate, found.cpu, found.memory, now)
        containers.append({"name": record.name, "startTime": started, **usage})
    total = _usage(
        sum(one["cpu"]["usageNanoCores"] for one in containers) / 1e9,
        sum(one["cpu"]["usageCoreNanoSeconds"] for one in containers) / 1e9,
        sum(one["memory"]["usageBytes"] for one in containers),
        now,
    )
    reference = {"name": meta.name, "namespace": meta.namespace, "uid": meta.uid}
    return {"podRef": reference, "startTime": state.pod.status.startTime, "containers": containers, **total}


def _usage(rate: float, cpu: float, memory: int, now: str) -> dict[str, Any]:
    return {
        "cpu": {"time": now, "usageNanoCores": int(rate * 1e9), "usageCoreNanoSeconds": int(cpu * 1e9)},
        "memory": {"time": now, "usageBytes": memory, "workingSetBytes": memory, "rssBytes": memory},
    }
