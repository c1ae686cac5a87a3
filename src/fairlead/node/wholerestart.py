"""The rule by which one container's end restarts all containers of its pod: sandbox, address and volumes stay.

Init containers run again, too, ephemeral ones do not. What runs is told to end without a hook or a grace period, and
nothing starts before all has ended. Upstream: KEP-5532, ShouldAllContainersRestart in pkg/kubelet/container.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from fairlead import files
from fairlead.node.containers import matching_action
from fairlead.node.records import History
from fairlead.objects.core_v1 import Container, Pod

ACTION = "RestartAllContainers"


def is_possible(pod: Pod) -> bool:
    """Whether a container of the pod has such a rule."""
    return any(rule.action == ACTION for container in _subject(pod) for rule in container.restartPolicyRules)


def triggered(pod: Pod, histories: Mapping[str, History], since: float) -> float:
    """When a container that was started after `since` ended so that all are to be restarted; `since` if none did.

    Pure. In seconds since the epoch. Cost: that of the pod's containers.
    """
    for container in _subject(pod):
        history = histories.get(container.name)
        if history is None or history.current.running or history.current.started_at <= since:
            continue
        if matching_action(container, history.current.exit_code) == ACTION:
            since = max(since, history.current.finished_at)
    return since


def former(pod: Pod, histories: Mapping[str, History], since: float) -> frozenset[str]:
    """The runs of containers, by id, from before the restart at `since`. Pure."""
    found = (histories.get(container.name) for container in _subject(pod)) if since else ()
    runs = (run for one in found if one is not None for run in (one.current, one.previous) if run is not None)
    return frozenset(run.id for run in runs if run.started_at <= since)


class WholeRestart:
    """The last such restart of one pod, which the next agent finds in the pod's state directory."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "restarted"
        self._since: float | None = None
        self.former: frozenset[str] = frozenset()
        """The runs from before it, by id."""
        self.begun = False
        """Whether the last look found that it begins."""
        self.under_way = False
        """Whether it has just begun, or some of those still run: nothing is started meanwhile."""

    def follow(self, pod: Pod, histories: Mapping[str, History]) -> None:
        """Looks whether the containers' ends ask for one. Raises OSError where it cannot be written down."""
        if not is_possible(pod):
            return
        if self._since is None:
            self._since = self._read()
        since = triggered(pod, histories, self._since)
        self.begun = since > self._since
        if self.begun:
            files.replace(self._file, repr(since).encode())
            self._since = since
        self.former = former(pod, histories, since)
        running = {one.current.id for one in histories.values() if one.current.running}
        self.under_way = self.begun or bool(self.former & running)

    def _read(self) -> float:
        with contextlib.suppress(OSError, ValueError):
            return float(self._file.read_text())
        return 0.0


def _subject(pod: Pod) -> tuple[Container, ...]:
    return (*pod.spec.initContainers, *pod.spec.containers)
