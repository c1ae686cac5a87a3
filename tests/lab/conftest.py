"""A lab's state directory that is the test's own, and waiting for what has to become true."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from fairlead.lab.processes import Identity
from fairlead.lab.state import Record, StateDirectory
from tests.waiting import LIMIT

T = TypeVar("T")


def wait_for(what: Callable[[], T], seconds: float = LIMIT) -> T:
    """Gives the first true value of `what`; fails with the last one when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        value = what()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {seconds} s: {value!r}"
        time.sleep(0.01)


def freeze(process: Identity) -> None:
    """Stops a process; returns when it has stopped, since one on another processor goes on for a moment."""

    def has_stopped() -> bool:
        """Tells it again: somebody may let it go on."""
        assert process.send(signal.SIGSTOP)
        return Path(f"/proc/{process.pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"T"

    wait_for(has_stopped)


@pytest.fixture
def directory(tmp_path: Path) -> StateDirectory:
    made = StateDirectory("test", tmp_path / "state")
    return made


def record(**changes: object) -> Record:
    given: dict[str, object] = {
        "name": "test",
        "zones": (),
        "port": 6443,
        "kubeconfig": "",
        "kubeconfig_digest": "",
        "store": "",
    }
    return Record(**{**given, **changes})  # type: ignore[arg-type]
