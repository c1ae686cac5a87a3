"""What a container says of its end: the file at `terminationMessagePath`, or the last words of its log.

Upstream: getTerminationMessage in pkg/kubelet/kuberuntime, the limits of one message in pkg/kubelet/container (the
limit of a whole pod's, 12 KiB, is not kept).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fairlead.node.logs import last_words

LONGEST = 4096
"""Bytes of a message that are kept."""

LONGEST_FROM_LOG, MOST_LINES = 2048, 80
"""Bytes and lines of the log that stand in for a message."""

FALLBACK = "FallbackToLogsOnError"


def file_of(directory: Path, container: str, attempt: int) -> Path:
    """The file in a pod's state directory that a run of a container sees at its `terminationMessagePath`."""
    return directory / "messages" / container / str(attempt)


def make_file(directory: Path, container: str, attempt: int) -> Path:
    """Makes the file, empty, for whatever user the container has; those of earlier runs go."""
    file = file_of(directory, container, attempt)
    file.parent.mkdir(parents=True, exist_ok=True)
    for old in file.parent.iterdir():
        old.unlink()
    file.touch()
    file.chmod(0o666)  # in a directory that only the agent can enter
    return file


def message(file: Path, policy: str, exit_code: int, log: Callable[[], Path]) -> str:
    """What a run says that has ended; `log` is asked for its file only where the log has to stand in."""
    said = b""
    try:
        with open(file, "rb") as opened:
            said = opened.read(LONGEST)
    except OSError:
        pass  # it was given none, or has removed what it saw there
    if not said and policy == FALLBACK and exit_code != 0:
        said = last_words(log(), MOST_LINES, LONGEST_FROM_LOG)
    return said.decode(errors="replace")
