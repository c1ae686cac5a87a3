"""How containers end: what happens when, and in which order."""

from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.node.containers import restarts, stop_signal, turn_to_stop
from fairlead.node.records import ContainerRecord
from fairlead.node.stopping import Act, Stop
from fairlead.objects.core_v1 import (
    Container,
    ContainerRestartRule,
    ContainerRestartRuleOnExitCodes,
    Lifecycle,
    Pod,
    PodSpec,
)

CASES = {
    "without a hook at once": (Stop("c", 0, 30), True, 0, Act.SIGNAL, 30),
    "a hook comes first": (Stop("c", 0, 30, hook=True), True, 10, Act.WAIT, 30),
    "until the grace period is over": (Stop("c", 0, 30, hook=True), True, 30, Act.SIGNAL, 32),
    "a sidecar waits for its turn": (Stop("c", 0, 30), False, 29, Act.WAIT, 30),
    "no longer than the grace period": (Stop("c", 0, 30), False, 31, Act.SIGNAL, 33),
    "a late signal leaves 2 s": (Stop("c", 0, 30, signalled=29), True, 30.5, Act.WAIT, 31),
    "an early one the whole period": (Stop("c", 0, 30, signalled=0), True, 29, Act.WAIT, 30),
    "then SIGKILL": (Stop("c", 0, 30, signalled=0), True, 30, Act.KILL, 31),
    "and again": (Stop("c", 0, 30, signalled=0, killed=30), True, 31, Act.KILL, 32),
    "but not at once": (Stop("c", 0, 30, signalled=0, killed=30), True, 30.5, Act.WAIT, 31),
    "a grace period of 0": (Stop("c", 0, 0), True, 0, Act.SIGNAL, 2),
    "a shorter one": (Stop("c", 0, 30, signalled=0).shortened(5, 10), True, 14, Act.WAIT, 15),
    "is shorter": (Stop("c", 0, 30, signalled=0).shortened(5, 10), True, 15, Act.KILL, 16),
    "a longer one is none": (Stop("c", 0, 30, signalled=0).shortened(90, 10), True, 30, Act.KILL, 31),
}


@pytest.mark.parametrize("name", CASES)
def test_what_happens_when(name: str) -> None:
    stop, turn, now, act, wake = CASES[name]
    assert stop.next(turn=turn, now=now) == (act, wake)


@given(
    st.floats(0, 100),
    st.booleans(),
    st.lists(
        st.tuples(st.floats(0, 10), st.booleans(), st.booleans(), st.none() | st.floats(0, 100)), max_size=40
    ),
)
def test_every_run_is_killed_once_its_time_is_over(
    grace: float, hook: bool, history: list[tuple[float, bool, bool, float | None]]
) -> None:
    """Whatever hooks, turns and shorter periods do: a signal first, SIGKILL not before 2 s, none later than both."""
    from dataclasses import replace

    now, stop, limit = 0.0, Stop("c", 0, grace, hook=hook), grace
    steps: list[float] = []
    for passed, hook_over, turn, shorter in [*history, *[(50.0, True, True, None)] * 8]:
        now += passed
        if shorter is not None:
            stop = stop.shortened(shorter, now)
            limit = min(limit, now + shorter)
        if hook_over:
            stop = replace(stop, hook=False)
        act, wake = stop.next(turn=turn, now=now)
        assert wake is None or wake > now
        if act is Act.SIGNAL:
            assert not steps
            stop = replace(stop, signalled=now)
            steps.append(now)
        elif act is Act.KILL:
            assert now >= max(limit, steps[0] + 2) - 1e-6
            stop = replace(stop, killed=now)
            steps.append(now)
        elif stop.signalled is not None and stop.killed is None:
            assert now < max(limit, stop.signalled + 2) + 1e-6
    assert len(steps) >= 2


PRE, POST = (Container(name=name, restartPolicy="Always") for name in ("pre", "post"))
POD = Pod(spec=PodSpec(initContainers=(PRE, Container(name="i"), POST), containers=(Container(name="c"),)))


@pytest.mark.parametrize(
    ("running", "may"),
    [
        (["pre", "post", "c"], ["c"]),
        (["pre", "post"], ["post"]),
        (["pre"], ["pre"]),
        (["pre", "post", "c", "debug"], ["c", "debug"]),
    ],
)
def test_sidecars_stop_last_and_in_reverse(running: list[str], may: list[str]) -> None:
    records = [ContainerRecord(name=name, id=name, attempt=0) for name in running]
    assert [name for name in running if turn_to_stop(POD, name, records)] == may


@pytest.mark.parametrize(
    ("name", "number"),
    [
        (None, signal.SIGTERM),
        ("SIGUSR1", signal.SIGUSR1),
        ("SIGRTMIN+3", signal.SIGRTMIN + 3),
        ("SIGRTMAX-1", signal.SIGRTMAX - 1),
        ("SIGNONSENSE", signal.SIGTERM),
    ],
)
def test_a_container_names_its_signal(name: str | None, number: int) -> None:
    assert stop_signal(Container(name="c", lifecycle=Lifecycle(stopSignal=name))) == number


def rule(operator: str, *values: int) -> ContainerRestartRule:
    return ContainerRestartRule(
        action="Restart", exitCodes=ContainerRestartRuleOnExitCodes(operator=operator, values=values)
    )


RESTARTS = {
    "Always": ("Always", Container(), 0, True),
    "Never": ("Never", Container(), 1, False),
    "OnFailure and a failure": ("OnFailure", Container(), 1, True),
    "OnFailure and none": ("OnFailure", Container(), 0, False),
    "the container's own policy": ("Always", Container(restartPolicy="Never"), 1, False),
    "its rule": ("Always", Container(restartPolicy="Never", restartPolicyRules=(rule("In", 42),)), 42, True),
    "not its rule": (
        "Never",
        Container(restartPolicy="Never", restartPolicyRules=(rule("In", 42),)),
        1,
        False,
    ),
    "all but": ("Never", Container(restartPolicy="Never", restartPolicyRules=(rule("NotIn", 1),)), 2, True),
}


@pytest.mark.parametrize("name", RESTARTS)
def test_who_is_restarted(name: str) -> None:
    policy, container, code, again = RESTARTS[name]
    assert restarts(Pod(spec=PodSpec(restartPolicy=policy)), container, code) is again
