"""Host ports with real packets: from outside, from another node, from pods, from the node itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.lab.conftest import wait_for
from tests.lab.labs import Lab, lab_of
from tests.waiting import LIMIT

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: reads a lab's kernel tables")

POD = """
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  nodeName: {node}
  terminationGracePeriodSeconds: 0
  containers:
  - name: echo
    image: fairlead/echo
    ports: [{ports}]
    readinessProbe: {{tcpSocket: {{port: 8080}}, periodSeconds: 1}}
---
"""
# Sends a line to every host and port that is named, from port 4000 if it is UDP; prints who answers, or nobody.
ASK = """
import json, socket, sys
for word in sys.argv[1:]:
    kind, host, port = word.split("/")
    udp = kind == "udp"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM) as asking:
        asking.settimeout(20)  # nobody says so at once
        try:
            if udp:
                asking.bind(("", 4000))
            asking.connect((host, int(port)))
            asking.send(b"hello\\n")
            print(json.loads(asking.recv(4096))["pod"])
        except OSError:
            print("nobody")
"""


def ask(lab: Lab, where: str, *words: str) -> list[str]:
    done = lab.exec(where, sys.executable, "-c", ASK, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def made(name: str, node: str, *ports: str) -> str:
    listed = ", ".join(f"{{{port}}}" for port in ports)
    return POD.format(name=name, node=node, ports=listed)


def apply(lab: Lab, text: str) -> None:
    lab.kubectl("apply", "-f", "-", text=text)
    lab.kubectl("wait", "--for=condition=Ready", "pod", "--all", f"--timeout={LIMIT:.0f}s")


TCP = "containerPort: 8080, hostPort: 7080"
UDP = "containerPort: 8080, hostPort: 7080, protocol: UDP"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with lab_of("hostports") as lab:
        done = lab.up("--nodes", "2", "--detach", "--ip-families", "ipv4,ipv6")
        assert done.returncode == 0, done.stderr
        here = address(lab, "node1")
        shared = "containerPort: 8080, hostPort: 7081, hostIP"
        apply(
            lab,
            made("any", "node1", TCP, UDP)
            + made("inner", "node1", f"{shared}: 127.0.0.1")
            + made("outer", "node1", f"{shared}: {here}")
            + made("near", "node1", "containerPort: 8080")
            + made("away", "node2", "containerPort: 8080"),
        )
        yield lab


def address(lab: Lab, node: str, number: int = 0) -> str:
    """The node's address: of IPv4, or, with number 1, of IPv6."""
    path = '{.status.addresses[?(@.type=="InternalIP")].address}'
    return lab.kubectl("get", "node", node, "-o", f"jsonpath={path}").split()[number]


@pytest.mark.parametrize("where", ["outside", "node/node2", "pod/away", "pod/near", "pod/any", "node/node1"])
def test_a_host_port_answers_from(lab: Lab, where: str) -> None:
    here = address(lab, "node1")
    words = [f"tcp/{here}/7080", f"udp/{here}/7080", f"tcp/{here}/7081", f"tcp/{here}/7082"]
    assert ask(lab, where, *words) == ["any", "any", "outer", "nobody"]
    here6 = address(lab, "node1", 1)
    assert ask(lab, where, f"tcp/{here6}/7080", f"udp/{here6}/7080", f"tcp/{here6}/7081") == [
        "any",
        "any",
        "nobody",
    ]


def test_a_host_port_answers_at_the_nodes_loopback_address_and_only_there(lab: Lab) -> None:
    words = ["tcp/127.0.0.1/7080", "udp/127.0.0.1/7080", "tcp/127.0.0.1/7081", "tcp/127.0.0.2/7080"]
    assert ask(lab, "node/node1", *words) == ["any", "any", "inner", "any"]
    assert ask(lab, "node/node2", *words) == ["nobody"] * 4
    assert ask(lab, "pod/near", *words) == ["nobody"] * 4
    other = address(lab, "node2")
    assert ask(lab, "outside", f"tcp/{other}/7080", f"udp/{other}/7080") == ["nobody", "nobody"]


