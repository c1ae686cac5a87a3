"""Connections from outside through the lab's cloud: while pods roll over, and when a node dies."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Iterable, Iterator

import pytest
from pyroute2 import NFCTSocket

from fairlead.lab import topology
from fairlead.lab.addressing import IPV4
from fairlead.lab.cloud import EVERY, EXCLUDED
from fairlead.lab.cloudhealth import FAILURES, PATIENCE
from fairlead.lab.cloudtables import Tables, mark
from tests.lab.conftest import wait_for
from tests.lab.labs import PODS, Lab, lab_of
from tests.waiting import LIMIT

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="pulls a node's cable, which needs root")

LINGER = 600
"""Seconds that a pod goes on answering when it was told to end: for ever, so that a test says when it has ended."""
NODES = {f"node{number}": IPV4.node_address(number) for number in (1, 2, 3)}

# Until its input ends: many at a time connect, ask ten times in a second, and close. For each line that it reads, waits
# until the connections of that moment have come to their end. Then, and at last, prints how many did, and what failed.
LOAD = """
import asyncio, json, sys

done, failed, tasks = 0, [], set()

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

async def begin():
    while True:
        for address in sys.argv[1:]:
            task = asyncio.create_task(one(address))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.sleep(0.05)

async def main():
    beginning, more = asyncio.create_task(begin()), "more"
    while more:
        more = await asyncio.to_thread(sys.stdin.readline)
        if not more:
            beginning.cancel()
        await asyncio.gather(*tasks)
        print(json.dumps([done, failed]), flush=True)

asyncio.run(main())
"""

# Opens 48 connections. For each line that it reads, [numbers, seconds], asks on these, each answer within this time;
# prints the clients that the pods saw, "" where none answers.
HOLD = """
import concurrent.futures, http.client, json, sys

def opened(_):
    connection = http.client.HTTPConnection(sys.argv[1], 80, timeout=60)
    connection.connect()
    connection.auto_open = 0
    return connection

def ask(connection):
    try:
        connection.sock.settimeout(seconds)
        connection.request("GET", "/")
        return json.load(connection.getresponse())["client"]
    except (AttributeError, OSError, http.client.HTTPException):
        return ""

with concurrent.futures.ThreadPoolExecutor(48) as threads:
    connections = list(threads.map(opened, range(48)))
    for line in sys.stdin:
        numbers, seconds = json.loads(line)
        print(json.dumps(list(threads.map(ask, (connections[n] for n in numbers)))), flush=True)
"""


# Connects again and again until its input ends; prints when the last of those began that did not get through in 0.1 s,
# 0.0 if all did.
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
        addresses = {policy: lab.balance(policy.lower(), policy) for policy in ("Cluster", "Local")}
        # It says nothing of the other nodes that one of them leads to a new Service.
        wait_for(lambda: lab.clients(addresses["Cluster"]) == set(NODES.values()))
        wait_for(lambda: {node for node, _ in lab.seen(addresses["Local"])} == set(NODES))
        yield lab, addresses


def start(lab: Lab, name: str, node: str) -> None:
    linger = f"    env: [{{name: FAIRLEAD_ECHO_LINGER, value: '{LINGER}'}}]\n    readinessProbe"
    text = PODS.replace("web-NUMBER", name).replace("    readinessProbe", linger)
    text = text.replace("{containerPort: 9000}", "{containerPort: 9001, protocol: UDP}")
    lab.kubectl("apply", "-f", "-", text=text.replace("spec:\n", f"spec:\n  nodeName: {node}\n", 1))


def ready(lab: Lab) -> None:
    lab.kubectl("wait", "--for=condition=Ready", "pod", "-l", "app=web", f"--timeout={LIMIT:.0f}s")


def dealt(lab: Lab, address: str) -> set[str]:
    """The nodes that the cloud deals the connections to an address out to, by their addresses."""
    name = "to-" + address.replace(".", "-")
    rules = lab.inside(topology.UNDERLAY, "nft", "list", "table", "ip", "fairlead-cloud")
    chain = rules.partition(f"chain {name} {{")[2].partition("}\n\t}")[0]
    return {node for node in NODES.values() if f"{mark(node):#x}" in chain}


def leads(lab: Lab, address: str, pod: str) -> bool:
    """Whether any node's tables lead from a Service's own address to a pod's."""
    found = re.compile(rf"\b{re.escape(address)} \. tcp \. 80 \. \d+ : {re.escape(pod)} \.")
    return any(found.search(lab.exec(f"node/{node}", "nft", "list", "ruleset").stdout) for node in NODES)


