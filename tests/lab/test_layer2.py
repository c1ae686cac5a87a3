"""Load balancers announced in layer 2 by the nodes of a lab: who answers, who takes over, what stands in the way."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from pyroute2 import IPRoute

from fairlead.lab import topology
from fairlead.loadbalancer.announcement import EXCLUDED, announcer
from fairlead.loadbalancer.layer2 import claims, members
from fairlead.loadbalancer.pools import parse_address
from fairlead.node import namespaces
from tests.lab.conftest import wait_for
from tests.lab.labs import Lab, lab_of
from tests.waiting import LIMIT

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="looks into the namespaces of a lab, which needs root"
)

NODES = ("node1", "node2", "node3")
IN_USE = "203.0.113.77"
STRANGER = "02:00:00:00:00:77"

# Connects again and again until its input ends, and once more; prints the longest time between two that were made.
KNOCK = """
import select, socket, sys, time
last, longest, over = None, 0.0, False
while True:
    over = over or bool(select.select([sys.stdin], [], [], 0.01)[0])
    try:
        socket.create_connection((sys.argv[1], 80), timeout=0.1).close()
    except OSError:
        continue
    now = time.monotonic()
    if last is None:
        print("reached", flush=True)
    longest = max(longest, now - (last or now))
    if over and last is not None:
        break
    last = now
