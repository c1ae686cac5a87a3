"""Workloads in a lab with real pods: a database with names, a daemon on every node, updates, a node that dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.lab.conftest import freeze, wait_for
from tests.lab.labs import Lab, lab_of
from tests.waiting import LIMIT

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="labs need root")

GRACE = "15s"
"""A node speaks every quarter of it."""

DATABASE = """
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, selector: {app: db}, ports: [{port: 8080}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 3
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      containers:
      - name: echo
        image: fairlead/echo
        readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}
        volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
"""
DAEMON = """
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec: {containers: [{name: echo, image: fairlead/echo}]}
"""
REPLICAS = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      tolerations:
      - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 1}
      containers: [{name: echo, image: fairlead/echo}]
"""
GUARDED = """
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: guarded}
spec: {minAvailable: 2, selector: {matchLabels: {app: guarded}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: guarded}
spec:
  replicas: 2
  selector: {matchLabels: {app: guarded}}
  template:
    metadata: {labels: {app: guarded}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: echo, image: fairlead/echo}]
"""
NIGHTLY = """
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec:
  schedule: "@every 1s"
  jobTemplate:
    metadata: {labels: {app: nightly}}
    spec:
      template:
        metadata: {labels: {app: nightly}}
        spec:
          restartPolicy: Never
          terminationGracePeriodSeconds: 0
          containers: [{name: main, image: fairlead/echo, command: [echo, good night]}]
"""
TOLERANT = """
apiVersion: v1
kind: Pod
metadata: {name: NAME, labels: {app: tolerant}}
spec:
  nodeSelector: {kubernetes.io/hostname: node2}
  terminationGracePeriodSeconds: 0
  tolerations: [{key: KEY, operator: Exists}]
  containers: [{name: echo, image: fairlead/echo}]
---
"""
LOOK_UP = "import socket, sys; print(socket.getaddrinfo(sys.argv[1], 8080, socket.AF_INET)[0][4][0])"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with lab_of("workloads") as made:
        done = made.up("--nodes", "3", "--detach", "--node-monitor-grace-period", GRACE)
        assert done.returncode == 0, done.stderr
        yield made


def pods(lab: Lab, app: str) -> list[dict[str, str]]:
    """The pods of an app that nobody has deleted: name, address, node, and whether each is ready."""
    found = json.loads(lab.kubectl("get", "pods", "-l", f"app={app}", "-o", "json"))["items"]
    return [
        {
            "name": each["metadata"]["name"],
            "address": each["status"].get("podIP", ""),
            "node": each["spec"].get("nodeName", ""),
            "ready": next(
                (c["status"] for c in each["status"].get("conditions", ()) if c["type"] == "Ready"), ""
            ),
        }
        for each in found
        if "deletionTimestamp" not in each["metadata"]
    ]


def ready(lab: Lab, app: str, replicas: int) -> None:
    """Waits until so many pods of the app are there, all of them ready."""
    wait_for(lambda: [each["ready"] for each in pods(lab, app)] == ["True"] * replicas)


def serving(lab: Lab) -> set[str]:
    """The nodes to whose pods the Service leads."""
    slices = json.loads(
        lab.kubectl("get", "endpointslices", "-l", "kubernetes.io/service-name=web", "-o", "json")
    )["items"]
    return {
        endpoint["nodeName"]
        for each in slices
        for endpoint in each.get("endpoints") or ()
        if endpoint["conditions"]["ready"]
    }


@contextmanager
def silent(lab: Lab, node: str) -> Iterator[None]:
    """The node's agent does not say anything until the end of the block; its pods run on."""
    agent = lab.processes()[node].identity
    freeze(agent)
    try:
        yield
    finally:
        agent.send(signal.SIGCONT)


def looked_up(lab: Lab, pod: str) -> str:
    """The address of a pod's name, asked in another pod of the set; "" if there is none yet."""
    return lab.exec("pod/db-0", "python3", "-c", LOOK_UP, f"{pod}.db").stdout.strip()


def node_says(lab: Lab, node: str, ready: str) -> bool:
    path = '{.status.conditions[?(@.type=="Ready")].status}'
    return lab.kubectl("get", "node", node, "-o", f"jsonpath={path}") == ready


