"""One agent at a time for the pods of a state directory: two would start everything twice."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class OccupiedError(OSError):
    """Another agent works here; the message says which, and what to do."""


@contextmanager
def occupied(directory: Path, node: str) -> Iterator[None]:
    """Holds the directory until the end of the block, or of this process, however that comes. Raises `OccupiedError`.

    The lock is of the kind that a fork does not inherit (fcntl(2), F_SETLK): pods outlive their agent.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    fd = os.open(directory / "agent.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(fd, 200).decode(errors="replace").strip() or "an unknown process"
            raise OccupiedError(
                f"the node {node} cannot be run: {directory} is in use by the agent of {holder}; stop that one, "
                "or give this one another node name and directory"
            ) from error
        os.truncate(fd, 0)
        os.pwrite(fd, f"the node {node} (process {os.getpid()})\n".encode(), 0)
        yield
    finally:
        os.close(fd)
