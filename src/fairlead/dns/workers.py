"""Several processes that do the same work; each that ends is started again."""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress

log = logging.getLogger("fairlead.dns")

PR_SET_PDEATHSIG = 1
STOPS = (signal.SIGTERM, signal.SIGINT)
TOO_SOON = 1.0
"""Seconds; a worker that ends before is not started again, since it would end again."""


def prefork(count: int, work: Callable[[int], int]) -> int:
    """Runs `work(0)` to `work(count - 1)` in children until SIGTERM or SIGINT; the exit status.

    The parent does nothing but wait. Children end with it. A child that fails right at its start ends all, with its
    status.
    """
    started: dict[int, tuple[int, float]] = {}
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True
        for pid in started:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def start(index: int) -> None:
        # A signal between the fork and the child's own handlers would go lost in the parent's, or miss the child.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        if not stopping:
            started[_fork(index, work)] = (index, time.monotonic())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)

    for number in STOPS:
        signal.signal(number, stop)
    # What is there already is not walked through, and thereby copied, by every worker's garbage collector.
    gc.freeze()
    for index in range(count):
        start(index)
    result = 0
    while started:
        pid, status = os.wait()
        index, since = started.pop(pid, (-1, 0.0))
        if index < 0 or stopping:
            continue
        code = os.waitstatus_to_exitcode(status)
        if time.monotonic() - since < TOO_SOON:
            result = code or 1
            stop()
        else:
            log.warning("worker %d ended (%d) and is started again", index, code)
            start(index)
    return result


def _fork(index: int, work: Callable[[int], int]) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        for number in STOPS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() == parent:
            os._exit(work(index))
    finally:
        os._exit(1)
