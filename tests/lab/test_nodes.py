"""Nodes that come and go in a running lab, and links that are cut. One lab of two nodes, an ordinary user's, 25 s."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator

import pytest

from fairlead.lab import execution
from fairlead.node.network import host_interface
from tests.lab.conftest import wait_for
from tests.lab.labs import NOBODY, PODS, Lab, lab_of
from tests.ordinary import user_namespaces
from tests.waiting import LIMIT

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="labs of several users need root"),
    user_namespaces,
]

FAMILIES = ("--ip-families", "ipv4,ipv6")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with lab_of("nodes", NOBODY) as made:
        done = made.up("--nodes", "2", "--zones", "a,b", "--detach", *FAMILIES)
        assert done.returncode == 0, done.stderr
        yield made


def node(lab: Lab, *words: str) -> str:
    done = lab.run("lab", "node", words[0], "--name", lab.name, *words[1:])
    assert done.returncode == 0, done.stderr
    return done.stdout


def put(lab: Lab, number: int, on: str) -> list[str]:
    """Makes the pod `web-NUMBER` on a node; gives its addresses once it is ready."""
    text = PODS.replace("NUMBER", str(number)).replace("spec:", f"spec:\n  nodeName: {on}")
    lab.kubectl("apply", "-f", "-", text=text)
    return ready(lab, number)


def ready(lab: Lab, number: int) -> list[str]:
    lab.kubectl("wait", "--for=condition=Ready", "pod", f"web-{number}", f"--timeout={LIMIT:.0f}s")
    pod = json.loads(lab.kubectl("get", "pod", f"web-{number}", "-o", "json"))
    return [entry["ip"] for entry in pod["status"]["podIPs"]]


def answers(lab: Lab, where: str, addresses: list[str]) -> list[str]:
    """Who answers at the addresses of a pod."""
    return [lab.ask(where, f"[{ip}]:8080" if ":" in ip else f"{ip}:8080") for ip in addresses]


def names(lab: Lab) -> list[str]:
    return lab.kubectl("get", "nodes", "-o", "jsonpath={.items[*].metadata.name}").split()


def test_a_node_is_added_and_removed(lab: Lab) -> None:
    assert node(lab, "add").startswith("node3 is ready after ")
    zone = "jsonpath={.metadata.labels.topology\\.kubernetes\\.io/zone}"
    assert lab.kubectl("get", "node", "node3", "-o", zone) == "a"
    there = put(lab, 3, "node3")
    here = put(lab, 1, "node1")
    wait_for(lambda: answers(lab, "pod/web-1", there) == ["web-3", "web-3"])
    wait_for(lambda: answers(lab, "pod/web-3", here) == ["web-1", "web-1"])

    assert node(lab, "remove", "node3") == "node3 is removed.\n"
    assert names(lab) == ["node1", "node2"]
    assert lab.kubectl("get", "pods", "-o", "name") == "pod/web-1\n"
    assert not (lab.directory.path / "nodes" / "node3").exists()
    assert "node3" not in lab.processes()
    assert "10.244.3.0" not in lab.exec("node/node1", "ip", "route").stdout
    done = lab.run("lab", "node", "remove", "--name", lab.name, "node3")
    assert (done.returncode, "there is no node 'node3'" in done.stderr) == (2, True)


def test_a_node_comes_back_from_a_power_cut_with_its_pods(lab: Lab) -> None:
    put(lab, 2, "node2")
    addresses = put(lab, 1, "node1")
    assert node(lab, "stop", "node2") == "node2 is stopped.\n"
    assert "node2" not in lab.processes()
    assert lab.exec("pod/web-2", "true").returncode == 2
    assert "lab node start" in lab.exec("node/node2", "true").stderr
    status = lab.run("lab", "status", "--name", lab.name)
    assert (status.returncode, "stopped" in status.stdout) == (0, True)

    assert node(lab, "start", "node2").startswith("node2 is ready after ")
    count = "jsonpath={.status.containerStatuses[0].restartCount}"
    wait_for(lambda: lab.kubectl("get", "pod", "web-2", "-o", count) == "1")
    back = ready(lab, 2)
    wait_for(lambda: answers(lab, "pod/web-1", back) == ["web-2", "web-2"])
    wait_for(lambda: answers(lab, "pod/web-2", addresses) == ["web-1", "web-1"])


def test_the_dns_moves_to_another_node_when_its_node_is_drained(lab: Lab) -> None:
    put(lab, 1, "node1")
    where = (
        "-n",
        "kube-system",
        "get",
        "pods",
        "-l",
        "k8s-app=kube-dns",
        "-o",
        "jsonpath={.items[*].spec.nodeName}",
    )
    on = lab.kubectl(*where)
    lab.kubectl("drain", on, "--ignore-daemonsets", "--pod-selector=k8s-app=kube-dns")
    try:
        lab.kubectl(
            "-n", "kube-system", "rollout", "status", "deploy/fairlead-dns", f"--timeout={LIMIT:.0f}s"
        )
        wait_for(lambda: lab.kubectl(*where) not in (on, ""))
        found = wait_for(lambda: lab.exec("pod/web-1", "getent", "hosts", "kubernetes.default").stdout)
        assert "kubernetes.default.svc.cluster.local" in found
    finally:
        lab.kubectl("uncordon", on)


# Sends 400 datagrams to port 9, where nobody listens.
SEND = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    for _ in range(400):
        sock.sendto(b"x", (sys.argv[1], 9))
"""


