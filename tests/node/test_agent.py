"""Pods on a node, as a user of the API sees them: with the real API server, kernel and processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from fairlead.client import kubeconfig
from fairlead.client.api import Api
from fairlead.node import probes
from fairlead.node.account import Account
from fairlead.node.heartbeat import Heartbeat
from fairlead.node.records import read_sandbox
from fairlead.objects.authentication_v1 import SelfSubjectReview
from fairlead.objects.resources import CONFIGMAPS, EVENTS, LEASES, NODES, PODS
from tests.client.cluster import eventually as holds
from tests.node.places import ECHO, Cluster, interfaces, is_ready, root, with_cluster
from tests.node.pods import SHELL, ask, eventually, probe_of, signal_file, slow_start, state, waits
from tests.ordinary import user_namespaces
from tests.waiting import LIMIT


@root
def test_a_pod_runs_answers_and_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "STARTING", LIMIT)  # however slowly the program starts

    async def test(cluster: Cluster) -> None:
        # It is asked at once, and until it listens: the second time would be after an hour.
        probe = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 3600}
        await cluster.run("web", {"readinessProbe": probe, "ports": [{"containerPort": 8080}]})
        pod = await cluster.until("web", is_ready)
        assert pod.status.phase == "Running"
        assert (pod.status.podIP, pod.status.hostIP) == ("10.244.1.2", "192.168.1.10")
        assert [c.status for c in pod.status.conditions] == ["True"] * 5
        one = state(pod)
        assert (one.ready, one.started, one.restartCount) == (True, True, 0)
        assert one.state.running is not None
        answer = json.loads((await ask(pod)).partition("\r\n\r\n")[2])
        assert (answer["pod"], answer["namespace"], answer["node"]) == ("web", "default", "node1")
        assert (answer["zone"], answer["client"], answer["protocol"]) == ("a", "192.168.1.10", "HTTP")
        assert json.loads(await ask(pod, text="hello\n"))["protocol"] == "TCP"
        assert len(interfaces()) == 2

        async def told() -> bool:
            found = (await cluster.api.list(EVENTS, "default")).items
            return {
                (
                    "Pulled",
                    f'Container image "{ECHO}" already present on machine and can be accessed by the pod',
                ),
                ("Created", "Container created: c"),
                ("Started", "Container started: c"),
            } <= {(event.reason, event.message) for event in found}

        await holds(told, "Events tell of the start")
        await cluster.api.delete(PODS, "web", "default")
        await cluster.gone("web")
        await eventually(lambda: interfaces() == ["lo"])  # the kernel removes them in the background
        await eventually(lambda: not list((cluster.config.state_directory / "pods").iterdir()))

    with_cluster(tmp_path, test)


@root
def test_the_node_registers_and_renews_its_lease(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        node = await cluster.api.get(NODES, "node1")
        assert [(a.type, a.address) for a in node.status.addresses] == [
            ("InternalIP", "192.168.1.10"),
            ("Hostname", "node1"),
        ]
        assert {c.type: c.status for c in node.status.conditions} == {
            "MemoryPressure": "False",
            "DiskPressure": "False",
            "PIDPressure": "False",
            "Ready": "True",
        }
        assert node.metadata.labels == {
            "kubernetes.io/hostname": "node1",
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": node.status.nodeInfo.architecture,
            "beta.kubernetes.io/os": "linux",
            "beta.kubernetes.io/arch": node.status.nodeInfo.architecture,
            "topology.kubernetes.io/zone": "a",
        }
        assert set(node.status.capacity) >= {"cpu", "memory", "ephemeral-storage", "pods"}
        assert node.status.allocatable == node.status.capacity
        assert node.spec.podCIDR == "10.244.1.0/24"
        lease = await cluster.api.get(LEASES, "node1", "kube-node-lease")
        assert lease.spec.holderIdentity == "node1"

    with_cluster(tmp_path, test)


@root
def test_another_agent_of_the_same_name_is_noticed(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        node = await cluster.api.get(NODES, "node1")
        first, second = Heartbeat(cluster.api, "node9"), Heartbeat(cluster.api, "node9")
        assert [await first.renew(node), await first.renew(node)] == [False, False]
        # The next agent after one that ended takes over.
        assert [await second.renew(node), await second.renew(node)] == [False, False]
        assert [await first.renew(node), await second.renew(node)] == [True, True]
        # Somebody else's change is none of an agent's.
        await cluster.api.patch(LEASES, "node9", "kube-node-lease", {"metadata": {"labels": {"seen": "yes"}}})
        assert [await second.renew(node), await second.renew(node)] == [False, False]

    with_cluster(tmp_path, test)


@root
def test_a_probe_turns_a_pod_not_ready_and_back(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.run("web", {"readinessProbe": probe_of(8080)})
        pod = await cluster.until("web", is_ready)
        await ask(pod, text="POST /unready HTTP/1.0\r\n\r\n")
        pod = await cluster.until("web", lambda pod: not is_ready(pod))
        ready = {c.type: c for c in pod.status.conditions}["Ready"]
        assert (ready.reason, ready.message) == (
            "ContainersNotReady",
            "containers with unready status: [c]",
        )
        assert pod.status.phase == "Running"
        await ask(pod, text="POST /ready HTTP/1.0\r\n\r\n")
        await cluster.until("web", is_ready)

    with_cluster(tmp_path, test)


@root
def test_an_exec_probe_sees_the_pods_own_tmp(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        probe = {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1}
        command = ["sh", "-c", "touch /tmp/ready; exec sleep 100"]
        grace = {"terminationGracePeriodSeconds": 1}
        await cluster.run("with", {**SHELL, "command": command, "readinessProbe": probe}, **grace)
        await cluster.run("without", {**SHELL, "command": ["sleep", "100"], "readinessProbe": probe}, **grace)
        await cluster.until("with", is_ready)
        pod = await cluster.until("without", lambda pod: pod.status.phase == "Running")
        assert not is_ready(pod)

    with_cluster(tmp_path, test)


@root
def test_exit_codes_and_restart_policies(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        def shell(script: str) -> dict[str, Any]:
            return {**SHELL, "command": ["sh", "-c", script]}

        await cluster.run("done", shell("exit 0"), restartPolicy="OnFailure")
        await cluster.run("failed", shell("exit 3"), restartPolicy="Never")
        await cluster.run("killed", shell("kill -9 $$; sleep 1; exit 4"), restartPolicy="Never")
        await cluster.run("looping", shell("exit 5"))
        pod = await cluster.until("done", lambda pod: pod.status.phase == "Succeeded")
        over = state(pod).state.terminated
        assert over is not None
        assert (over.exitCode, over.reason) == (0, "Completed")
        pod = await cluster.until("failed", lambda pod: pod.status.phase == "Failed")
        over = state(pod).state.terminated
        assert over is not None
        assert (over.exitCode, over.reason) == (3, "Error")
        pod = await cluster.until("looping", waits("CrashLoopBackOff"))
        assert pod.status.phase == "Running"
        one = state(pod)
        assert one.restartCount == 1
        assert one.lastState.terminated is not None
        assert one.lastState.terminated.exitCode == 5
        assert one.state.waiting is not None
        assert one.state.waiting.message.startswith(
            "back-off 10s restarting failed container=c pod=looping_default("
        )

        async def told() -> bool:
            events = (await cluster.api.list(EVENTS, "default")).items
            text = f"Back-off restarting failed container c in pod looping_default({pod.metadata.uid})"
            return ("BackOff", text) in {(event.reason, event.message) for event in events}

        await holds(told, "an Event tells of the back-off")

    with_cluster(tmp_path, test)


@root
def test_what_cannot_be_started_says_so(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.run("noimage", {"image": "example.org/shop:1"})
        await cluster.run("nocommand", {**SHELL, "command": ["no-such-program"]}, restartPolicy="Never")
        reference = {"configMapKeyRef": {"name": "settings", "key": "x"}}
        environment = [{"name": "X", "valueFrom": reference}]
        await cluster.run("noconfig", {"env": environment})
        pod = await cluster.until("noimage", waits("ErrImagePull"))
        assert pod.status.phase == "Pending"
        assert state(pod).state.waiting is not None
        await cluster.until("noimage", waits("ImagePullBackOff"))
        pod = await cluster.until("nocommand", lambda pod: pod.status.phase == "Failed")
        over = state(pod).state.terminated
        assert over is not None
        assert (over.exitCode, over.reason) == (128, "StartError")
        assert 'exec: "no-such-program": executable file not found in $PATH' in over.message
        pod = await cluster.until("noconfig", waits("CreateContainerConfigError"))
        assert state(pod).state.waiting is not None

        async def told() -> bool:
            return "Failed" in {event.reason for event in (await cluster.api.list(EVENTS, "default")).items}

        await holds(told, "an Event tells of it")

    with_cluster(tmp_path, test)


@root
def test_a_container_sees_its_environment_and_files(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        from fairlead.objects.core_v1 import ConfigMap
        from fairlead.objects.meta_v1 import ObjectMeta

        await cluster.api.create(
            CONFIGMAPS, ConfigMap(metadata=ObjectMeta(name="settings", namespace="default"), data={"x": "1"})
        )
        script = "echo $GREETING $X $IP $HOSTNAME $(hostname); cat /etc/resolv.conf /etc/hosts; pwd"
        environment = [
            {"name": "WHO", "value": "world"},
            {"name": "GREETING", "value": "hello-$(WHO)-$(NOBODY)"},
            {"name": "X", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "x"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        ]
        container = {**SHELL, "command": ["sh", "-c", script], "env": environment, "workingDir": "/usr"}
        await cluster.run("web", container, restartPolicy="Never")
        pod = await cluster.until("web", lambda pod: pod.status.phase == "Succeeded")
        log = cluster.config.state_directory / "pods" / pod.metadata.uid / "logs" / "c" / "0.log"
        await eventually(lambda: log.read_text().endswith(" /usr\n"))
        lines = [line.split(" ", 3)[3] for line in log.read_text().splitlines()]
        assert lines[0] == "hello-world-$(NOBODY) 1 10.244.1.2 web web"
        assert "search default.svc.cluster.local svc.cluster.local cluster.local" in lines[1]
        assert "nameserver 10.96.0.10" in lines
        assert "options ndots:5" in lines
        assert "10.244.1.2\tweb" in lines
        assert lines[-1] == "/usr"

    with_cluster(tmp_path, test)


ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


@root
def test_a_container_has_a_token_of_its_pod_that_is_renewed(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        script = f"cd {ACCOUNT} && cat namespace && stat -c %a token && cat token && echo && ls -A /run && sleep 60"
        await cluster.run("web", SHELL | {"command": ["sh", "-c", script]})
        pod = await cluster.until("web", is_ready)
        directory = cluster.config.state_directory / "pods" / pod.metadata.uid
        log = directory / "logs" / "c" / "0.log"
        await eventually(lambda: log.exists() and len(log.read_text().splitlines()) >= 3)
        namespace, token, run = (line.split(" ", 3)[3] for line in log.read_text().splitlines()[:3])
        assert namespace == "default600"  # the file has no newline
        assert run == "secrets"
        config = kubeconfig.Config(
            cluster.api.server, authority=cluster.api.config.authority, token_file=directory / "account/token"
        )
        async with Api(config) as own:
            review = await own.request(
                "POST",
                "/apis/authentication.k8s.io/v1/selfsubjectreviews",
                SelfSubjectReview,
                SelfSubjectReview(),
            )
        info = review.status.userInfo
        assert info is not None
        assert info.username == "system:serviceaccount:default:default"
        assert info.extra["authentication.kubernetes.io/pod-uid"] == (pod.metadata.uid,)
        account, now = Account(cluster.node_api, directory / "account"), time.time()
        again = await account.keep(pod, now)
        assert again is not None
        assert 2800 < again - now < 2900
        assert await account.keep(pod, again - 1) == again
        fresh = (directory / "account/token").read_text()
        assert fresh != token
        await account.keep(pod, again + 1)
        assert (directory / "account/token").read_text() != fresh

    with_cluster(tmp_path, test)


@root
def test_a_pod_that_wants_no_token_has_none(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        command = ["sh", "-c", f"! test -e {ACCOUNT} && exit 7"]
        await cluster.run(
            "web", SHELL | {"command": command}, restartPolicy="Never", automountServiceAccountToken=False
        )
        pod = await cluster.until("web", lambda pod: pod.status.phase == "Failed")
        ended = state(pod).state.terminated
        assert ended is not None
        assert ended.exitCode == 7

    with_cluster(tmp_path, test)


@root
def test_a_terminating_pod_serves_until_its_grace_period_is_over(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        hook = {"preStop": {"exec": {"command": ["sh", "-c", until_told]}}}
        # Of a grace period of minutes it waits for none once its hook has ended and its container, too.
        probe = probe_of(8080)
        container = {"lifecycle": hook, "readinessProbe": probe, "livenessProbe": probe, **slow_start(8080)}
        await cluster.run("web", container, terminationGracePeriodSeconds=600)
        stubborn = {**SHELL, "command": ["sh", "-c", "trap '' TERM; sleep 1000"]}
        await cluster.run("stubborn", stubborn, terminationGracePeriodSeconds=1)
        await cluster.until("web", is_ready)
        await cluster.until("stubborn", is_ready)
        await cluster.api.delete(PODS, "web", "default")
        await cluster.api.delete(PODS, "stubborn", "default")
        await cluster.gone("stubborn")
        pod = await cluster.until("web", lambda pod: pod.metadata.deletionTimestamp)
        assert '"pod": "web"' in await ask(pod)
        # Whether it is ready is asked until the end; whether it lives no longer.
        await ask(pod, text="POST /unready HTTP/1.0\r\n\r\n")
        await cluster.until("web", lambda pod: not is_ready(pod))
        pod = await cluster.until("web", lambda pod: state(pod).state.running)
        assert state(pod).restartCount == 0
        told.touch()
        await cluster.gone("web")

    with signal_file() as (until_told, told):
        with_cluster(tmp_path, test)


@root
def test_pods_outlive_their_agent_and_are_adopted_by_the_next(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        cluster.start_program()
        probe = {"httpGet": {"path": "/healthz", "port": 8080}}
        await cluster.run("web", {"readinessProbe": probe})
        script = ["sh", "-c", f"{until_told}; rm {told}; exit 7"]
        await cluster.run("ending", {**SHELL, "command": script}, restartPolicy="Never")
        await cluster.run("orphan")
        before = await cluster.until("web", is_ready)
        await cluster.until("ending", is_ready)
        await cluster.until("orphan", is_ready)
        cluster.kill_program()
        assert '"pod": "web"' in await ask(before)
        await cluster.api.delete(PODS, "orphan", "default", grace_period_seconds=0)
        told.touch()
        await eventually(lambda: not told.exists())
        cluster.start_program()
        pod = await cluster.until("ending", lambda pod: pod.status.phase == "Failed")
        over = state(pod).state.terminated
        assert over is not None
        assert over.exitCode == 7
        after = await cluster.until("web", is_ready)
        other = [*cluster.command(), "--health", "none"]
        second = await asyncio.to_thread(subprocess.run, other, capture_output=True, text=True, check=False)
        assert second.returncode != 0
        assert "in use by the agent of the node node1 (process " in second.stderr
        assert "Traceback" not in second.stderr
        assert state(after) == state(before)
        assert after.metadata.resourceVersion == before.metadata.resourceVersion
        await cluster.run("next")
        pod = await cluster.until("next", is_ready)
        assert pod.status.podIP not in (before.status.podIP, "")
        pods = cluster.config.state_directory / "pods"
        await eventually(lambda: len(list(pods.iterdir())) == 3)

    with signal_file() as (until_told, told):
        with_cluster(tmp_path, test, start=False)


@root
@user_namespaces
def test_an_ordinary_users_node_works_the_same() -> None:
    async def test(cluster: Cluster) -> None:
        probe = {"httpGet": {"path": "/healthz", "port": 80}}
        await cluster.run("web", {"readinessProbe": probe})
        checks = f"touch /tmp/x; ls {cluster.kubeconfig}"
        await cluster.run("shell", {**SHELL, "command": ["sh", "-c", checks]}, restartPolicy="Never")
        pod = await cluster.until("web", is_ready)
        assert '"client": "192.168.1.10"' in await ask(pod, 80)
        # The test's files are below /tmp, and not shared with the pod: it does not see them.
        pod = await cluster.until("shell", lambda pod: pod.status.phase in ("Failed", "Succeeded"))
        assert pod.status.phase == "Failed"
        await cluster.api.delete(PODS, "web", "default")
        await cluster.gone("web")

    with tempfile.TemporaryDirectory(prefix="fairlead-", dir="/tmp") as directory:
        with_cluster(Path(directory), test, ordinary=True)


@root
def test_a_pod_whose_sandbox_is_killed_comes_back_with_its_address(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.run("web")
        before = await cluster.until("web", is_ready)
        record = read_sandbox(cluster.config.state_directory / "pods" / before.metadata.uid)
        assert record is not None
        os.kill(record.pid, signal.SIGKILL)
        after = await cluster.until("web", lambda pod: is_ready(pod) and state(pod).restartCount == 1)
        assert after.status.podIP == before.status.podIP
        last = state(after).lastState.terminated
        assert last is not None
        assert last.exitCode == 137
        assert '"pod": "web"' in await ask(after)

    with_cluster(tmp_path, test)


@root
def test_init_containers_run_first_and_in_order(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        def init(name: str, script: str) -> dict[str, Any]:
            return {"name": name, "image": "any", "command": ["sh", "-c", script]}

        inits = [init("one", "exit 0"), {**init("side", "sleep 100"), "restartPolicy": "Always"}]
        await cluster.run("web", initContainers=inits, terminationGracePeriodSeconds=1)
        pod = await cluster.until("web", is_ready)
        one, side = pod.status.initContainerStatuses
        assert one.state.terminated is not None
        assert one.state.terminated.reason == "Completed"
        assert side.state.running is not None
        await cluster.run("stuck", initContainers=[init("no", "exit 1")], restartPolicy="Never")
        pod = await cluster.until("stuck", lambda pod: pod.status.phase == "Failed")
        assert {c.type: c.reason for c in pod.status.conditions}["Initialized"] == "ContainersNotInitialized"

    with_cluster(tmp_path, test)


@root
def test_a_failed_liveness_probe_restarts_the_container(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.run("web", {"livenessProbe": probe_of(80), **slow_start(80)})
        pod = await cluster.until("web", is_ready)
        await ask(pod, text="POST /unready HTTP/1.0\r\n\r\n")
        pod = await cluster.until("web", lambda pod: is_ready(pod) and state(pod).restartCount == 1)

    with_cluster(tmp_path, test)
