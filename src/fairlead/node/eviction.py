"""Pods that store more on their node than they may: emptyDirs, logs and what containers write into their roots.

Only pods with such a limit are measured, and only by looking at their files: nothing stops a container between two
looks. Upstream: localStorageEviction in pkg/kubelet/eviction/eviction_manager.go.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from fairlead.node.container import LAYERS
from fairlead.node.containers import containers_of
from fairlead.node.status import Failure
from fairlead.node.volumes import FOLDER
from fairlead.objects.core_v1 import Pod, Volume
from fairlead.objects.quantities import parse

EVERY = 10.0
"""Seconds between two looks, as the kubelet's monitoring interval."""

RESOURCE = "ephemeral-storage"

PAUSE_AFTER = 500
"""Files that are looked at before others get their turn: the agent has one thread."""

GRACE = 1.0
"""Seconds that the containers of an evicted pod have to end (immediateEvictionGracePeriodSeconds)."""


@dataclass(frozen=True)
class Usage:
    """What a pod takes of the disk, in bytes: by name of the emptyDir, and of the container."""

    volumes: Mapping[str, int] = field(default_factory=dict)
    containers: Mapping[str, int] = field(default_factory=dict)
    """Its logs and what it has written into its root."""


def is_limited(pod: Pod) -> bool:
    """Whether anything of the pod's storage has a limit."""
    return any(_size_limit(volume) for volume in pod.spec.volumes) or any(
        RESOURCE in container.resources.limits for container in containers_of(pod)
    )


def verdict(pod: Pod, usage: Usage) -> Failure | None:
    """Why the pod has to go, in the kubelet's words; None while it keeps to its limits. Pure."""
    for volume in pod.spec.volumes:
        limit = _size_limit(volume)
        if limit and usage.volumes.get(volume.name, 0) > parse(limit):
            return _evicted(f'Usage of EmptyDir volume "{volume.name}" exceeds the limit "{limit}". ')
    limits = {
        container.name: str(container.resources.limits[RESOURCE])
        for container in (*pod.spec.containers, *pod.spec.initContainers)
        if RESOURCE in container.resources.limits
    }
    if not limits:
        return None
    own = [limits[container.name] for container in pod.spec.containers if container.name in limits]
    total = sum(map(parse, own), Decimal())
    if own and sum(usage.volumes.values()) + sum(usage.containers.values()) > total:
        said = own[0] if len(own) == 1 else f"{total.normalize():f}"
        return _evicted(f"Pod ephemeral local storage usage exceeds the total limit of containers {said}. ")
    for name, limit in limits.items():
        if usage.containers.get(name, 0) > parse(limit):
            return _evicted(f'Container {name} exceeded its local ephemeral storage limit "{limit}". ')
    return None


async def measure(pod: Pod, directory: Path) -> Usage:
    """What the pod takes now. Cost: about 5 us for each of its files, in turns with everything else."""
    volumes = {
        volume.name: await _taken(directory / FOLDER / volume.name)
        for volume in pod.spec.volumes
        if volume.emptyDir is not None and volume.emptyDir.medium != "Memory"
    }
    containers = {}
    for container in containers_of(pod):
        logs = await _taken(directory / "logs" / container.name)
        containers[container.name] = logs + await _taken(directory / LAYERS / container.name)
    return Usage(volumes, containers)


async def _taken(folder: Path) -> int:
    """Bytes on disk below a folder; a file with several names counts once. What vanishes meanwhile counts nothing."""
    total, seen, pending, looked = 0, set(), [os.fspath(folder)], 0
    while pending:
        try:
            entries = list(os.scandir(pending.pop()))
        except OSError:
            continue
        for entry in entries:
            looked += 1
            if looked % PAUSE_AFTER == 0:
                await asyncio.sleep(0)
            try:
                found = entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
            except OSError:
                continue
            if found.st_nlink > 1 and not entry.is_dir(follow_symlinks=False):
                if (found.st_dev, found.st_ino) in seen:
                    continue
                seen.add((found.st_dev, found.st_ino))
            total += found.st_blocks * 512
    return total


def _size_limit(volume: Volume) -> str:
    """The limit of an emptyDir on disk: one in memory is limited by the kernel."""
    source = volume.emptyDir
    return str(source.sizeLimit or "") if source is not None and source.medium != "Memory" else ""


def _evicted(message: str) -> Failure:
    return Failure("Evicted", message, grace=GRACE, disrupted=True)


class Storage:
    """Looks at one pod's storage from time to time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._next = 0.0

    async def check(self, pod: Pod, now: float) -> tuple[Failure | None, float | None]:
        """Why the pod has to be evicted, if it has; and when to look again: never for a pod without limits."""
        if not is_limited(pod):
            return None, None
        if not now < self._next <= now + EVERY:  # later only where the clock was set back
            self._next = now + EVERY
            return verdict(pod, await measure(pod, self._directory)), self._next
        return None, self._next
