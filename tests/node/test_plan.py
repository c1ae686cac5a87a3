"""What the agent does next, as a table."""

from __future__ import annotations

import pytest

from fairlead.node.plan import CrashLoop, Observed, crashed, duration, plan, pulling
from fairlead.node.records import ContainerRecord, History
from fairlead.objects.core_v1 import Container, ContainerStateWaiting, Pod, PodSpec, PodStatus

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


@pytest.mark.parametrize(
    ("policy", "elapsed", "reason"),
    [
        ("Always", 0, "ErrImagePull"),
        ("Always", 3, "ImagePullBackOff"),
        ("Always", 10.5, "ErrImagePull"),
        ("Always", 20, "ImagePullBackOff"),
        ("IfNotPresent", 30.5, "ErrImagePull"),
        ("Never", 0, "ErrImageNeverPull"),
    ],
)
def test_pulling(policy: str, elapsed: float, reason: str) -> None:
    waiting, rest = pulling("nginx", policy, elapsed)
    assert waiting.reason == reason
    assert "nginx" in waiting.message
    assert rest > 0