def test_the_agent_is_killed_and_no_port_is_lost(lab: Lab) -> None:
    here = address(lab, "node1")
    words = [f"tcp/{here}/7080", f"udp/{here}/7080", f"tcp/{here}/7081"]
    before = lab.processes()["node1"].identity.pid
    with suppress(ProcessLookupError):
        os.kill(before, signal.SIGKILL)
    assert ask(lab, "outside", *words) == ["any", "any", "outer"]
    wait_for(lambda: (found := lab.processes().get("node1")) and found.identity.pid != before)
    apply(lab, made("late", "node1", "containerPort: 8080, hostPort: 7083"))
    wait_for(lambda: ask(lab, "outside", *words, f"tcp/{here}/7083") == ["any", "any", "outer", "late"])
    lab.kubectl("delete", "pod", "late")
    wait_for(lambda: ask(lab, "outside", f"tcp/{here}/7083") == ["nobody"])


def test_another_pod_takes_over_a_flow_of_datagrams(lab: Lab) -> None:
    here = address(lab, "node1")
    port = f"udp/{here}/7090"
    assert ask(lab, "outside", port) == ["nobody"], "the kernel remembers this flow as the node's own"
    ports = "containerPort: 8080, hostPort: 7090, protocol: UDP"
    apply(lab, made("first", "node1", ports, "containerPort: 8080"))
    wait_for(lambda: ask(lab, "outside", port) == ["first"])
    # Without a grace its object goes before itself, and its successor has to wait for the port.
    lab.kubectl("delete", "pod", "first")
    wait_for(lambda: ask(lab, "outside", port) == ["nobody"])
    apply(lab, made("second", "node1", ports, "containerPort: 8080"))
    wait_for(lambda: ask(lab, "outside", port) == ["second"])
    lab.kubectl("delete", "pod", "second")
    wait_for(lambda: ask(lab, "outside", port) == ["nobody"])


def test_a_node_port_wins_over_a_host_port_of_its_number(lab: Lab) -> None:
    node_port_wins(lab)


def test_beside_the_proxy_in_the_mode_iptables() -> None:
    with lab_of("hostports-iptables") as lab:
        done = lab.up("--nodes", "1", "--detach", "--proxy-mode", "iptables")
        assert done.returncode == 0, done.stderr
        apply(lab, made("any", "node1", TCP, UDP) + made("away", "node1", "containerPort: 8080"))
        here = address(lab, "node1")
        for where, host in (
            ("outside", here),
            ("pod/away", here),
            ("pod/any", here),
            ("node/node1", "127.0.0.1"),
        ):
            assert ask(lab, where, f"tcp/{host}/7080", f"udp/{host}/7080") == ["any", "any"], where
        node_port_wins(lab)


def node_port_wins(lab: Lab) -> None:
    here = address(lab, "node1")
    apply(lab, made("last", "node1", "containerPort: 8080, hostPort: 30777"))
    wait_for(lambda: ask(lab, "outside", f"tcp/{here}/30777") == ["last"])
    lab.kubectl("label", "pod", "away", "app=away")
    lab.kubectl("create", "service", "nodeport", "away", "--tcp=8080:8080", "--node-port=30777")
    wait_for(lambda: ask(lab, "outside", f"tcp/{here}/30777") == ["away"])
    lab.kubectl("delete", "service", "away")
    wait_for(lambda: ask(lab, "outside", f"tcp/{here}/30777") == ["last"])
    lab.kubectl("delete", "pod", "last")


def test_a_port_that_another_pod_has_is_told_of(lab: Lab) -> None:
    apply(lab, made("rival", "node1", TCP))
    said = wait_for(
        lambda: lab.kubectl(
            "get",
            "events",
            "--field-selector",
            "reason=HostPortConflict",
            "-o",
            "jsonpath={.items[*].message}",
        )
    )
    assert "TCP any address:7080" in said
    assert ask(lab, "outside", f"tcp/{address(lab, 'node1')}/7080") == ["any"]
    lab.kubectl("delete", "pod", "rival")


def test_when_the_last_pod_has_gone_nothing_is_left_in_the_kernel(lab: Lab) -> None:
    def tables() -> str:
        done: subprocess.CompletedProcess[str] = lab.exec("node/node1", "nft", "list", "tables")
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "fairlead-hostports" in tables()
    lab.kubectl("delete", "pod", "--all")
    wait_for(lambda: "fairlead-hostports" not in tables())
