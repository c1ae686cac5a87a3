"""The end of a lab: its processes, its namespaces, its files, whoever made them and however far they got."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from fairlead.lab import processes
from fairlead.lab.processes import Identity, identify
from fairlead.lab.state import NoLab, Record, StateDirectory
from fairlead.node import strays
from fairlead.node.records import read_sandbox

GRACE_SECONDS = 3.0
"""What components get to stop in before they are killed."""

DOWN_SECONDS = 30.0
"""What a lab gets to remove itself in before `down` does it."""


@dataclass(frozen=True)
class Removed:
    """What was there and is gone now, by name."""

    processes: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.processes or self.namespaces or self.files)


def digest(path: str | Path) -> str:
    """What tells a file that we wrote from one that was changed since; empty when it is not there."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        return ""


def inhabitants(directory: StateDirectory, record: Record | None) -> dict[Identity, str]:
    """The processes that live in the lab's namespaces, with what to call them: pods, and what was started by hand."""
    # Pods are below no name of the kernel's: their agents' records say which process is the first of each.
    pods = {}
    for path in directory.pods():
        if sandbox := read_sandbox(path):
            name = f"pod {sandbox.spec.namespace}/{sandbox.spec.name}"
            pods[Identity(sandbox.pid, sandbox.ticks)] = name
    inodes = set()
    for path in directory.network.leftovers():
        with contextlib.suppress(FileNotFoundError):  # the lab is removing itself
            inodes.add(path.stat().st_ino)
    device = os.stat("/proc/self/ns/net").st_dev
    ours = {process.identity.pid for process in record.processes} if record else set()
    sandboxes = {pod.pid for pod in pods if pod.is_alive()}
    folder = directory.path.resolve()
    state = os.fsencode(directory.path)

    def lives_there(process: Path) -> bool:
        pid = int(process.name)
        if pid in ours:
            return False
        if identify(pid) in pods:
            return True
        log = strays.log_of(pid)
        if log is not None and log.is_relative_to(folder):
            return True  # a pod whose folder somebody has removed
        # A container ends with its pod's first process.
        if processes.parent(pid) in sandboxes:
            return False
        network = os.stat(process / "ns/net")
        if network.st_dev == device and network.st_ino in inodes:
            return True
        if record is None:
            return _writes_to_what_was(process, directory.path)
        # The number of a user namespace may be another's by now; the lab's processes also see its mounts.
        if not record.user_namespace:
            return False
        if os.stat(process / "ns/user").st_ino != record.user_namespace:
            return False
        return state in (process / "mountinfo").read_bytes()

    found = processes.find(lives_there)
    return {process: pods.get(process, f"process {process.pid}") for process in found}


def _writes_to_what_was(process: Path, path: Path) -> bool:
    """Whether a process' output goes into the lab's directory, as that of all it starts, and that is deleted."""
    output = os.readlink(process / "fd/1")
    return output.startswith(f"{path}/") and output.endswith(" (deleted)")


def remove(directory: StateDirectory) -> Removed:
    """Removes all of a lab but the calling process and the pair that holds it. Idempotent.

    To be called by the lock's holder, or on behalf of it. A kubeconfig goes only if it is as the lab wrote it.
    """
    try:
        record = directory.read()
    except NoLab:
        record = None
    components = record.components if record else ()
    stopped = processes.stop((c.identity for c in components), grace_seconds=GRACE_SECONDS)
    names = [c.name for c in components if c.identity in stopped]
    # A process that was just being forked shows itself the second time.
    for _ in range(3):
        found = inhabitants(directory, record)
        if not found:
            break
        names += [found[stopped] for stopped in processes.stop(found, grace_seconds=0)]
    namespaces = directory.network.remove()
    files = []
    if record is not None and record.kubeconfig and digest(record.kubeconfig) == record.kubeconfig_digest:
        Path(record.kubeconfig).unlink(missing_ok=True)
        files.append(record.kubeconfig)
    if directory.path.exists():
        files.append(str(directory.path))
    directory.remove()
    return Removed(tuple(names), tuple(namespaces), tuple(files))


def down(directory: StateDirectory) -> Removed:
    """Removes a lab from outside: asks it to, waits, and does what it did not. Empty when there was none."""
    inventory = _inventory(directory)
    if not inventory:
        return inventory
    pair = _pair(directory)
    lock = _ask(directory) if directory.path.exists() else None
    try:
        # Whoever let go of the lock may be on his way out still; whoever did not has had his time.
        processes.stop(pair | _pair(directory), grace_seconds=0)
        remove(directory)
    finally:
        if lock is not None:
            os.close(lock)
    return inventory


def _pair(directory: StateDirectory) -> set[Identity]:
    """The keeper and the supervisor, as far as the record tells."""
    try:
        record = directory.read()
    except NoLab:
        return set()
    return {process.identity for process in (record.keeper, record.supervisor) if process is not None}


def _ask(directory: StateDirectory) -> int | None:
    """Tells the supervisor to remove the lab; gives the lock, or None if the lab is gone or does not let go."""
    asked: set[Identity] = set()
    deadline = time.monotonic() + DOWN_SECONDS
    while time.monotonic() < deadline:
        try:
            fd = directory.lock()
        except FileNotFoundError:
            return None
        if fd is not None:
            return fd
        # Read again each time: one of the pair may just have been killed and come back, or the lab have begun.
        with contextlib.suppress(NoLab):
            record = directory.read()
            for process in (record.supervisor, record.keeper):
                if process is None or process.identity in asked:
                    continue
                asked.add(process.identity)
                # The keeper hands it on.
                if process.identity.send(signal.SIGTERM):
                    break
        time.sleep(0.02)
    return None


def _inventory(directory: StateDirectory) -> Removed:
    try:
        record: Record | None = directory.read()
    except NoLab:
        record = None
    names = [process.name for process in (record.processes if record else ()) if process.identity.is_alive()]
    names += inhabitants(directory, record).values()
    namespaces = [path.name for path in directory.network.leftovers()]
    files = []
    if record is not None and record.kubeconfig and digest(record.kubeconfig) == record.kubeconfig_digest:
        files.append(record.kubeconfig)
    if directory.path.exists():
        files.append(str(directory.path))
    return Removed(tuple(names), tuple(namespaces), tuple(files))
