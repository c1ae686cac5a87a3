"""Sandboxes that no folder tells of any more: somebody has removed it, or what is in it.

A sandbox is known by its log, to which its standard error leads for as long as it lives.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from fairlead.node import records

LOG = "sandbox.log"
"""Of a sandbox, in its pod's folder."""

_REMOVED = " (deleted)"


def end(state_directory: Path) -> list[str]:
    """Kills the sandboxes of this directory that nobody can know; gives the uids of their pods.

    Only while no agent makes new ones there. Cost: one readlink(2) for each process of the machine.
    """
    pods = Path(os.path.realpath(state_directory), "pods")
    ended = []
    for process in filter(str.isdecimal, os.listdir("/proc")):
        log = log_of(int(process))
        if log is not None and log.parent.parent == pods and not _is_known(log.parent):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(process), signal.SIGKILL)
                ended.append(log.parent.name)
    return ended


def log_of(process: int) -> Path | None:
    """The sandbox's log that a process has as its standard error, at the path that it had; None for any other."""
    try:
        path = os.readlink(f"/proc/{process}/fd/2").removesuffix(_REMOVED)
    except OSError:  # it has ended, or is another user's
        return None
    return Path(path) if os.path.basename(path) == LOG else None


def _is_known(directory: Path) -> bool:
    """Whether the folder tells of a sandbox that lives."""
    record = records.read_sandbox(directory)
    pidfd = records.open_process(record) if record else None
    if pidfd is None:
        return False
    os.close(pidfd)
    return True