def arrived(lab: Lab, where: str) -> int:
    """How many datagrams have come to ports where nobody listens."""
    lines = [line.split() for line in lab.exec(where, "cat", "/proc/net/snmp").stdout.splitlines()]
    names, values = (line for line in lines if line[0] == "Udp:")
    return int(values[names.index("NoPorts")])


def link(lab: Lab, *words: str) -> str:
    done = lab.run("lab", "link", words[0], "--name", lab.name, *words[1:])
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("target", ["node/node2", "pod/default/web-2"])
def test_a_link_is_cut_loses_packets_and_is_well_again(lab: Lab, target: str) -> None:
    (address, _), _ = put(lab, 2, "node2"), put(lab, 1, "node1")
    assert wait_for(lambda: lab.reaches("pod/web-1", address, 8080))
    try:
        assert link(lab, "down", target) == f"{target}: cut\n"
        assert "cut" in lab.run("lab", "status", "--name", lab.name).stdout
        before = arrived(lab, "pod/web-2")
        lab.exec("pod/web-1", sys.executable, "-c", SEND, address)
        assert not lab.reaches("pod/web-1", address, 8080)
        assert arrived(lab, "pod/web-2") == before

        assert link(lab, "set", target, "--loss", "50%") == f"{target}: 50 % lost\n"
        wait_for(lambda: _some_arrive(lab, address))
    finally:
        assert link(lab, "up", target) == f"{target}: everything passes\n"
    wait_for(lambda: answers(lab, "pod/web-1", [address]) == ["web-2"])
    assert "cut" not in lab.run("lab", "status", "--name", lab.name).stdout


def test_a_pod_that_is_made_anew_stays_cut_off(lab: Lab) -> None:
    (address, _), _ = put(lab, 2, "node2"), put(lab, 1, "node1")
    target, count = "pod/default/web-2", "jsonpath={.status.containerStatuses[0].restartCount}"
    before = int(lab.kubectl("get", "pod", "web-2", "-o", count))
    assert link(lab, "down", target) == f"{target}: cut\n"
    sandbox = execution.find_pod(lab.directory, "default", "web-2").sandbox
    table = f"fairlead-link-{host_interface(sandbox.spec.uid)}"
    try:
        # Linux from 6.16 on keeps it for a later device of the same name; what is tested is that this does not matter.
        lab.exec("node/node2", "nft", "delete", "table", "netdev", table)
        os.kill(sandbox.pid, signal.SIGKILL)
        wait_for(lambda: int(lab.kubectl("get", "pod", "web-2", "-o", count)) == before + 1)
        already = arrived(lab, "pod/web-2")
        assert lab.exec("pod/web-1", sys.executable, "-c", SEND, address).returncode == 0
        assert arrived(lab, "pod/web-2") == already
    finally:
        assert link(lab, "up", target) == f"{target}: everything passes\n"
    wait_for(lambda: answers(lab, "pod/web-1", [address]) == ["web-2"])


def _some_arrive(lab: Lab, address: str) -> bool:
    """Whether of 400 datagrams some arrive; not all of them do, but for once in 2^400 times."""
    before = arrived(lab, "pod/web-2")
    assert lab.exec("pod/web-1", sys.executable, "-c", SEND, address).returncode == 0
    after = arrived(lab, "pod/web-2") - before
    assert after < 400
    return after > 0


def test_a_delay_is_kept_or_refused_with_what_the_kernel_lacks(lab: Lab) -> None:
    done = lab.run("lab", "link", "set", "--name", lab.name, "node/node2", "--delay", "50ms")
    if done.returncode == 0:
        assert done.stdout == "node/node2: 50 ms late\n"
        assert "delay 50ms" in lab.exec("node/node2", "tc", "qdisc", "show", "dev", "eth0").stdout
    else:
        assert "this kernel cannot delay packets: it has no queueing discipline netem" in done.stderr
    link(lab, "up", "node/node2")


def test_a_supervisor_that_is_killed_follows_nevertheless(lab: Lab) -> None:
    adding = lab.start("lab", "node", "add", "--name", lab.name, "node4")
    lab.processes()["supervisor"].identity.send(signal.SIGKILL)
    out, err = adding.communicate(timeout=2 * LIMIT)
    assert "node4 is ready" in out, err
    removing = lab.start("lab", "node", "remove", "--name", lab.name, "node4")
    lab.processes()["keeper"].identity.send(signal.SIGKILL)
    out, err = removing.communicate(timeout=2 * LIMIT)
    assert out == "node4 is removed.\n", err
    assert names(lab) == ["node1", "node2"]
    assert "node4" not in lab.processes()


def node5_is_one(lab: Lab) -> bool:
    return "node5" in lab.run("lab", "status", "--name", lab.name).stdout


def test_a_command_that_was_killed_is_finished_by_the_next(lab: Lab) -> None:
    adding = lab.start("lab", "node", "add", "--name", lab.name, "node5")
    wait_for((lab.directory.path / "kubeconfigs/node5.kubeconfig").exists)
    adding.kill()
    adding.communicate()
    if node5_is_one(lab):
        node(lab, "remove", "node5")
    node(lab, "add", "node5")
    assert "node5" in names(lab)


def test_removal_leaves_nothing(lab: Lab) -> None:
    node(lab, "stop", "node1")
    lab.start("lab", "node", "start", "--name", lab.name, "node1").kill()
    assert "node2" in lab.down().stdout
    assert lab.leftovers() == []
