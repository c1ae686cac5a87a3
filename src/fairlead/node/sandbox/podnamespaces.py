"""The namespaces of a pod: its network, host name, IPC and mounts, made by the sandbox for itself.

Its PID namespace is made before the sandbox is forked (`process.fork`), and each container has one of its own.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from fairlead.node import namespaces, network
from fairlead.node.records import MemoryVolume, SandboxSpec

MOST_PROCESSES = 4096
"""Processes and threads that a pod may have at a time, where the kernel can limit them."""


def make(spec: SandboxSpec, directory: Path, node: int) -> None:
    """Takes this process into the pod's namespaces; `node` is the node's network, which is closed then.

    The pod's own files are in `directory`/etc afterwards. Raises OSError, with the sysctl's name where one is at fault.
    """
    flags = namespaces.CLONE_NEWNS | namespaces.CLONE_NEWUTS
    if not spec.host_ipc:
        flags |= namespaces.CLONE_NEWIPC
    if not spec.host_network:
        flags |= namespaces.CLONE_NEWNET
    namespaces.unshare(flags)
    # With the node's network too: the name of the node need not be that of the machine, which may have several.
    namespaces.set_hostname(spec.hostname)
    if not spec.host_network:
        network.connect(node, spec.uid, spec.addresses)
    os.close(node)
    # What is unmounted on the host goes here too, or the pod would hold other nodes' namespaces for ever.
    namespaces.keep_mounts(namespaces.MS_SLAVE)
    quiet = namespaces.MS_NOSUID | namespaces.MS_NODEV
    if not spec.host_processes:
        namespaces.mount("proc", "/proc", "proc", quiet | namespaces.MS_NOEXEC)
        _limit_processes()
    if not spec.host_ipc:
        namespaces.mount("tmpfs", "/dev/shm", "tmpfs", quiet, "mode=1777,size=64m")  # noqa: S108
    _set_sysctls(spec)
    for volume in spec.memory:
        _mount_memory(directory / "volumes" / volume.name, volume)
    files = directory / "etc"
    files.mkdir(exist_ok=True)
    (files / "resolv.conf").write_text(spec.resolv_conf)
    (files / "hosts").write_text(spec.hosts)
    (files / "hostname").write_text(spec.hostname + "\n")


def _set_sysctls(spec: SandboxSpec) -> None:
    """What the pod asks for, and what container runtimes give to every pod: low ports and ping for all users."""
    if not spec.host_network:
        for name, value in (("ip_unprivileged_port_start", "0"), ("ping_group_range", "0 2147483647")):
            with contextlib.suppress(OSError):  # groups that an ordinary user's namespace does not have
                namespaces.set_sysctl(f"net/ipv4/{name}", value)
    for name, value in spec.sysctls.items():
        try:
            namespaces.set_sysctl(name.translate({ord("."): "/", ord("/"): "."}), value)
        except OSError as error:
            raise OSError(
                error.errno, f"cannot set the sysctl {name} to {value}: {error.strerror}"
            ) from error


def _mount_memory(folder: Path, volume: MemoryVolume) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    options = ["mode=2777" if volume.group is not None else "mode=777"]
    if volume.size:
        options.append(f"size={volume.size}")
    quiet = namespaces.MS_NOSUID | namespaces.MS_NODEV
    namespaces.mount("tmpfs", folder, "tmpfs", quiet, ",".join(options))
    if volume.group is not None:
        with contextlib.suppress(OSError):  # a group that the lab's user namespace does not have
            os.chown(folder, -1, volume.group)


def _limit_processes() -> None:
    """Leaves the node some process ids when a container forks without end: the pod's PID namespace has its own limit.

    Before Linux 6.14 there is one limit for the whole machine, which is not ours to change: a pod is not limited then.
    """
    if namespaces.kernel() >= (6, 14):
        namespaces.set_sysctl("kernel/pid_max", MOST_PROCESSES)
