"""What to do next for a pod: the decision behind the agent. Pure.

Upstream: computePodActions and doBackOff in pkg/kubelet/kuberuntime, flowcontrol.Backoff in client-go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from fairlead.node.containers import ephemeral_of, is_sidecar, restarts
from fairlead.node.records import ContainerRecord, History
from fairlead.objects.core_v1 import Container, ContainerStateWaiting, Pod

FIRST_DELAY, LONGEST_DELAY = 10.0, 300.0
"""Seconds between a container's end and its restart, from the second restart on."""


@dataclass(frozen=True)
class CrashLoop:
    """How long a container has to wait before its next restart, and since when it is so."""

    delay: float
    since: float

    def expired(self, now: float) -> bool:
        """Whether the container has been well for so long that it starts from the shortest delay again."""
        return now - self.since > 2 * LONGEST_DELAY


@dataclass(frozen=True)
class Observed:
    """What the agent knows of a pod on its node."""

    sandbox: bool = False
    """Whether its sandbox runs."""
    histories: Mapping[str, History] = field(default_factory=dict)
    """By container name; a container that has never been started has none."""
    unhealthy: Mapping[str, str] = field(default_factory=dict)
    """Runs of containers, by id, that a liveness or startup probe has given up, and which kind of probe."""
    hooking: frozenset[str] = frozenset()
    """Runs of containers, by id, whose postStart hook has not ended yet."""
    hook_failed: frozenset[str] = frozenset()
    """Runs of containers, by id, whose postStart hook went wrong."""
    started: frozenset[str] = frozenset()
    """Runs of containers, by id, whose startup probe (if any) has succeeded."""
    former: frozenset[str] = frozenset()
    """Runs of containers, by id, from before a rule restarted all of them: to the pod they have never been."""
    restarting: bool = False
    """Whether such a restart is under way: what still runs of them is to end before anything starts."""
    crashes: Mapping[str, CrashLoop] = field(default_factory=dict)
    unresolved: Mapping[str, ContainerStateWaiting] = field(default_factory=dict)
    """Why a container, by name, cannot be started whatever happens: its image, its configuration."""


@dataclass(frozen=True)
class Start:
    """Start a container (its sandbox first, if that does not run)."""

    container: Container
    attempt: int


@dataclass(frozen=True)
class Kill:
    """End a run of a container: SIGTERM, and SIGKILL after the grace period."""

    container: Container
    id: str
    message: str
    grace: float
    """Seconds."""


@dataclass(frozen=True)
class Plan:
    """What to do now; `waiting` says, by name, what containers wait for; `wake` is when to plan again."""

    starts: tuple[Start, ...] = ()
    kills: tuple[Kill, ...] = ()
    finished: bool = False
    """The pod's work is over, for good: what still runs (sidecars) is to end, and the sandbox can go."""
    waiting: Mapping[str, ContainerStateWaiting] = field(default_factory=dict)
    wake: float | None = None


def plan(pod: Pod, observed: Observed, now: float) -> Plan:
    """The next steps for a pod that is to run. `now` is in seconds since the epoch, as are the records' times.

    Containers are started in order; one whose postStart hook still runs holds up those after it.
    """
    if pod.status.phase in ("Succeeded", "Failed"):
        return Plan(finished=True)
    draft = _Draft(pod, observed, now)
    if observed.sandbox:
        for container in ephemeral_of(pod):
            draft.consider(container, init=False, once=True)
    draft.over = True
    if observed.restarting:
        draft.end_former()
    elif draft.initialise():
        for container in pod.spec.containers:
            draft.consider(container, init=False)
    if draft.over:
        return Plan(finished=True)
    return Plan(tuple(draft.starts), tuple(draft.kills), False, draft.waiting, draft.wake)


def deadline(pod: Pod) -> float | None:
    """When the pod has been active for as long as it may be, in seconds since the epoch. None without such a limit.

    Upstream: pkg/kubelet/active_deadline.go.
    """
    if pod.spec.activeDeadlineSeconds is None or not pod.status.startTime:
        return None
    return datetime.fromisoformat(pod.status.startTime).timestamp() + pod.spec.activeDeadlineSeconds