def test_a_rolling_update_loses_no_connection(cloud: tuple[Lab, dict[str, str]]) -> None:
    """Pods are replaced by some on other nodes, so that under Local the nodes change as well.

    A pod ends when no table leads to it any more, and the connections from before are over.
    """
    lab, addresses = cloud
    inner = lab.kubectl("get", "svc", "cluster", "-o", "jsonpath={.spec.clusterIP}")
    loading = lab.start(
        "lab", "exec", "--name", lab.name, "outside", "--", sys.executable, "-c", LOAD, *addresses.values()
    )

    def come_to_their_end() -> list[int]:
        """Of the connections: those that there are now."""
        assert loading.stdin is not None
        assert loading.stdout is not None
        loading.stdin.write("\n")
        loading.stdin.flush()
        return list(json.loads(loading.stdout.readline()))

    come_to_their_end()
    for number, node in ((1, "node2"), (3, "node1")):
        old, there = f"web-{number}", NODES[f"node{number}"]
        pod = lab.kubectl("get", "pod", old, "-o", "jsonpath={.status.podIP}")
        wait_for(lambda pod=pod: leads(lab, inner, pod))  # type: ignore[misc]
        assert there in dealt(lab, addresses["Local"])
        start(lab, f"new-{number}", node)
        lab.kubectl("wait", "--for=condition=Ready", "pod", f"new-{number}", f"--timeout={LIMIT:.0f}s")
        lab.kubectl("delete", "pod", old, "--wait=false")
        wait_for(lambda pod=pod: not leads(lab, inner, pod))  # type: ignore[misc]
        wait_for(lambda there=there: there not in dealt(lab, addresses["Local"]))  # type: ignore[misc]
        come_to_their_end()
        end(lab, old)
    come_to_their_end()
    done, failed = json.loads(loading.communicate(timeout=2 * LIMIT)[0])
    print(f"{done} connections of ten requests each, {len(failed)} failed")
    assert failed == []
    assert done > 0


def end(lab: Lab, *names: str) -> None:
    """Ends pods that are not asked for anything any more."""
    lab.kubectl("delete", "pod", *names, "--grace-period=0", "--force")


class Held:
    """Connections from outside to an address, and what asks on them."""

    def __init__(self, lab: Lab, address: str) -> None:
        self._program = lab.start(
            "lab", "exec", "--name", lab.name, "outside", "--", sys.executable, "-c", HOLD, address
        )
        self.clients = self.ask(range(48))
        """Whom the pod saw, on each."""

    def ask(self, numbers: Iterable[int], seconds: float = LIMIT) -> list[str]:
        """Whom the pods see on these connections, "" where none of them answers in that time."""
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.write(json.dumps([list(numbers), seconds]) + "\n")
        self._program.stdin.flush()
        return list(json.loads(self._program.stdout.readline()))

    def close(self) -> None:
        self._program.communicate(timeout=LIMIT)


def carried(lab: Lab, node: str) -> int:
    """How many connections the router's table has for a node."""
    with lab.directory.network.entered(topology.UNDERLAY), NFCTSocket() as connections:
        return sum(1 for _ in connections.dump(mark=mark(node)))


