"""A pod's status from what its containers do, as a table."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest
from msgspec.structs import replace

from fairlead.apiserver.patch import strategic_merge
from fairlead.node import status
from fairlead.node.records import ContainerRecord, History
from fairlead.node.status import OVERDUE, Facts, Failure
from fairlead.objects import schema
from fairlead.objects.core_v1 import (
    Container,
    ContainerStateWaiting,
    EphemeralContainer,
    HostIP,
    Pod,
    PodCondition,
    PodIP,
    PodReadinessGate,
    PodSpec,
    PodStatus,
)
from fairlead.objects.meta_v1 import ObjectMeta

NOW = 1_000_000.0
THEN = "1970-01-12T13:46:40Z"
INIT = Container(name="i")
SIDECAR = Container(name="s", restartPolicy="Always")


def pod(policy: str = "Always", inits: tuple[Container, ...] = (), names: tuple[str, ...] = ("c",)) -> Pod:
    containers = tuple(Container(name=name, image="web:1") for name in names)
    return Pod(
        metadata=ObjectMeta(name="web", generation=3),
        spec=PodSpec(containers=containers, initContainers=inits, restartPolicy=policy),
        status=PodStatus(phase="Pending", qosClass="BestEffort"),
    )


def running(name: str = "c") -> History:
    return History(ContainerRecord(name=name, id=name, attempt=0, started_at=NOW))


def ended(code: int, name: str = "c") -> History:
    return History(
        ContainerRecord(name=name, id=name, attempt=1, started_at=NOW, finished_at=NOW, exit_code=code)
    )


BACKOFF = {"c": ContainerStateWaiting(reason="CrashLoopBackOff")}
READY = frozenset({"c"})
CASES = {
    "nothing yet": (pod(), Facts(), "Pending", "False"),
    "runs, not ready": (pod(), Facts(histories={"c": running()}), "Running", "False"),
    "runs, ready": (pod(), Facts(histories={"c": running()}, ready=READY), "Running", "True"),
    "one of two runs": (
        pod(names=("c", "d")),
        Facts(histories={"c": running()}, ready=READY),
        "Pending",
        "False",
    ),
    "between restarts": (pod(), Facts(histories={"c": ended(1)}), "Running", "False"),
    "in back-off": (pod(), Facts(histories={"c": ended(1)}, waiting=BACKOFF), "Running", "False"),
    "has succeeded": (pod("Never"), Facts(histories={"c": ended(0)}), "Succeeded", "False"),
    "has failed": (pod("Never"), Facts(histories={"c": ended(1)}), "Failed", "False"),
    "will be tried again": (pod("OnFailure"), Facts(histories={"c": ended(1)}), "Running", "False"),
    "over but for its sidecar": (
        pod("Never", inits=(SIDECAR,)),
        Facts(histories={"c": ended(0), "s": running("s")}, started=frozenset({"s"})),
        "Pending",  # as it was: the end is told when nothing runs
        "False",
    ),
    "over with its sidecar": (
        pod("Never", inits=(SIDECAR,)),
        Facts(histories={"c": ended(0), "s": ended(137, "s")}),
        "Succeeded",
        "False",
    ),
    "overdue, not ended yet": (pod(), Facts(histories={"c": running()}, failure=OVERDUE), "Pending", "False"),
    "overdue": (pod(), Facts(histories={"c": ended(0)}, failure=OVERDUE), "Failed", "False"),
    "after its start it has a hook to wait for": (
        pod(),
        Facts(histories={"c": running()}, hooking=READY),
        "Pending",
        "False",
    ),
    "initialises": (pod(inits=(INIT,)), Facts(histories={"i": running("i")}), "Pending", "False"),
    "cannot be initialised": (
        pod("Never", inits=(INIT,)),
        Facts(histories={"i": ended(1, "i")}),
        "Failed",
        "False",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_phase_and_readiness(name: str) -> None:
    given, facts, phase, ready = CASES[name]
    made = status.make(given, facts, NOW)
    assert made.phase == phase
    assert {c.type: c.status for c in made.conditions}["Ready"] == ready


def test_conditions_as_the_kubelet_orders_them() -> None:
    made = status.make(pod(), Facts(sandbox=True, histories={"c": running()}), NOW)
    assert [(c.type, c.status, c.reason) for c in made.conditions] == [
        ("PodReadyToStartContainers", "True", ""),
        ("Initialized", "True", ""),
        ("Ready", "False", "ContainersNotReady"),
        ("ContainersReady", "False", "ContainersNotReady"),
        ("PodScheduled", "True", ""),
    ]
    assert {c.observedGeneration for c in made.conditions} == {3}
    assert made.startTime == THEN
    assert made.qosClass == "BestEffort"


def test_a_container_whose_hook_failed_has_not_started_until_it_ends() -> None:
    facts = Facts(histories={"c": running()}, ready=READY, hooking=frozenset({"c"}))
    made = status.make(pod(), facts, NOW)
    assert made.containerStatuses[0].state.waiting is not None
    assert not made.containerStatuses[0].ready
    made = status.make(pod(), dataclasses.replace(facts, histories={"c": ended(137)}), NOW)
    terminated = made.containerStatuses[0].state.terminated
    assert terminated is not None
    assert terminated.exitCode == 137


def test_a_condition_keeps_its_time_until_it_changes() -> None:
    first = status.make(pod(), Facts(sandbox=True, histories={"c": running()}), NOW)
    facts = Facts(sandbox=True, histories={"c": running()}, ready=READY)
    second = status.make(replace(pod(), status=first), facts, NOW + 60)
    times = {c.type: c.lastTransitionTime for c in second.conditions}
    assert times["Initialized"] == THEN
    assert times["Ready"] == "1970-01-12T13:47:40Z"


def test_a_container_in_back_off_shows_how_it_ended() -> None:
    made = status.make(pod(), Facts(histories={"c": ended(5)}, waiting=BACKOFF), NOW)
    one = made.containerStatuses[0]
    assert one.state.waiting is not None
    assert one.lastState.terminated is not None
    assert (one.lastState.terminated.exitCode, one.restartCount) == (5, 1)


@pytest.mark.parametrize(("gate", "ready"), [("", "False"), ("False", "False"), ("True", "True")])
def test_readiness_gates_are_others_conditions(gate: str, ready: str) -> None:
    given = pod()
    conditions = (PodCondition(type="example.org/up", status=gate),) if gate else ()
    given = replace(
        given,
        spec=replace(given.spec, readinessGates=(PodReadinessGate(conditionType="example.org/up"),)),
        status=replace(given.status, conditions=conditions),
    )
    made = status.make(given, Facts(histories={"c": running()}, ready=READY), NOW)
    found = {c.type: c for c in made.conditions}
    assert found["Ready"].status == ready
    assert found["Ready"].reason == ("" if gate == "True" else "ReadinessGatesNotReady")
    assert ("example.org/up" in found) == bool(gate)


def test_only_what_differs_is_written() -> None:
    first = status.make(pod(), Facts(histories={"c": running()}, ready=READY), NOW)
    assert status.difference(first, first) == {}
    assert status.difference(first, replace(first, phase="Failed")) == {"phase": "Failed"}
    assert status.difference(replace(first, reason="Evicted"), first) == {"reason": None}


def patched(old: PodStatus, new: PodStatus, there: PodStatus) -> PodStatus:
    """What becomes of the status that is there if what differs between old and new is written."""
    of = schema.type_named("k8s.io.api.core.v1.PodStatus")
    changes = status.difference(old, new)
    document, patch = (msgspec.json.decode(msgspec.json.encode(value)) for value in (there, changes))
    return msgspec.convert(strategic_merge(document, patch, of), PodStatus)


def test_why_a_condition_was_false_does_not_stay_when_it_is_true() -> None:
    old = status.make(pod(), Facts(histories={"c": running()}), NOW)
    new = status.make(replace(pod(), status=old), Facts(histories={"c": running()}, ready=READY), NOW + 1)
    was, became = (
        next(one for one in each.conditions if one.type == "Ready") for each in (old, patched(old, new, old))
    )
    assert (was.status, was.reason) == ("False", "ContainersNotReady")
    assert (became.status, became.reason, became.message) == ("True", "", "")
    assert patched(old, new, old) == new


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((), ("10.0.0.2",)),
        (("10.0.0.2", "fd00::2"), ("10.0.0.3", "fd00::3")),
        (("10.0.0.2", "fd00::2"), ("10.0.0.2",)),
        (("10.0.0.2", "fd00::2"), ("fd00::2", "10.0.0.2")),
    ],
)
def test_addresses_that_a_pod_had_before_do_not_stay(before: tuple[str, ...], after: tuple[str, ...]) -> None:
    old = replace(pod().status, podIPs=tuple(PodIP(ip=ip) for ip in before))
    old = replace(old, hostIPs=tuple(HostIP(ip=ip) for ip in before))
    made = status.make(replace(pod(), status=old), Facts(pod_ips=after, host_ips=after), NOW)
    result = patched(old, made, old)
    assert [one.ip for one in result.podIPs] == [one.ip for one in result.hostIPs] == list(after)


def test_conditions_that_others_write_meanwhile_stay() -> None:
    gate = PodCondition(type="example.org/up", status="False")
    old = status.make(pod(), Facts(histories={"c": running()}), NOW)
    old = replace(old, conditions=(*old.conditions, gate))
    there = replace(old, conditions=(*old.conditions[:-1], replace(gate, status="True")))
    new = status.make(replace(pod(), status=old), Facts(histories={"c": running()}, ready=READY), NOW)
    found = {one.type: one.status for one in patched(old, new, there).conditions}
    assert (found["example.org/up"], found["ContainersReady"]) == ("True", "True")
    assert list(found) == [one.type for one in new.conditions]


def test_a_pod_that_its_node_ended_says_why_and_how_each_container_ended() -> None:
    evicted = Failure("Evicted", "Pod used too much. ", disrupted=True)
    made = status.make(pod(names=("c", "d")), Facts(histories={"c": ended(1)}, failure=evicted), NOW)
    assert (made.phase, made.reason, made.message) == ("Failed", "Evicted", "Pod used too much. ")
    ends = [one.state.terminated for one in made.containerStatuses]
    assert [(end.exitCode, end.reason) for end in ends if end] == [(1, ""), (137, "ContainerStatusUnknown")]
    target = made.conditions[-1]
    assert (target.type, target.status, target.reason) == ("DisruptionTarget", "True", "TerminationByKubelet")
    again = status.make(replace(pod(names=("c", "d")), status=made), Facts(histories={"c": ended(1)}), NOW)
    assert again == made  # the next agent knows nothing of the reason, and leaves it


def test_ephemeral_containers_have_a_list_of_their_own() -> None:
    given = pod()
    given = replace(
        given, spec=replace(given.spec, ephemeralContainers=(EphemeralContainer(name="e", image="i"),))
    )
    made = status.make(given, Facts(histories={"c": running(), "e": running("e")}, ready=READY), NOW)
    assert [one.name for one in made.ephemeralContainerStatuses] == ["e"]
    assert made.ephemeralContainerStatuses[0].state.running is not None
    assert {c.type: c.status for c in made.conditions}["Ready"] == "True"