def test_the_pods_of_a_stateful_set_have_names(lab: Lab) -> None:
    lab.kubectl("apply", "-f", "-", text=DATABASE)
    lab.kubectl("rollout", "status", "statefulset/db", f"--timeout={LIMIT:.0f}s")
    found = {each["name"]: each["address"] for each in pods(lab, "db")}
    assert sorted(found) == ["db-0", "db-1", "db-2"]
    for name, address in found.items():
        assert wait_for(partial(looked_up, lab, name)) == address
    # what a pod has written is there for its successor
    assert lab.exec("pod/db-1", "sh", "-c", "echo kept > /data/file").returncode == 0
    lab.kubectl("delete", "pod", "db-1")
    # The set's status may not have heard of it yet: the successor itself says when it is there.
    assert wait_for(lambda: lab.exec("pod/db-1", "cat", "/data/file").stdout) == "kept\n"
    ready(lab, "db", 3)


def test_a_daemon_runs_on_every_node_and_is_left_by_a_drain(lab: Lab) -> None:
    lab.kubectl("apply", "-f", "-", text=DAEMON)
    lab.kubectl("rollout", "status", "daemonset/agent", f"--timeout={LIMIT:.0f}s")
    assert sorted(each["node"] for each in pods(lab, "agent")) == ["node1", "node2", "node3"]
    lab.kubectl("drain", "node1", "--ignore-daemonsets", "--force", f"--timeout={LIMIT:.0f}s")
    assert "node1" in {each["node"] for each in pods(lab, "agent")}
    ready(lab, "db", 3)
    assert {each["node"] for each in pods(lab, "db")} == {"node2", "node3"}
    lab.kubectl("uncordon", "node1")


def test_a_deployment_is_updated_taken_back_and_leaves_nothing(lab: Lab) -> None:
    def rolled_out(replicas: int) -> set[str]:
        """The names of its ReplicaSets' hashes in those of the pods, when all are there."""
        lab.kubectl("rollout", "status", "deployment/front", f"--timeout={LIMIT:.0f}s")
        wait_for(lambda: len(pods(lab, "front")) == replicas)
        return {each["name"].split("-")[1] for each in pods(lab, "front")}

    lab.kubectl("create", "deployment", "front", "--image=fairlead/echo", "--replicas=2")
    lab.kubectl("expose", "deployment", "front", "--port=80", "--target-port=8080")
    first = rolled_out(2)
    assert len(first) == 1
    lab.kubectl("scale", "deployment/front", "--replicas=4")
    assert rolled_out(4) == first
    lab.kubectl("set", "env", "deployment/front", "COLOUR=blue")
    second = rolled_out(4)
    assert len(second) == 1
    assert second != first
    # An image that is not there: the update does not come on, and most of the old pods stay.
    lab.kubectl("set", "image", "deployment/front", "*=there.is/none")

    def waits() -> bool:
        reason = "{.items[*].status.containerStatuses[*].state.waiting.reason}"
        said = lab.kubectl("get", "pods", "-l", "app=front", "-o", f"jsonpath={reason}")
        return "ImagePull" in said

    wait_for(waits)
    assert sum(each["ready"] == "True" for each in pods(lab, "front")) >= 3
    address = lab.kubectl("get", "svc", "front", "-o", "jsonpath={.spec.clusterIP}")
    assert wait_for(lambda: lab.ask("node/node1", address)).split("-")[1] in second
    lab.kubectl("rollout", "undo", "deployment/front")
    assert rolled_out(4) == second
    lab.kubectl("delete", "deployment,service", "front")
    wait_for(lambda: not lab.kubectl("get", "pods,replicasets", "-l", "app=front", "-o", "name"))