def test_connections_outlive_the_process_that_deals_them_out(cloud: tuple[Lab, dict[str, str]]) -> None:
    lab, addresses = cloud
    held = Held(lab, addresses["Cluster"])
    every = range(len(held.clients))
    assert len(set(held.clients)) > 1
    killed = lab.processes()["controllers"]
    killed.identity.send(signal.SIGKILL)
    assert held.ask(every) == held.clients
    wait_for(lambda: lab.processes().get("controllers") not in (None, killed))
    # What it does first is to replace what the one before left; a Service that is new shows that it is done.
    later = lab.balance("later", "Cluster")
    wait_for(lambda: lab.ask("outside", later))
    assert held.ask(every) == held.clients
    held.close()
    lab.kubectl("delete", "svc", "later")


def test_the_time_until_a_dead_node_gets_nothing_more_is_below_two_seconds() -> None:
    """The longest that it can be when nobody has to wait for the processor."""
    assert (EVERY + PATIENCE) * FAILURES < 2


def test_a_node_that_dies_takes_along_what_it_carried_and_no_more(cloud: tuple[Lab, dict[str, str]]) -> None:
    """Under Cluster the pod sees the node that a connection came by. The endpoints of the dead node are left out."""
    lab, addresses = cloud
    address = addresses["Cluster"]
    there = (
        "-l",
        "app=web",
        "--field-selector",
        "spec.nodeName=node3",
        "-o",
        "jsonpath={.items[*].metadata.name}",
    )
    if names := lab.kubectl("get", "pod", *there).split():
        end(lab, *names)
    wait_for(lambda: lab.clients(address) == set(NODES.values()))
    held = Held(lab, address)
    dead = NODES["node3"]
    lost = [number for number, client in enumerate(held.clients) if client == dead]
    kept = [number for number, client in enumerate(held.clients) if client != dead]
    assert lost
    assert kept
    assert "" not in held.clients
    assert carried(lab, dead)
    knocking = lab.start(
        "lab", "exec", "--name", lab.name, "outside", "--", sys.executable, "-c", KNOCK, address
    )
    assert knocking.stdout is not None
    assert knocking.stdout.readline() == "started\n"
    pulled = time.monotonic()
    lab.inside(topology.UNDERLAY, "ip", "link", "set", "node3", "down")
    try:
        assert held.ask(kept) == [held.clients[number] for number in kept]
        wait_for(lambda: not carried(lab, dead))
        assert dead not in wait_for(lambda: lab.clients(address))
        last = float(knocking.communicate("\n", timeout=LIMIT)[0])
        print(
            f"the last connection that found nobody began {max(0.0, last - pulled):.2f} s after the cable was pulled"
        )
        assert held.ask(lost, seconds=1) == [""] * len(lost)
        assert held.ask(kept) == [held.clients[number] for number in kept]
    finally:
        lab.inside(topology.UNDERLAY, "ip", "link", "set", "node3", "up")
        held.close()
    wait_for(lambda: dead in lab.clients(address))


def test_a_client_with_affinity_stays_on_its_node(cloud: tuple[Lab, dict[str, str]]) -> None:
    lab, _ = cloud
    address = lab.balance("sticky", "Local", spec="sessionAffinity: ClientIP")
    where = "jsonpath={.items[*].status.hostIP}"
    nodes = set(lab.kubectl("get", "pod", "-l", "app=web", "-o", where).split())
    assert len(nodes) > 1
    # A client may be dealt to another node when there is one more.
    wait_for(lambda: dealt(lab, address) == nodes)
    assert len({node for node, _ in wait_for(lambda: lab.seen(address))}) == 1
    lab.kubectl("delete", "svc", "sticky")


def test_source_ranges_hold(cloud: tuple[Lab, dict[str, str]]) -> None:
    lab, _ = cloud
    address = lab.balance("guarded", "Cluster", spec=f"loadBalancerSourceRanges: [{IPV4.outside_address}/32]")
    assert wait_for(lambda: lab.ask("outside", address))
    lab.balance("guarded", "Cluster", spec="loadBalancerSourceRanges: [192.0.2.0/24]")
    wait_for(lambda: not lab.reaches("outside", address))
    lab.kubectl("delete", "svc", "guarded")


