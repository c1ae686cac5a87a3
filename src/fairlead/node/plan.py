"""What to do next for a pod: the decision behind the agent. Pure.

Upstream: computePodActions and doBackOff in pkg/kubelet/kuberuntime, flowcontrol.Backoff in client-go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fairlead.node.records import ContainerRecord, History
from fairlead.objects.core_v1 import Container, ContainerStateWaiting, Pod

FIRST_DELAY, LONGEST_DELAY = 10.0, 300.0
"""Seconds between a container's end and its restart, from the second restart on."""

PULL_SHOWN = 2.0
"""Seconds for which a failed pull is called so, before it is called a back-off."""


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
    started: frozenset[str] = frozenset()
    """Runs of containers, by id, whose startup probe (if any) has succeeded."""
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


@dataclass(frozen=True)
class Plan:
    """What to do now; `waiting` says, by name, what containers wait for; `wake` is when to plan again."""

    starts: tuple[Start, ...] = ()
    kills: tuple[Kill, ...] = ()
    finished: bool = False
    """Nothing runs and nothing will: the sandbox can go."""
    waiting: Mapping[str, ContainerStateWaiting] = field(default_factory=dict)
    wake: float | None = None


def plan(pod: Pod, observed: Observed, now: float) -> Plan:
    """The next steps for a pod that is to run. `now` is in seconds since the epoch, as are the records' times."""
    if pod.status.phase in ("Succeeded", "Failed"):
        return Plan(finished=True)
    draft = _Draft(pod, observed, now)
    if draft.initialise():
        for container in pod.spec.containers:
            draft.consider(container, pod.spec.restartPolicy or "Always")
    idle = not (draft.starts or draft.kills or draft.waiting or draft.alive)
    return Plan(tuple(draft.starts), tuple(draft.kills), idle, draft.waiting, draft.wake)


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
        self.alive = False

    def initialise(self) -> bool:
        """Considers the init containers in order; whether the others may run."""
        begun = any(container.name in self.observed.histories for container in self.pod.spec.containers)
        policy = self.pod.spec.restartPolicy or "Always"
        for container in self.pod.spec.initContainers:
            record = self._current(container.name)
            if container.restartPolicy == "Always":
                self.consider(container, "Always")
                if not begun and (
                    record is None or not record.running or record.id not in self.observed.started
                ):
                    return False
            elif not begun and not (record and not record.running and record.exit_code == 0):
                # A failed init container is run again unless the pod is to be run only once.
                self.consider(container, "Never" if policy == "Never" else "OnFailure")
                return False
        return True

    def consider(self, container: Container, policy: str) -> None:
        """Starts, restarts or ends a container, or says why it waits."""
        record = self._current(container.name)
        if record is not None and record.running:
            self.alive = True
            kind = self.observed.unhealthy.get(record.id)
            if kind:
                message = f"Container {container.name} failed {kind} probe, will be restarted"
                self.kills.append(Kill(container, record.id, message))
            return
        if record is not None and not restarts(policy, record):
            return
        refused = self.observed.unresolved.get(container.name)
        if refused is not None:
            self.waiting[container.name] = refused
            return
        if record is None:
            self.starts.append(Start(container, 0))
            return
        crash = self.observed.crashes.get(container.name)
        if crash is not None and not crash.expired(self.now) and self.now < record.finished_at + crash.delay:
            self._wake_at(record.finished_at + crash.delay)
            self.waiting[container.name] = crash_waiting(self.pod, container, crash)
            return
        self.starts.append(Start(container, record.attempt + 1))

    def _current(self, name: str) -> ContainerRecord | None:
        history = self.observed.histories.get(name)
        return history.current if history else None

    def _wake_at(self, moment: float) -> None:
        self.wake = moment if self.wake is None else min(self.wake, moment)


def restarts(policy: str, record: ContainerRecord) -> bool:
    """Whether a container that ended so is started again."""
    return policy == "Always" or (policy == "OnFailure" and record.exit_code != 0)


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


def pulling(image: str, policy: str, elapsed: float) -> tuple[ContainerStateWaiting, float]:
    """What a container says `elapsed` seconds after its image was first not found; and when it says otherwise.

    The image map is asked again after 10 s, 20 s and so on up to 5 minutes; each time it is an error for a moment.
    """
    if policy == "Never":
        message = f'Container image "{image}" is not present with pull policy of Never'
        return ContainerStateWaiting(reason="ErrImageNeverPull", message=message), LONGEST_DELAY
    why = (
        f'the node\'s image map has no entry for "{image}": give the container a command, which then runs '
        "on the host's files, or add the image to the map (--images)"
    )
    attempt, delay = 0.0, FIRST_DELAY
    while elapsed >= attempt + delay:
        attempt += delay
        delay = min(delay * 2, LONGEST_DELAY)
    if elapsed < attempt + PULL_SHOWN:
        return ContainerStateWaiting(reason="ErrImagePull", message=why), attempt + PULL_SHOWN - elapsed
    message = f'Back-off pulling image "{image}": ErrImagePull: {why}'
    return ContainerStateWaiting(reason="ImagePullBackOff", message=message), attempt + delay - elapsed


def duration(seconds: float) -> str:
    """Seconds as Go writes them: 10s, 1m20s, 5m0s."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