def test_a_cronjob_runs_by_the_clock_and_by_hand_and_leaves_nothing(lab: Lab) -> None:
    def done(*of: str) -> str:
        return lab.kubectl("get", *of)

    lab.kubectl("apply", "-f", "-", text=NIGHTLY)
    wait_for(lambda: done("cronjob", "nightly", "-o", "jsonpath={.status.lastSuccessfulTime}"))

    def said() -> set[str]:
        """By its Jobs; some of them have not begun, and of those that are done all but three go."""
        jobs = done("jobs", "-l", "app=nightly", "-o", "name").split()
        return {lab.tries_kubectl("logs", job).stdout for job in jobs}

    wait_for(lambda: "good night\n" in said())
    # Or later ones would take the place of ours among the three that are kept.
    lab.kubectl("patch", "cronjob", "nightly", "-p", '{"spec": {"suspend": true}}')
    lab.kubectl("create", "job", "by-hand", "--from=cronjob/nightly")
    lab.kubectl("wait", "--for=condition=Complete", "job/by-hand", f"--timeout={LIMIT:.0f}s")
    lab.kubectl("delete", "cronjob", "nightly")
    wait_for(lambda: not done("jobs,pods", "-l", "app=nightly", "-o", "name"))


def test_a_stateful_set_is_updated_down_to_its_partition(lab: Lab) -> None:
    def settings() -> list[str]:
        path = "{.spec.containers[0].env[*].value}"
        return [lab.kubectl("get", "pod", f"db-{n}", "-o", f"jsonpath={path}") for n in range(3)]

    def partition(number: int) -> None:
        patch = {"spec": {"updateStrategy": {"rollingUpdate": {"partition": number}}}}
        lab.kubectl("patch", "statefulset", "db", "-p", json.dumps(patch))
        lab.kubectl("rollout", "status", "statefulset/db", f"--timeout={LIMIT:.0f}s")

    partition(2)
    lab.kubectl("set", "env", "statefulset/db", "COLOUR=blue")
    lab.kubectl("rollout", "status", "statefulset/db", f"--timeout={LIMIT:.0f}s")
    assert settings() == ["", "", "blue"]
    assert len(lab.kubectl("rollout", "history", "statefulset/db").split("\n")) >= 4
    partition(0)
    assert settings() == ["blue"] * 3


def test_a_drain_waits_for_the_budget(lab: Lab) -> None:
    lab.kubectl("apply", "-f", "-", text=GUARDED)
    lab.kubectl("rollout", "status", "deployment/guarded", f"--timeout={LIMIT:.0f}s")
    node = pods(lab, "guarded")[0]["node"]
    drain = ("drain", node, "--ignore-daemonsets", "--force", "--pod-selector=app=guarded")
    try:
        allowed = "jsonpath={.status.disruptionsAllowed} {.status.currentHealthy}"
        wait_for(lambda: lab.kubectl("get", "pdb", "guarded", "-o", allowed) == "0 2")
        with subprocess.Popen(
            ["kubectl", "--kubeconfig", str(lab.kubeconfig), *drain], stderr=subprocess.PIPE, text=True
        ) as draining:
            assert draining.stderr is not None
            refused = "Cannot evict pod as it would violate the pod's disruption budget"
            said = next((line for line in draining.stderr if refused in line), "")
            draining.kill()  # it would try again in 5 s
        assert said
        assert len(pods(lab, "guarded")) == 2
        lab.kubectl("patch", "pdb", "guarded", "-p", '{"spec": {"minAvailable": 1}}')
        wait_for(lambda: lab.kubectl("get", "pdb", "guarded", "-o", allowed) == "1 2")
        lab.kubectl(*drain, f"--timeout={LIMIT:.0f}s")
        wait_for(lambda: all(each["node"] != node for each in pods(lab, "guarded")))
    finally:
        lab.kubectl("uncordon", node)
        lab.kubectl("delete", "deployment,pdb", "guarded")


