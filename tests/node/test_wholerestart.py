"""The rule by which one container's end restarts all of a pod: as plain values, and with real processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fairlead.node import status, wholerestart
from fairlead.node.plan import Observed, plan
from fairlead.node.records import ContainerRecord, History
from fairlead.node.status import Facts
from fairlead.objects import codec
from fairlead.objects.core_v1 import Pod
from tests.node.places import Cluster, is_ready, root, with_cluster
from tests.node.pods import shell, signal_file, state

NOW = 1_000_000.0
RULE = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}
WATCHED = {"restartPolicy": "Never", "restartPolicyRules": [RULE]}


def pod(**spec: Any) -> Pod:
    made = {"initContainers": [{"name": "i"}], "containers": [{"name": "c", **WATCHED}, {"name": "d"}]}
    body = {"metadata": {"name": "web"}, "spec": {"restartPolicy": "Never", **made, **spec}}
    return codec.decode(Pod, codec.encode(body | {"status": {"phase": "Running"}}))


def run(name: str, started: float, ended: float = 0, code: int = 0, attempt: int = 0) -> History:
    """A container that was started and ended so many seconds ago; with 0 it has not ended."""
    record = ContainerRecord(
        name=name,
        id=f"{name}{attempt}",
        attempt=attempt,
        started_at=NOW - started,
        finished_at=NOW - ended if ended else 0,
        exit_code=code,
    )
    return History(record)


def of(*histories: History) -> dict[str, History]:
    return {history.current.name: history for history in histories}


NONE: frozenset[str] = frozenset()
FORMER = frozenset({"i0", "c0", "d0"})
TRIGGERED = of(run("i", 90, 80), run("c", 70, 5, 42), run("d", 70))
ENDS = {
    "all run": (of(run("c", 70), run("d", 70)), NONE, False),
    "another code": (of(run("c", 70, 5, 1), run("d", 70)), NONE, False),
    "the code, of a container that has no rule": (of(run("c", 70), run("d", 70, 5, 42)), NONE, False),
    "the code": (TRIGGERED, NONE, True),
    "the code once more, while the first restart ends it": (TRIGGERED, FORMER, False),
    "the code again, later": (of(run("c", 10, 3, 42, 1), run("d", 10)), FORMER, True),
}


@pytest.mark.parametrize("name", ENDS)
def test_when_all_are_restarted(name: str) -> None:
    histories, former, expected = ENDS[name]
    assert wholerestart.triggered(pod(), histories, former) is expected


def test_the_first_rule_that_knows_the_code_decides() -> None:
    restart = {"action": "Restart", "exitCodes": {"operator": "NotIn", "values": [0]}}
    histories = of(run("c", 70, 5, 42))
    for rules, expected in (([restart, RULE], False), ([RULE, restart], True)):
        given = pod(containers=[{"name": "c", "restartPolicy": "Never", "restartPolicyRules": rules}])
        assert wholerestart.triggered(given, histories, NONE) is expected


def observed(histories: dict[str, History]) -> Observed:
    running = {one.current.id for one in histories.values() if one.current.running}
    return Observed(sandbox=True, histories=histories, former=FORMER, restarting=bool(FORMER & running))


STEPS = {
    "what runs is ended first": (TRIGGERED, [], ["d"]),
    "then init containers run again": (of(run("i", 90, 80), run("c", 70, 5, 42), run("d", 70, 4, 143)), ["i1"], []),
    "one after the other": (of(run("i", 3, attempt=1), run("c", 70, 5, 42), run("d", 70, 4, 143)), [], []),
    "then all others, those that had succeeded, too": (
        of(run("i", 3, 1, attempt=1), run("c", 70, 5, 42), run("d", 70, 40)),
        ["c1", "d1"],
        [],
    ),
    "and then it is a pod as any": (
        of(run("i", 3, 2, attempt=1), run("c", 1, attempt=1), run("d", 1, attempt=1)),
        [],
        [],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STEPS)
def test_what_is_done_step_by_step(name: str) -> None:
    histories, starts, kills = STEPS[name]
    found = plan(pod(), observed(histories), NOW)
    assert [f"{start.container.name}{start.attempt}" for start in found.starts] == starts
    assert [(kill.container.name, kill.grace) for kill in found.kills] == [(kill, 0) for kill in kills]
    assert not found.finished


def test_what_is_said_meanwhile() -> None:
    given = observed(TRIGGERED)
    facts = Facts(histories=TRIGGERED, former=given.former, restarting=given.restarting)
    made = status.make(pod(), facts, NOW)
    restarting = {c.type: c for c in made.conditions}["AllContainersRestarting"]
    assert (restarting.status, restarting.reason) == ("True", "RestartAllContainersStarted")
    assert restarting.message == "container exited with restart policy rule"
    histories = of(run("i", 90, 80), run("c", 70, 5, 42), run("d", 70, 4, 143))
    given = observed(histories)
    made = status.make(pod(), Facts(histories=histories, former=given.former), NOW)
    assert made.phase == "Pending"
    found = {c.type: c.status for c in made.conditions}
    assert (found["Initialized"], found["Ready"], found["AllContainersRestarting"]) == (
        "True",
        "False",
        "False",
    )
    for one in made.containerStatuses:
        waiting, last = one.state.waiting, one.lastState.terminated
        assert waiting is not None
        assert last is not None
        assert (waiting.reason, last.reason, last.exitCode) == (status.RESTARTING, status.RESTARTING, 137)
        assert one.restartCount == 1
    assert "AllContainersRestarting" not in {c.type for c in status.make(plain(), Facts(), NOW).conditions}


def plain() -> Pod:
    return pod(containers=[{"name": "c"}])


@root
def test_all_containers_of_a_pod_are_restarted(tmp_path: Path) -> None:
    """By its sidecar; what the volume has stays, and so does the address. An agent that comes later knows of it."""

    async def test(cluster: Cluster) -> None:
        count = "echo x >>/data/count"
        mount = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
        hook = {"lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", "touch /data/hook"]}}}}
        watcher = shell(
            "watcher", f"{until_told}; rm {told}; exit 42", restartPolicy="Always", restartPolicyRules=[RULE]
        )
        await cluster.run(
            "web",
            shell("c", "trap 'exit 0' TERM; while :; do sleep 0.02; done", **mount, **hook),
            initContainers=[shell("first", count, **mount), watcher],
            volumes=[{"name": "data", "emptyDir": {}}],
            restartPolicy="Never",
            terminationGracePeriodSeconds=600,
        )
        before = await cluster.until("web", is_ready)
        told.touch()
        pod = await cluster.until("web", lambda pod: state(pod).restartCount == 1 and is_ready(pod))
        assert [one.restartCount for one in pod.status.initContainerStatuses] == [1, 1]
        assert pod.status.podIP == before.status.podIP
        ended = pod.status.initContainerStatuses[1].lastState.terminated
        assert ended is not None
        assert (ended.exitCode, ended.reason) == (137, "RestartingAllContainers")
        assert {c.type: c.status for c in pod.status.conditions}["AllContainersRestarting"] == "False"
        data = cluster.config.state_directory / "pods" / pod.metadata.uid / "volumes/data"
        assert (data / "count").read_text().split() == ["x", "x"]
        assert not (data / "hook").exists()
        await cluster.stop()
        await cluster.start()
        await cluster.run("next")
        await cluster.until("next", is_ready)
        again = await cluster.until("web", is_ready)
        assert [state(again).restartCount, state(again).state] == [1, state(pod).state]

    with signal_file() as (until_told, told):
        with_cluster(tmp_path, test)
