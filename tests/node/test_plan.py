"""What the agent does next, as a table."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from msgspec.structs import replace

from fairlead.node.plan import CrashLoop, Observed, crashed, deadline, duration, plan
from fairlead.node.records import ContainerRecord, History
from fairlead.objects.core_v1 import (
    Container,
    ContainerStateWaiting,
    EphemeralContainer,
    Pod,
    PodSpec,
    PodStatus,
    Probe,
)
from fairlead.objects.scalars import timestamp

NOW = 1_000_000.0
MISSING = ContainerStateWaiting(reason="ErrImagePull", message="no such image")


def pod(policy: str = "Always", phase: str = "Running", inits: tuple[Container, ...] = ()) -> Pod:
    spec = PodSpec(containers=(Container(name="c"),), initContainers=inits, restartPolicy=policy)
    return Pod(spec=spec, status=PodStatus(phase=phase))


def running(name: str = "c") -> History:
    return History(ContainerRecord(name=name, id=f"{name}-id", attempt=0, started_at=NOW - 5))


def ended(code: int, ago: float = 1, name: str = "c", attempt: int = 0) -> History:
    record = ContainerRecord(
        name=name, id=f"{name}-id", attempt=attempt, started_at=NOW - 9, finished_at=NOW - ago, exit_code=code
    )
    return History(record)


def two() -> Pod:
    return replace(pod(), spec=replace(pod().spec, containers=(Container(name="c"), Container(name="d"))))


def debugged(policy: str = "Always") -> Pod:
    given = pod(policy)
    return replace(given, spec=replace(given.spec, ephemeralContainers=(EphemeralContainer(name="e"),)))


INIT, SIDECAR = Container(name="i"), Container(name="s", restartPolicy="Always")
LOOP = CrashLoop(10, NOW - 5)

CASES = {
    "a new pod": (pod(), Observed(), ["c:0"], [], False),
    "all runs": (pod(), Observed(histories={"c": running()}), [], [], False),
    "Always restarts success": (pod(), Observed(histories={"c": ended(0)}), ["c:1"], [], False),
    "OnFailure leaves success": (pod("OnFailure"), Observed(histories={"c": ended(0)}), [], [], True),
    "OnFailure restarts failure": (pod("OnFailure"), Observed(histories={"c": ended(1)}), ["c:1"], [], False),
    "Never leaves failure": (pod("Never"), Observed(histories={"c": ended(1)}), [], [], True),
    "a pod that is over": (pod(phase="Failed"), Observed(histories={"c": ended(1)}), [], [], True),
    "the second restart waits": (
        pod(),
        Observed(histories={"c": ended(1, ago=3, attempt=1)}, crashes={"c": LOOP}),
        [],
        ["c:CrashLoopBackOff"],
        False,
    ),
    "a clock that was set back makes nobody wait": (
        pod(),
        Observed(histories={"c": ended(1, ago=-3600, attempt=1)}, crashes={"c": LOOP}),
        ["c:2"],
        [],
        False,
    ),
    "until its time has come": (
        pod(),
        Observed(histories={"c": ended(1, ago=10, attempt=1)}, crashes={"c": LOOP}),
        ["c:2"],
        [],
        False,
    ),
    "no image": (pod(), Observed(unresolved={"c": MISSING}), [], ["c:ErrImagePull"], False),
    "init first": (pod(inits=(INIT,)), Observed(), ["i:0"], [], False),
    "while init runs": (pod(inits=(INIT,)), Observed(histories={"i": running("i")}), [], [], False),
    "after init": (pod(inits=(INIT,)), Observed(histories={"i": ended(0, name="i")}), ["c:0"], [], False),
    "init fails": (pod(inits=(INIT,)), Observed(histories={"i": ended(1, name="i")}), ["i:1"], [], False),
    "init fails for good": (
        pod("Never", inits=(INIT,)),
        Observed(histories={"i": ended(1, name="i")}),
        [],
        [],
        True,
    ),
    "a sidecar goes before": (pod(inits=(SIDECAR,)), Observed(), ["s:0"], [], False),
    "a sidecar that has not started yet holds the others": (
        pod(inits=(SIDECAR,)),
        Observed(histories={"s": running("s")}),
        [],
        [],
        False,
    ),
    "a sidecar runs on beside": (
        pod(inits=(SIDECAR,)),
        Observed(histories={"s": running("s")}, started=frozenset({"s-id"})),
        ["c:0"],
        [],
        False,
    ),
    "a sidecar does not keep a pod alive": (
        pod("Never", inits=(SIDECAR,)),
        Observed(histories={"s": running("s"), "c": ended(0)}, started=frozenset({"s-id"})),
        [],
        [],
        True,
    ),
    "nor is it restarted then": (
        pod("Never", inits=(SIDECAR,)),
        Observed(histories={"s": ended(1, name="s"), "c": ended(0)}),
        [],
        [],
        True,
    ),
    "but it is restarted while others run": (
        pod("Never", inits=(SIDECAR,)),
        Observed(histories={"s": ended(1, name="s"), "c": running()}),
        ["s:1"],
        [],
        False,
    ),
    "a postStart hook holds up the next container": (
        two(),
        Observed(histories={"c": running()}, hooking=frozenset({"c-id"})),
        [],
        [],
        False,
    ),
    "and lets it start when it has ended": (two(), Observed(histories={"c": running()}), ["d:0"], [], False),
    "an ephemeral container needs a sandbox": (debugged(), Observed(), ["c:0"], [], False),
    "and is started once it is there": (
        debugged(),
        Observed(sandbox=True, histories={"c": running()}),
        ["e:0"],
        [],
        False,
    ),
    "only once": (
        debugged(),
        Observed(sandbox=True, histories={"c": running(), "e": ended(1, name="e")}),
        [],
        [],
        False,
    ),
    "and keeps no pod alive": (
        debugged("Never"),
        Observed(sandbox=True, histories={"c": ended(0), "e": running("e")}),
        [],
        [],
        True,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_plan(name: str) -> None:
    given, observed, starts, waiting, finished = CASES[name]
    found = plan(given, observed, NOW)
    assert [f"{s.container.name}:{s.attempt}" for s in found.starts] == starts
    assert [f"{name}:{state.reason}" for name, state in found.waiting.items()] == waiting
    assert found.finished == finished


def test_a_container_that_a_liveness_probe_gave_up_is_killed() -> None:
    observed = Observed(histories={"c": running()}, unhealthy={"c-id": "liveness"})
    (kill,) = plan(pod(), observed, NOW).kills
    assert (kill.id, kill.message) == ("c-id", "Container c failed liveness probe, will be restarted")


@pytest.mark.parametrize(("kind", "grace"), [("liveness", 5.0), ("startup", 7.0), ("hook", 30.0)])
def test_why_a_container_is_killed_says_how_long_it_has(kind: str, grace: float) -> None:
    container = Container(
        name="c",
        livenessProbe=Probe(terminationGracePeriodSeconds=5),
        startupProbe=Probe(terminationGracePeriodSeconds=7),
    )
    given = pod()
    spec = replace(given.spec, containers=(container,), terminationGracePeriodSeconds=30)
    failed: dict[str, Any] = {"unhealthy": {"c-id": kind}}
    if kind == "hook":
        failed = {"hook_failed": frozenset({"c-id"})}
    observed = dataclasses.replace(Observed(histories={"c": running()}), **failed)
    (kill,) = plan(replace(given, spec=spec), observed, NOW).kills
    assert kill.grace == grace
    assert (kill.message == "FailedPostStartHook") == (kind == "hook")


def test_a_pod_has_a_deadline_from_its_start() -> None:
    assert deadline(pod()) is None
    spec = replace(pod().spec, activeDeadlineSeconds=60)
    assert deadline(replace(pod(), spec=spec)) is None
    started = replace(pod().status, startTime=timestamp(NOW))
    assert deadline(replace(pod(), spec=spec, status=started)) == NOW + 60


def test_it_wakes_when_a_back_off_is_over() -> None:
    observed = Observed(histories={"c": ended(1, ago=3)}, crashes={"c": LOOP})
    assert plan(pod(), observed, NOW).wake == NOW + 7


def test_back_off_doubles_to_five_minutes_and_starts_anew_after_ten() -> None:
    loop = None
    delays = []
    for _ in range(7):
        loop = crashed(loop, NOW)
        delays.append(duration(loop.delay))
    assert delays == ["10s", "20s", "40s", "1m20s", "2m40s", "5m0s", "5m0s"]
    assert crashed(loop, NOW + 601).delay == 10