print(longest, flush=True)
"""


def answers_for(lab: Lab, address: str) -> str:
    """The node that has the address, as the router knows; "" while it knows none."""
    lab.exec("outside", "bash", "-c", f"echo > /dev/udp/{address}/9")
    known = json.loads(lab.inside(topology.UNDERLAY, "ip", "-json", "neigh", "show", "dev", topology.BRIDGE))
    hardware = next((entry.get("lladdr", "") for entry in known if entry["dst"] == address), "")
    for node in NODES if hardware else ():
        if str(hardware) in lab.inside(node, "ip", "link", "show", "dev", "eth0"):
            return node
    return str(hardware)


def reached(lab: Lab, address: str) -> str:
    return lab.ask("outside", address)


@pytest.fixture(scope="module")
def announced() -> Iterator[tuple[Lab, str, str]]:
    """A lab with a pod, and two Services that lead to it: its addresses under Cluster and under Local."""
    with lab_of("layer2") as lab:
        done = lab.up("--nodes", str(len(NODES)), "--loadbalancer", "l2", "--detach")
        assert done.returncode == 0, done.stderr
        lab.serve(1)
        found = []
        for name, policy in (("balanced", "Cluster"), ("local", "Local")):
            found.append(lab.balance(name, policy))
        yield lab, found[0], found[1]


def test_the_node_that_is_elected_answers(announced: tuple[Lab, str, str]) -> None:
    lab, address, _ = announced
    assert wait_for(lambda: reached(lab, address)) == "web-1"
    # Until every speaker is there, another one may be elected.
    wait_for(lambda: answers_for(lab, address) == announcer(parse_address(address), NODES))
    wait_for(lambda: "Announced" in lab.kubectl("describe", "svc", "balanced"))


def test_under_local_a_node_with_an_endpoint_answers(announced: tuple[Lab, str, str]) -> None:
    lab, _, address = announced
    assert wait_for(lambda: reached(lab, address)) == "web-1"
    node = lab.kubectl("get", "pod", "web-1", "-o", "jsonpath={.spec.nodeName}")
    wait_for(lambda: answers_for(lab, address) == node)


def test_no_node_has_the_address_on_an_interface(announced: tuple[Lab, str, str]) -> None:
    lab, address, _ = announced
    for node in NODES:
        assert address not in lab.inside(node, "ip", "address")


def test_a_node_that_is_excluded_gives_its_addresses_away(announced: tuple[Lab, str, str]) -> None:
    lab, address, _ = announced
    first = wait_for(lambda: answers_for(lab, address))
    lab.kubectl("label", "node", first, f"{EXCLUDED}=")
    try:
        others = [node for node in NODES if node != first]
        wait_for(lambda: answers_for(lab, address) == announcer(parse_address(address), others))
        assert wait_for(lambda: reached(lab, address)) == "web-1"
    finally:
        lab.kubectl("label", "node", first, f"{EXCLUDED}-")
    wait_for(lambda: answers_for(lab, address) == first)


@contextmanager
def stranger(lab: Lab, address: str) -> Iterator[str]:
    """A machine on the underlay that has the address; gives its hardware address."""
    underlay, path = lab.directory.network.path(topology.UNDERLAY), lab.folder / "stranger"
    network = namespaces.make_network(path)
    try:
        with namespaces.entered(network), IPRoute() as kernel, open(underlay) as there:
            peer = {"ifname": "stranger", "net_ns_fd": there.fileno()}
            kernel.link("add", ifname="eth0", kind="veth", address=STRANGER, peer=peer)
            index = kernel.link_lookup(ifname="eth0")[0]
            kernel.link("set", index=index, state="up")
            kernel.addr("add", index=index, address=address, prefixlen=32)
        lab.inside(topology.UNDERLAY, "ip", "link", "set", "stranger", "master", topology.BRIDGE, "up")
        wait_for(lambda: answers_for(lab, address) == STRANGER)
        yield STRANGER
    finally:
        os.close(network)
        namespaces.remove_network(path)


def test_an_address_in_use_on_the_network_is_left_to_who_has_it(announced: tuple[Lab, str, str]) -> None:
    lab, address, _ = announced
    with stranger(lab, IN_USE) as hardware:
        assert lab.balance("taken", "Cluster", wanted=IN_USE) == IN_USE
        said = wait_for(lambda: [line for line in _events(lab, "taken") if line.startswith("AddressInUse")])
        assert hardware in said[0]
        assert IN_USE in said[0]
        assert wait_for(lambda: answers_for(lab, IN_USE)) == hardware
        assert wait_for(lambda: reached(lab, address)) == "web-1"
        lab.kubectl("delete", "svc", "taken")


def _events(lab: Lab, service: str) -> list[str]:
    form = 'jsonpath={range .items[*]}{.reason} {.message}{"\\n"}{end}'
    return lab.kubectl(
        "get", "events", "--field-selector", f"involvedObject.name={service}", "-o", form
    ).splitlines()


def test_the_time_until_another_node_takes_over_is_below_two_seconds() -> None:
    """The longest that it can be when nobody has to wait for the processor."""
    assert members.DEAD_AFTER + claims.PROBES * claims.PROBE_INTERVAL < 2


def test_another_node_takes_over_from_one_that_dies(
    announced: tuple[Lab, str, str], record_property: Callable[[str, object], None]
) -> None:
    """The node's cable is pulled, and put back."""
    lab, address, _ = announced
    dead = wait_for(lambda: answers_for(lab, address))
    pod = lab.kubectl("get", "pod", "web-1", "-o", "jsonpath={.spec.nodeName}")
    if dead == pod:  # it would take the endpoint along
        lab.kubectl("label", "node", dead, f"{EXCLUDED}=")
        dead = wait_for(
            lambda: next((n for n in NODES if n not in (pod, "") and answers_for(lab, address) == n), "")
        )
    others = [node for node in NODES if node not in (dead, "")]
    knocking = lab.start(
        "lab", "exec", "--name", lab.name, "outside", "--", sys.executable, "-c", KNOCK, address
    )
    assert knocking.stdout is not None
    assert knocking.stdout.readline() == "reached\n"
    lab.inside(topology.UNDERLAY, "ip", "link", "set", dead, "down")
    try:
        wait_for(lambda: answers_for(lab, address) in others and reached(lab, address) == "web-1")
    finally:
        lab.inside(topology.UNDERLAY, "ip", "link", "set", dead, "up")
    gap = float(knocking.communicate("\n", timeout=LIMIT)[0])
    assert gap > 0
    record_property("seconds without a connection", gap)
    print(f"no connection for {gap:.2f} s")
    wait_for(lambda: answers_for(lab, address) == dead)
    assert wait_for(lambda: reached(lab, address)) == "web-1"


def test_the_command_says_which_interface_cannot_be_used(announced: tuple[Lab, str, str]) -> None:
    lab, _, _ = announced
    words = ["--node-name", "node1", "--interface", "nothing0", "--health", "none"]
    done = lab.run("loadbalancer", "speaker", "--kubeconfig", str(lab.kubeconfig), *words)
    assert done.returncode == 2
    assert "there is no interface nothing0" in done.stderr
    assert "Traceback" not in done.stderr
