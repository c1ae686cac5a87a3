"""Forking a process into another PID namespace than the caller's."""

from __future__ import annotations

import os

from fairlead.node import namespaces


def fork_into(kind: int, pidfd: int = -1) -> int:
    """Forks a child into a new PID namespace (CLONE_NEWPID), that of `pidfd`, or this one (0); as os.fork."""
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if pidfd >= 0:
            namespaces.setns(pidfd, namespaces.CLONE_NEWPID)
        elif kind:
            namespaces.unshare(kind)
        pid = -1
        try:
            pid = os.fork()
        finally:
            if pid != 0:
                namespaces.setns(own, namespaces.CLONE_NEWPID)
        return pid
    finally:
        os.close(own)
