"""What a DaemonSet wants of its nodes: where to make pods, which to delete, and what its status is.

Upstream: pkg/controller/daemon/daemon_controller.go (podsShouldBeOnNode, updateDaemonSetStatus), update.go.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from fairlead.objects.apps_v1 import DaemonSet, DaemonSetStatus
from fairlead.objects.core_v1 import Node, Pod
from fairlead.objects.scalars import IntOrString
from fairlead.workloads.daemonset.eligibility import Eligibility, eligibility
from fairlead.workloads.daemonset.pods import node_of
from fairlead.workloads.podstate import available_in, is_available, is_ready
from fairlead.workloads.revisions import DAEMON_HASH


@dataclass(frozen=True)
class Plan:
    """The next step, and the status as it is before it."""

    status: DaemonSetStatus
    create: tuple[str, ...] = ()
    """The names of the nodes that get a pod."""
    delete: tuple[Pod, ...] = ()
    ended: tuple[Pod, ...] = ()
    """Pods that have ended: they are deleted too, so that the next step makes others; the failed ones in their turn."""
    again: float | None = None
    """Seconds until a pod is available by the passing of time, or a failed one may be replaced."""


def plan(
    daemon_set: DaemonSet,
    hash: str,
    nodes: Iterable[Node],
    pods: Iterable[Pod],
    now: float,
    wait: Callable[[str], float] = lambda node: 0.0,
) -> Plan:
    """The next step of a set with these pods, all its own. `now` in s since 1970; `hash` is that of the new revision.

    `wait` says how many seconds a failed pod has to stay on that node before another is tried. Updates begin when
    nothing else is to be done. Cost: the nodes and the pods.
    """
    return _Step(
        daemon_set, hash, {node.metadata.name: node for node in nodes}, tuple(pods), now, wait
    ).plan()


def amount(value: IntOrString | None, of: int) -> int:
    """A number of nodes, or a share of them, rounded up."""
    if isinstance(value, str):
        return math.ceil(int(value.removesuffix("%")) * of / 100)
    return value or 0


@dataclass
class _Step:
    set: DaemonSet
    hash: str
    nodes: Mapping[str, Node]
    pods: tuple[Pod, ...]
    now: float
    wait: Callable[[str], float]
    create: list[str] = field(default_factory=list)
    delete: list[Pod] = field(default_factory=list)
    ended: list[Pod] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def plan(self) -> Plan:
        on: dict[str, list[Pod]] = {}
        for pod in sorted(self.pods, key=_age):
            on.setdefault(node_of(pod), []).append(pod)
        eligible = {name: eligibility(self.set, node) for name, node in self.nodes.items()}
        status = self._status(eligible, on)
        if self.set.metadata.deletionTimestamp is None:
            for name, found in eligible.items():
                self._see_to(name, found, on.get(name, []))
            # those that wait for a node that is gone would wait for ever
            self.delete += [
                pod
                for name, there in on.items()
                if name not in self.nodes
                for pod in there
                if not pod.spec.nodeName and pod.metadata.deletionTimestamp is None
            ]
            settled = not (self.create or self.delete or self.ended)
            if settled and self.set.spec.updateStrategy.type != "OnDelete":
                self._roll({name: on.get(name, []) for name, found in eligible.items() if found.runs})
        return Plan(
            status=status,
            create=tuple(self.create),
            delete=tuple(self.delete),
            ended=tuple(self.ended),
            again=min(self.waits, default=None),
        )

    def _see_to(self, name: str, found: Eligibility, there: list[Pod]) -> None:
        """Sees to one node: a pod where none is, none where none may be, one of several."""
        if found.runs and not there:
            self.create.append(name)
            return
        staying = [pod for pod in there if pod.metadata.deletionTimestamp is None]
        if not found.keeps:
            self.delete += staying
            return
        running = []
        for pod in staying:
            if pod.status.phase == "Failed" and (left := self.wait(name)) > 0:
                self.waits.append(left)
            elif pod.status.phase in ("Failed", "Succeeded"):
                self.ended.append(pod)
            else:
                running.append(pod)
        self.delete += self._surplus(running)

    def _surplus(self, running: list[Pod]) -> list[Pod]:
        """Those of a node's pods, the oldest first, that are too many: all but one, or but two while one surges."""
        if self._surge() == 0:
            return running[1:]
        new = [pod for pod in running if self._is_new(pod)]
        old = [pod for pod in running if not self._is_new(pod)]
        extra = new[1:] + old[1:]
        if new and old and (not is_ready(old[0]) or self._is_available(new[0])):
            extra.append(old[0])
        return extra

    def _roll(self, on: Mapping[str, list[Pod]]) -> None:
        """Replaces pods of other revisions, as many at a time as the strategy allows."""
        states = {name: self._sides(there) for name, there in on.items()}
        surge, unavailable = self._surge(len(on)), self._unavailable(len(on))
        if surge:
            self._roll_with_surge(states, surge)
        else:
            self._roll_by_deletion(states, unavailable)

    def _roll_by_deletion(self, states: Mapping[str, tuple[Pod | None, Pod | None]], most: int) -> None:
        down = 0
        candidates = []
        for new, old in states.values():
            if new is not None and old is None:
                down += not self._is_available(new)
            elif new is None and old is not None:
                if self._is_available(old):
                    candidates.append(old)
                else:
                    self.delete.append(old)  # it serves nobody
                    down += 1
            else:
                down += 1
        self.delete += candidates[: max(most - down, 0)]

    def _roll_with_surge(self, states: Mapping[str, tuple[Pod | None, Pod | None]], most: int) -> None:
        surging = 0
        candidates = []
        for name, (new, old) in states.items():
            if old is None:
                continue
            if new is None:
                if self._is_available(old):
                    candidates.append(name)
                else:
                    self.create.append(name)
            elif not self._is_available(old) or self._is_available(new):
                self.delete.append(old)
            else:
                surging += 1
        self.create += candidates[: max(most - surging, 0)]

    def _sides(self, there: list[Pod]) -> tuple[Pod | None, Pod | None]:
        """The node's pod of the new revision, and that of another; those that go do not count."""
        staying = [pod for pod in there if pod.metadata.deletionTimestamp is None]
        return (
            next((pod for pod in staying if self._is_new(pod)), None),
            next((pod for pod in staying if not self._is_new(pod)), None),
        )

    def _surge(self, nodes: int = 1) -> int:
        rolling = self.set.spec.updateStrategy.rollingUpdate
        if self.set.spec.updateStrategy.type == "OnDelete" or rolling is None:
            return 0
        return amount(rolling.maxSurge, nodes)

    def _unavailable(self, nodes: int) -> int:
        rolling = self.set.spec.updateStrategy.rollingUpdate
        return max(amount(rolling.maxUnavailable if rolling is not None else 1, nodes), 1)

    def _is_new(self, pod: Pod) -> bool:
        return pod.metadata.labels.get(DAEMON_HASH) == self.hash

    def _is_available(self, pod: Pod) -> bool:
        return is_available(pod, self.set.spec.minReadySeconds, self.now)

    def _status(self, eligible: Mapping[str, Eligibility], on: Mapping[str, list[Pod]]) -> DaemonSetStatus:
        wanted = [name for name, found in eligible.items() if found.runs]
        first = [on[name][0] for name in wanted if on.get(name)]
        available = sum(self._is_available(pod) for pod in first)
        for pod in first:
            if left := available_in(pod, self.set.spec.minReadySeconds, self.now):
                self.waits.append(left)
        return DaemonSetStatus(
            observedGeneration=self.set.metadata.generation,
            desiredNumberScheduled=len(wanted),
            currentNumberScheduled=len(first),
            numberMisscheduled=sum(bool(on.get(name)) for name, found in eligible.items() if not found.runs),
            numberReady=sum(is_ready(pod) for pod in first),
            numberAvailable=available,
            numberUnavailable=len(wanted) - available,
            updatedNumberScheduled=sum(self._is_new(pod) for pod in first),
            collisionCount=self.set.status.collisionCount,
            conditions=self.set.status.conditions,
        )


def _age(pod: Pod) -> tuple[bool, str, str]:
    """Pods with a node first, then the oldest; upstream: podByCreationTimestampAndPhase."""
    return not pod.spec.nodeName, pod.metadata.creationTimestamp or "", pod.metadata.name
