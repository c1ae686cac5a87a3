"""A container's /proc, /sys and /dev, as a container runtime makes them.

Upstream: the OCI runtime specification's config-linux.md ("Default Devices", "Default Filesystems"), containerd's
default masked and read-only paths.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from fairlead.node import namespaces

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")

MASKED = (
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/interrupts",
)
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

_QUIET = namespaces.MS_NOSUID | namespaces.MS_NODEV | namespaces.MS_NOEXEC


def make(base: Path, *, own_processes: bool, privileged: bool) -> None:
    """Mounts the three in the root at `base`, before it is entered: the kernel wants to see the outer ones.

    Without `own_processes` /proc is the one that this process sees.
    """
    if own_processes:
        namespaces.mount("proc", base / "proc", "proc", _QUIET)
    else:
        namespaces.mount("/proc", base / "proc", flags=namespaces.MS_BIND | namespaces.MS_REC)
    _make_sys(base / "sys", privileged=privileged)
    if privileged:
        namespaces.mount("/dev", base / "dev", flags=namespaces.MS_BIND | namespaces.MS_REC)
    else:
        _make_dev(base / "dev")


def restrict() -> None:
    """Hides what speaks of the host from a container that is not privileged. To be called in its root."""
    for path in MASKED:
        if os.path.exists(path):
            namespaces.mount("/dev/null", path, flags=namespaces.MS_BIND)
    for path in READ_ONLY:
        if os.path.exists(path):
            namespaces.mount(path, path, flags=namespaces.MS_BIND | namespaces.MS_REC)
            namespaces.make_read_only(path)


def _make_sys(target: Path, *, privileged: bool) -> None:
    flags = _QUIET if privileged else _QUIET | namespaces.MS_RDONLY
    try:
        namespaces.mount("sysfs", target, "sysfs", flags)
    except OSError:  # a network namespace of another owner
        namespaces.mount("/sys", target, flags=namespaces.MS_BIND | namespaces.MS_REC)


def _make_dev(target: Path) -> None:
    namespaces.mount("tmpfs", target, "tmpfs", namespaces.MS_NOSUID, "mode=755,size=64m")
    for name in DEVICES:
        if os.path.exists(f"/dev/{name}"):
            (target / name).touch()
            namespaces.mount(f"/dev/{name}", target / name, flags=namespaces.MS_BIND)
    for name in ("pts", "shm", "mqueue"):
        (target / name).mkdir()
    terminals = "newinstance,ptmxmode=0666,mode=0620"
    namespaces.mount(
        "devpts", target / "pts", "devpts", namespaces.MS_NOSUID | namespaces.MS_NOEXEC, terminals
    )
    with contextlib.suppress(OSError):  # a kernel without POSIX message queues
        namespaces.mount("mqueue", target / "mqueue", "mqueue", _QUIET)
    links = {"ptmx": "pts/ptmx", "fd": "/proc/self/fd"}
    links |= {name: f"/proc/self/fd/{fd}" for fd, name in enumerate(("stdin", "stdout", "stderr"))}
    for name, leads_to in links.items():
        (target / name).symlink_to(leads_to)