def test_taints_keep_pods_away_and_send_them_away(lab: Lab) -> None:
    """And a pod that nothing tolerates says why it waits, in its condition and in an Event."""
    text = "".join(
        TOLERANT.replace("NAME", name).replace("KEY", key)
        for name, key in (("bears", "what"), ("minds", "x"))
    )
    lab.kubectl("apply", "-f", "-", text=text)
    lab.kubectl("wait", "pod", "-l", "app=tolerant", "--for=condition=Ready", f"--timeout={LIMIT:.0f}s")
    try:
        lab.kubectl("taint", "node", "node2", "what=ever:NoExecute")
        wait_for(lambda: [each["name"] for each in pods(lab, "tolerant")] == ["bears"])
        lab.kubectl("delete", "pod", "minds", "--ignore-not-found")
        path = '{.status.conditions[?(@.type=="PodScheduled")].message}'

        def waits() -> str:
            """Why the pod waits. It is made again if the scheduler knew of the taint later than who sends pods away."""
            lab.kubectl("apply", "-f", "-", text=text)
            said = lab.tries_kubectl("get", "pod", "minds", "-o", f"jsonpath={path}").stdout
            expected = (
                "1 node(s) had untolerated taint",
                "2 node(s) didn't match Pod's node affinity/selector",
            )
            return said if all(part in said for part in expected) else ""

        said = wait_for(waits)
        assert said.startswith("0/3 nodes are available: ")
        about = ("--field-selector", "involvedObject.name=minds,reason=FailedScheduling")
        message = ("-o", "jsonpath={.items[*].message}")
        wait_for(lambda: said in lab.kubectl("get", "events", *about, *message))
    finally:
        lab.kubectl("taint", "node", "node2", "what-")
    lab.kubectl("wait", "pod", "minds", "--for=condition=Ready", f"--timeout={LIMIT:.0f}s")
    lab.kubectl("delete", "pod", "-l", "app=tolerant")


def test_a_namespace_that_is_deleted_leaves_nothing(lab: Lab) -> None:
    def folders() -> list[Path]:
        """What nodes keep of its pods."""
        return [path for path in lab.directory.path.glob("nodes/*/pods/*") if path.name in made]

    lab.kubectl("create", "namespace", "shop")
    text = "---".join((DATABASE, DAEMON, REPLICAS))
    lab.kubectl("apply", "-n", "shop", "-f", "-", text=text)
    lab.kubectl("create", "job", "once", "-n", "shop", "--image=busybox", "--", "true")
    for what in ("statefulset/db", "daemonset/agent"):
        lab.kubectl("rollout", "status", "-n", "shop", what, f"--timeout={LIMIT:.0f}s")
    made = lab.kubectl("get", "pods", "-n", "shop", "-o", "jsonpath={.items[*].metadata.uid}").split()
    assert len(folders()) >= 6
    lab.kubectl("delete", "namespace", "shop", f"--timeout={LIMIT:.0f}s")
    kinds = lab.kubectl("api-resources", "--namespaced", "--verbs=list", "-o", "name").split()
    kept = [kind for kind in kinds if not kind.endswith("metrics.k8s.io")]
    assert lab.kubectl("get", ",".join(kept), "-n", "shop", "-o", "name") == ""
    wait_for(lambda: not folders())


def test_a_dead_node_loses_its_pods_and_comes_back(lab: Lab) -> None:
    lab.kubectl("apply", "-f", "-", text=REPLICAS)
    wait_for(lambda: serving(lab) == {"node1", "node2", "node3"})
    lease = ("-n", "kube-node-lease", "get", "lease", "node3", "-o", "jsonpath={.spec.leaseDurationSeconds}s")
    assert lab.kubectl(*lease) == GRACE
    with silent(lab, "node3"):
        wait_for(lambda: node_says(lab, "node3", "Unknown"))
        wait_for(lambda: "node3" not in serving(lab))
        wait_for(
            lambda: [each["ready"] for each in pods(lab, "web") if each["node"] != "node3"] == ["True"] * 3
        )
        # those that bear it for five minutes wait there
        wait_for(
            lambda: [each["ready"] for each in pods(lab, "agent") if each["node"] == "node3"] == ["False"]
        )
    wait_for(lambda: node_says(lab, "node3", "True"))
    wait_for(lambda: all(each["ready"] == "True" for each in pods(lab, "agent")))
    wait_for(lambda: lab.kubectl("get", "node", "node3", "-o", "jsonpath={.spec.taints}") == "")

    def no_more() -> bool:
        found = json.loads(lab.kubectl("get", "pods", "-l", "app=web", "-o", "json"))["items"]
        return len(found) == 3

    wait_for(no_more)
