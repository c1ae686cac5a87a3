"""Connections from outside through the lab's cloud: while pods roll over, and when a node dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from pyroute2 import NFCTSocket

from fairlead.lab import topology
from fairlead.lab.addressing import IPV4
from fairlead.lab.cloud import EVERY, EXCLUDED
from fairlead.lab.cloudhealth import FAILURES, PATIENCE
from fairlead.lab.cloudtables import mark
from tests.lab.conftest import wait_for
from tests.lab.labs import ASK_CLIENT, BALANCED, PODS, Lab, lab_of
from tests.lab.test_layer2 import balance, inside, reached
from tests.waiting import LIMIT

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="pulls a node's cable, which needs root")

LINGER = 6
"""Seconds that a pod goes on answering when it was told to end: longer than the cloud needs to see it."""

# Until its input ends: many at a time connect, ask ten times in a second, and close.
# Prints how many did, and what failed.
LOAD = """
import asyncio, json, sys

done, failed = 0, []

async def one(address):
    global done
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(address, 80), 60)
        try:
            for _ in range(10):
                writer.write(b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
                head = await asyncio.wait_for(reader.readuntil(b"\\r\\n\\r\\n"), 60)
                length = int(head.lower().split(b"content-length:")[1].split(b"\\r")[0])
                await asyncio.wait_for(reader.readexactly(length), 60)
                await asyncio.sleep(0.1)
        finally:
            writer.close()
        done += 1
    except Exception as error:
        failed.append(repr(error))

async def main():
    tasks = set()
    over = asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    print("started", flush=True)
    while not over.done():
        for address in sys.argv[1:]:
            task = asyncio.create_task(one(address))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.sleep(0.05)
    await asyncio.gather(*tasks)
    print(json.dumps([done, failed]), flush=True)

asyncio.run(main())
"""

# Opens 48 connections, and for each line that it reads asks on each of them.
# Prints the clients that the pods saw, "" where none answers.
HOLD = """
import concurrent.futures, http.client, json, sys

def opened(_):
    connection = http.client.HTTPConnection(sys.argv[1], 80, timeout=5)
    connection.connect()
    connection.auto_open = 0
    return connection

def ask(connection):
    try:
        connection.request("GET", "/")
        return json.load(connection.getresponse())["client"]
    except (OSError, http.client.HTTPException):
        return ""

with concurrent.futures.ThreadPoolExecutor(48) as threads:
    connections = list(threads.map(opened, range(48)))
    for line in sys.stdin:
        print(json.dumps(list(threads.map(ask, connections))), flush=True)
"""


# Connects again and again until its input ends; prints when the last of those began that did not get through in 0.1 s.
KNOCK = """
import select, socket, sys, time
print("started", flush=True)
last = 0.0
while not select.select([sys.stdin], [], [], 0.01)[0]:
    began = time.monotonic()
    try:
        socket.create_connection((sys.argv[1], 80), timeout=0.1).close()
    except OSError:
        last = began
print(last, flush=True)
"""


@pytest.fixture(scope="module")
def cloud() -> Iterator[tuple[Lab, dict[str, str]]]:
    """A lab of three nodes with a pod on each, and the addresses of a Service for each policy."""
    with lab_of("balancing") as lab:
        done = lab.up("--nodes", "3", "--detach")
        assert done.returncode == 0, done.stderr
        for number in (1, 2, 3):
            start(lab, f"web-{number}", f"node{number}")
        ready(lab)
        yield lab, {policy: balance(lab, policy.lower(), policy) for policy in ("Cluster", "Local")}


def start(lab: Lab, name: str, node: str) -> None:
    linger = f"    env: [{{name: FAIRLEAD_ECHO_LINGER, value: '{LINGER}'}}]\n    readinessProbe"
    text = PODS.replace("web-NUMBER", name).replace("    readinessProbe", linger)
    text = text.replace("{containerPort: 9000}", "{containerPort: 9001, protocol: UDP}")
    lab.kubectl("apply", "-f", "-", text=text.replace("spec:\n", f"spec:\n  nodeName: {node}\n", 1))


def ready(lab: Lab) -> None:
    lab.kubectl("wait", "--for=condition=Ready", "pod", "-l", "app=web", "--timeout=60s")


def test_a_rolling_update_loses_no_connection(cloud: tuple[Lab, dict[str, str]]) -> None:
    """Pods are replaced by some on other nodes, so that under Local the nodes change as well."""
    lab, addresses = cloud
    for address in addresses.values():
        wait_for(lambda a=address: reached(lab, a))  # type: ignore[misc]
    loading = lab.start(
        "lab", "exec", "--name", lab.name, "outside", "--", sys.executable, "-c", LOAD, *addresses.values()
    )
    assert loading.stdout is not None
    assert loading.stdout.readline() == "started\n"
    for number, node in ((1, "node2"), (3, "node1")):
        start(lab, f"new-{number}", node)
        lab.kubectl("wait", "--for=condition=Ready", "pod", f"new-{number}", "--timeout=60s")
        lab.kubectl("delete", "pod", f"web-{number}", "--wait")
    done, failed = json.loads(loading.communicate("\n", timeout=2 * LIMIT)[0])
    print(f"{done} connections of ten requests each, {len(failed)} failed")
    assert failed == []
    assert done > 100


def hold(lab: Lab, address: str) -> tuple[subprocess.Popen[str], Callable[[], list[str]]]:
    """Holds connections to an address; gives the program, and what asks on each: the clients that the pods saw."""
    holding = lab.start(
        "lab", "exec", "--name", lab.name, "outside", "--", sys.executable, "-c", HOLD, address
    )

    def ask() -> list[str]:
        assert holding.stdin is not None
        assert holding.stdout is not None
        holding.stdin.write("\n")
        holding.stdin.flush()
        return list(json.loads(holding.stdout.readline()))

    return holding, ask


def carried(lab: Lab, node: str) -> int:
    """How many connections the router's table has for a node."""
    with lab.directory.network.entered(topology.UNDERLAY), NFCTSocket() as connections:
        return sum(1 for _ in connections.dump(mark=mark(node)))


def test_connections_outlive_the_process_that_deals_them_out(cloud: tuple[Lab, dict[str, str]]) -> None:
    lab, addresses = cloud
    holding, ask = hold(lab, addresses["Cluster"])
    before = ask()
    assert len(set(before)) > 1
    killed = lab.processes()["controllers"]
    killed.identity.send(signal.SIGKILL)
    assert ask() == before
    wait_for(lambda: lab.processes().get("controllers") not in (None, killed))
    # What it does first is to replace what the one before left; a Service that is new shows that it is done.
    wait_for(lambda: reached(lab, balance(lab, "later", "Cluster")))
    assert ask() == before
    holding.communicate(timeout=20)
    lab.kubectl("delete", "svc", "later")


def test_the_time_until_a_dead_node_gets_nothing_more_is_below_two_seconds() -> None:
    """The longest that it can be when nobody has to wait for the processor."""
    assert (EVERY + PATIENCE) * FAILURES < 2


def test_a_node_that_dies_takes_along_what_it_carried_and_no_more(cloud: tuple[Lab, dict[str, str]]) -> None:
    """Under Cluster the pod sees the node that a connection came by. The endpoints of the dead node are left out."""
    lab, addresses = cloud
    address = addresses["Cluster"]
    for name in lab.kubectl(
        "get", "pod", "-l", "app=web", "-o", "name", "--field-selector", "spec.nodeName=node3"
    ).split():
        lab.kubectl("delete", name, "--wait")
    holding, ask = hold(lab, address)
    dead = IPV4.node_address(3)
    before = ask()
    assert len(set(before)) > 1
    assert dead in before
    assert "" not in before
    knocking = lab.start(
        "lab", "exec", "--name", lab.name, "outside", "--", sys.executable, "-c", KNOCK, address
    )
    assert knocking.stdout is not None
    assert knocking.stdout.readline() == "started\n"
    inside(lab, topology.UNDERLAY, "ip", "link", "set", "node3", "down")
    pulled = time.monotonic()
    try:
        assert carried(lab, dead)
        assert ask() == [client if client != dead else "" for client in before]
        wait_for(lambda: not carried(lab, dead))
        assert dead not in wait_for(lambda: _clients(lab, address))
        last = float(knocking.communicate("\n", timeout=LIMIT)[0])
        assert last > pulled
        print(f"the last connection that found nobody began {last - pulled:.2f} s after the cable was pulled")
        assert ask() == [client if client != dead else "" for client in before]
    finally:
        inside(lab, topology.UNDERLAY, "ip", "link", "set", "node3", "up")
        holding.communicate(timeout=LIMIT)
    wait_for(lambda: dead in _clients(lab, address))


def _clients(lab: Lab, address: str) -> set[str]:
    """Whom the pods saw in twenty connections; none if one of them failed."""
    done = lab.exec("outside", sys.executable, "-c", ASK_CLIENT, f"http://{address}")
    return {line.split()[1] for line in done.stdout.splitlines()} if done.returncode == 0 else set()


def test_a_client_with_affinity_stays_on_its_node(cloud: tuple[Lab, dict[str, str]]) -> None:
    lab, _ = cloud
    text = BALANCED.replace("NAME", "sticky").replace("POLICY", "Local")
    lab.kubectl("apply", "-f", "-", text=text.replace("spec:\n", "spec:\n  sessionAffinity: ClientIP\n"))
    where = "jsonpath={.status.loadBalancer.ingress[0].ip}"
    address = wait_for(lambda: lab.kubectl("get", "svc", "sticky", "-o", where))
    wait_for(lambda: reached(lab, address))
    done = lab.exec("outside", sys.executable, "-c", ASK_CLIENT, f"http://{address}")
    assert len({line.split()[0] for line in done.stdout.splitlines()}) == 1
    lab.kubectl("delete", "svc", "sticky")


def apply(lab: Lab, name: str, spec: str) -> str:
    """Applies a Service of policy Cluster with more in its spec; gives its address."""
    text = BALANCED.replace("NAME", name).replace("POLICY", "Cluster")
    lab.kubectl("apply", "-f", "-", text=text.replace("spec:\n", f"spec:\n  {spec}\n"))
    where = "jsonpath={.status.loadBalancer.ingress[0].ip}"
    return wait_for(lambda: lab.kubectl("get", "svc", name, "-o", where))


def test_source_ranges_hold(cloud: tuple[Lab, dict[str, str]]) -> None:
    lab, _ = cloud
    address = apply(lab, "guarded", f"loadBalancerSourceRanges: [{IPV4.outside_address}/32]")
    assert wait_for(lambda: reached(lab, address))
    apply(lab, "guarded", "loadBalancerSourceRanges: [192.0.2.0/24]")
    wait_for(lambda: not lab.reaches("outside", address))
    lab.kubectl("delete", "svc", "guarded")


def test_no_node_port_is_needed(cloud: tuple[Lab, dict[str, str]]) -> None:
    lab, _ = cloud
    address = apply(lab, "portless", "allocateLoadBalancerNodePorts: false")
    assert wait_for(lambda: reached(lab, address))
    assert lab.kubectl("get", "svc", "portless", "-o", "jsonpath={.spec.ports[0].nodePort}") == ""
    lab.kubectl("delete", "svc", "portless")


def test_an_excluded_node_gets_nothing(cloud: tuple[Lab, dict[str, str]]) -> None:
    """Under Cluster the pods see the node that passed a connection on."""
    lab, addresses = cloud
    nodes = {"192.168.1.10", "192.168.1.11", "192.168.1.12"}
    wait_for(lambda: _clients(lab, addresses["Cluster"]) == nodes)
    lab.kubectl("label", "node", "node2", f"{EXCLUDED}=")
    try:
        wait_for(lambda: _clients(lab, addresses["Cluster"]) == nodes - {"192.168.1.11"})
    finally:
        lab.kubectl("label", "node", "node2", f"{EXCLUDED}-")


def test_packets_come_by_node_port_if_asked_for() -> None:
    """As the seed's diagrams draw it: the node has the port, and not the Service's address."""
    with lab_of("nodeport") as lab:
        done = lab.up("--nodes", "2", "--loadbalancer-via", "nodeport", "--detach")
        assert done.returncode == 0, done.stderr
        start(lab, "web-1", "node1")
        ready(lab)
        cluster, local = balance(lab, "balanced", "Cluster"), balance(lab, "local", "Local")
        assert wait_for(lambda: _clients(lab, cluster) == {"192.168.1.10", "192.168.1.11"})
        assert wait_for(lambda: _clients(lab, local) == {IPV4.outside_address})
        tables = subprocess.run(
            [
                "ip",
                "netns",
                "exec",
                lab.directory.network.path(topology.UNDERLAY).name,
                "nft",
                "list",
                "ruleset",
            ],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        port = lab.kubectl("get", "svc", "balanced", "-o", "jsonpath={.spec.ports[0].nodePort}")
        assert f"192.168.1.11 . {port}" in tables


# Asks the same peer from the same port for each line that it reads; prints the node that answers, "" where none does.
DATAGRAMS = """
import json, socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.settimeout(0.5)
for line in sys.stdin:
    node = ""
    try:
        sock.sendto(b"hello\\n", (sys.argv[1], 9))
        node = json.loads(sock.recv(2000))["node"]
    except OSError:
        pass
    print(node, flush=True)
"""


def test_datagrams_of_one_sender_leave_a_node_that_serves_no_more(cloud: tuple[Lab, dict[str, str]]) -> None:
    """The sender goes on, so that the kernel's entry for it would never end by itself."""
    lab, _ = cloud
    text = BALANCED.replace("NAME", "datagrams").replace("POLICY", "Local")
    port = "{name: udp, port: 9, targetPort: 9001, protocol: UDP}"
    lab.kubectl("apply", "-f", "-", text=text.replace("{name: http, port: 80, targetPort: 8080}", port))
    address = wait_for(
        lambda: lab.kubectl("get", "svc", "datagrams", "-o", "jsonpath={.status.loadBalancer.ingress[0].ip}")
    )
    sending = lab.start(
        "lab", "exec", "--name", lab.name, "outside", "--", sys.executable, "-c", DATAGRAMS, address
    )

    def ask() -> str:
        assert sending.stdin is not None
        assert sending.stdout is not None
        sending.stdin.write("\n")
        sending.stdin.flush()
        return sending.stdout.readline().strip()

    first = wait_for(ask)
    lab.kubectl("label", "node", first, f"{EXCLUDED}=")
    try:
        wait_for(lambda: ask() not in ("", first))
    finally:
        lab.kubectl("label", "node", first, f"{EXCLUDED}-")
        sending.communicate(timeout=LIMIT)
    lab.kubectl("delete", "svc", "datagrams")