class _Draft:
    """A plan in the making."""

    def __init__(self, pod: Pod, observed: Observed, now: float) -> None:
        self.pod = pod
        self.observed = observed
        self.now = now
        self.starts: list[Start] = []
        self.kills: list[Kill] = []
        self.waiting: dict[str, ContainerStateWaiting] = {}
        self.wake: float | None = None
        self.over = True
        """Whether no container that was looked at runs or will run."""
        self.held = False
        """Whether a postStart hook holds up the starts that come after it."""

    def initialise(self) -> bool:
        """Considers the init containers in order; whether the others may run."""
        begun = any(self._current(container.name) for container in self.pod.spec.containers)
        for container in self.pod.spec.initContainers:
            record = self._current(container.name)
            if is_sidecar(container):
                over = self.over
                self.consider(container, init=True)
                self.over = over  # sidecars do not keep a pod alive
                if not begun and not (record and record.running and record.id in self.observed.started):
                    self.over = False
                    return False
            elif not begun and not (record and not record.running and record.exit_code == 0):
                self.consider(container, init=True)
                return False
        return True

    def end_former(self) -> None:
        """Ends what ran before a rule restarted all containers, at once and without a hook."""
        self.over = False
        for container in (*self.pod.spec.initContainers, *self.pod.spec.containers):
            history = self.observed.histories.get(container.name)
            if history is not None and history.current.running:
                message = f"Stopping container {container.name}"
                self.kills.append(Kill(container, history.current.id, message, 0.0))

    def consider(self, container: Container, *, init: bool, once: bool = False) -> None:
        """Starts, restarts or ends a container, or says why it waits."""
        record = self._current(container.name)
        if record is not None and record.running:
            self.over = False
            self.held = self.held or record.id in self.observed.hooking
            message = self._problem(container, record)
            if message:
                self.kills.append(Kill(container, record.id, message, self._grace(container, record)))
            return
        if record is not None and (once or not restarts(self.pod, container, record.exit_code, init=init)):
            return
        self.over = False
        refused = self.observed.unresolved.get(container.name)
        if refused is not None:
            self.waiting[container.name] = refused
        elif self.held:
            return
        elif container.name in self.observed.histories:
            self._restart(container, self.observed.histories[container.name].current)
        else:
            self.starts.append(Start(container, 0))

    def _restart(self, container: Container, record: ContainerRecord) -> None:
        crash = self.observed.crashes.get(container.name)
        since = (
            self.now - record.finished_at
        )  # below 0 where the clock was set back: that is no reason to wait
        if crash is not None and not crash.expired(self.now) and 0 <= since < crash.delay:
            self._wake_at(record.finished_at + crash.delay)
            self.waiting[container.name] = crash_waiting(self.pod, container, crash)
            return
        self.starts.append(Start(container, record.attempt + 1))

    def _problem(self, container: Container, record: ContainerRecord) -> str:
        """Why a run has to end, in the kubelet's words; nothing if it may go on."""
        if record.id in self.observed.hook_failed:
            return "FailedPostStartHook"
        kind = self.observed.unhealthy.get(record.id)
        return f"Container {container.name} failed {kind} probe, will be restarted" if kind else ""

    def _grace(self, container: Container, record: ContainerRecord) -> float:
        """Seconds. Upstream: setTerminationGracePeriod."""
        kind = self.observed.unhealthy.get(record.id)
        probe = {"liveness": container.livenessProbe, "startup": container.startupProbe}.get(kind or "")
        if probe is not None and probe.terminationGracePeriodSeconds is not None:
            return float(probe.terminationGracePeriodSeconds)
        return float(self.pod.spec.terminationGracePeriodSeconds or 0)

    def _current(self, name: str) -> ContainerRecord | None:
        history = self.observed.histories.get(name)
        return history.current if history and history.current.id not in self.observed.former else None

    def _wake_at(self, moment: float) -> None:
        self.wake = moment if self.wake is None else min(self.wake, moment)


def crashed(previous: CrashLoop | None, now: float) -> CrashLoop:
    """The loop after a restart at `now`: the first costs nothing, the second waits 10 s, the third 20 s, ..."""
    if previous is None or previous.expired(now):
        return CrashLoop(FIRST_DELAY, now)
    return CrashLoop(min(previous.delay * 2, LONGEST_DELAY), now)


def crash_waiting(pod: Pod, container: Container, crash: CrashLoop) -> ContainerStateWaiting:
    """What a container's status says while it waits for its restart."""
    meta = pod.metadata
    return ContainerStateWaiting(
        reason="CrashLoopBackOff",
        message=f"back-off {duration(crash.delay)} restarting failed container={container.name} "
        f"pod={meta.name}_{meta.namespace}({meta.uid})",
    )


def duration(seconds: float) -> str:
    """Seconds as Go writes them: 10s, 1m20s, 5m0s."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