def test_no_node_port_is_needed(cloud: tuple[Lab, dict[str, str]]) -> None:
    lab, _ = cloud
    address = lab.balance("portless", "Cluster", spec="allocateLoadBalancerNodePorts: false")
    assert wait_for(lambda: lab.ask("outside", address))
    assert lab.kubectl("get", "svc", "portless", "-o", "jsonpath={.spec.ports[0].nodePort}") == ""
    lab.kubectl("delete", "svc", "portless")


def test_an_excluded_node_gets_nothing(cloud: tuple[Lab, dict[str, str]]) -> None:
    """Under Cluster the pods see the node that passed a connection on."""
    lab, addresses = cloud
    nodes = set(NODES.values())
    wait_for(lambda: lab.clients(addresses["Cluster"]) == nodes)
    lab.kubectl("label", "node", "node2", f"{EXCLUDED}=")
    try:
        wait_for(lambda: lab.clients(addresses["Cluster"]) == nodes - {NODES["node2"]})
    finally:
        lab.kubectl("label", "node", "node2", f"{EXCLUDED}-")


def test_packets_come_by_node_port_if_asked_for() -> None:
    """As the seed's diagrams draw it: the node has the port, and not the Service's address."""
    with lab_of("nodeport") as lab:
        done = lab.up("--nodes", "2", "--loadbalancer-via", "nodeport", "--detach")
        assert done.returncode == 0, done.stderr
        start(lab, "web-1", "node1")
        ready(lab)
        cluster, local = lab.balance("balanced", "Cluster"), lab.balance("local", "Local")
        assert wait_for(lambda: lab.clients(cluster) == {"192.168.1.10", "192.168.1.11"})
        assert wait_for(lambda: lab.clients(local) == {IPV4.outside_address})
        tables = lab.inside(topology.UNDERLAY, "nft", "list", "ruleset")
        port = lab.kubectl("get", "svc", "balanced", "-o", "jsonpath={.spec.ports[0].nodePort}")
        assert f"192.168.1.11 . {port}" in tables


# Asks the same peer from the same port for each line that it reads; prints the node that answers, "" where none does.
DATAGRAMS = """
import json, socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("", 4009))
sock.settimeout(0.5)
for line in sys.stdin:
    node = ""
    try:
        sock.sendto(b"hello\\n", (sys.argv[1], 9))
        node = json.loads(sock.recv(2000))["node"]
    except (OSError, ValueError):
        pass
    print(node, flush=True)
"""
# The node's kernel lets pass what follows as if it had translated it, and knows nothing of it afterwards.
UNTRACKED = (
    "add table ip late; add chain ip late out { type filter hook output priority raw; }; "
    "add rule ip late out udp sport 9 notrack"
)
# Says something to that port, as whoever has the address.
ANSWER = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.setsockopt(socket.IPPROTO_IP, 19, 1)  # IP_TRANSPARENT
    sock.bind((sys.argv[1], 9))
    sock.sendto(b"too late", (sys.argv[2], 4009))
"""


def test_datagrams_of_one_sender_leave_a_node_that_serves_no_more(cloud: tuple[Lab, dict[str, str]]) -> None:
    """The sender goes on, so that the kernel's entry for it would never end by itself."""
    lab, _ = cloud
    address = lab.balance("datagrams", "Local", ports="{name: udp, port: 9, targetPort: 9001, protocol: UDP}")
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
    try:
        with lab.directory.network.entered(topology.UNDERLAY):
            Tables().forget_datagrams(address, NODES[first])
        # An answer that was under way at that moment does not begin a connection of its own, which would keep ours out.
        lab.inside(first, "nft", UNTRACKED)
        lab.inside(first, sys.executable, "-c", ANSWER, address, IPV4.outside_address)
        lab.inside(first, "nft", "delete table ip late")
        first = wait_for(ask)
        lab.kubectl("label", "node", first, f"{EXCLUDED}=")
        wait_for(lambda: ask() not in ("", first))
    finally:
        lab.kubectl("label", "node", first, f"{EXCLUDED}-")
        sending.communicate(timeout=LIMIT)
    lab.kubectl("delete", "svc", "datagrams")
