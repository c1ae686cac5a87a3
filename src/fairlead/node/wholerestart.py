"""The rule by which one container's end restarts all containers of its pod: sandbox, address and volumes stay.

Init containers run again, too, ephemeral ones do not. What runs is told to end without a hook or a grace period, and
nothing starts before all has ended. Upstream: KEP-5532, ShouldAllContainersRestart in pkg/kubelet/container.
"""

from __future__ import annotations

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


def triggered(pod: Pod, histories: Mapping[str, History], former: frozenset[str]) -> bool:
    """Whether a container has ended so that all are to be restarted; runs from before the last time do not count.

    Pure. Cost: that of the pod's containers.
    """
    ended = (
        (container, histories[container.name].current)
        for container in _subject(pod)
        if container.name in histories
    )
    return any(
        not run.running and run.id not in former and matching_action(container, run.exit_code) == ACTION
        for container, run in ended
    )


def runs(pod: Pod, histories: Mapping[str, History]) -> frozenset[str]:
    """The runs so far, by id, of the containers that such a restart is about. Pure."""
    found = [histories[container.name] for container in _subject(pod) if container.name in histories]
    return frozenset(run.id for one in found for run in (one.current, one.previous) if run is not None)


class WholeRestart:
    """The last such restart of one pod, which the next agent finds in the pod's state directory."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "restarted"
        self._known = False
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
        if not self._known:
            self.former, self._known = self._read(), True
        self.begun = triggered(pod, histories, self.former)
        if self.begun:
            former = runs(pod, histories)
            files.replace(self._file, "\n".join(sorted(former)).encode())
            self.former = former
        running = {one.current.id for one in histories.values() if one.current.running}
        self.under_way = self.begun or bool(self.former & running)

    def _read(self) -> frozenset[str]:
        try:
            return frozenset(self._file.read_text().split())
        except OSError:
            return frozenset()


def _subject(pod: Pod) -> tuple[Container, ...]:
    return (*pod.spec.initContainers, *pod.spec.containers)
