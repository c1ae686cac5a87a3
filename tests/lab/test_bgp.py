"""Load balancers announced by BGP: the lab's router learns from the nodes, and deals connections out to them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator

import pytest

from fairlead.lab import topology
from fairlead.lab.addressing import IPV4
from fairlead.loadbalancer.announcement import EXCLUDED
from fairlead.loadbalancer.bgp.configuration import BFD_INTERVAL, BFD_MULTIPLIER
from tests.lab.conftest import freeze, wait_for
from tests.lab.labs import Lab, lab_of

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="looks into the namespaces of a lab, which needs root"),
    pytest.mark.skipif(
        shutil.which("bird", path=f"{os.environ['PATH']}:/usr/sbin") is None,
        reason="no BIRD here: apt-get install bird2",
    ),
]

NODES = {f"192.168.1.{9 + number}" for number in (1, 2, 3)}


def ways(lab: Lab, address: str) -> set[str]:
    """The nodes that the router knows for the address."""
    found = json.loads(lab.inside(topology.UNDERLAY, "ip", "-json", "route", "show", f"{address}/32"))
    hops = [hop for route in found for hop in route.get("nexthops", [route])]
    return {hop["gateway"] for hop in hops}


@pytest.fixture(scope="module")
def announced() -> Iterator[tuple[Lab, str, str]]:
    """A lab with a pod, and two Services that lead to it: its addresses under Cluster and under Local."""
    with lab_of("bgp") as lab:
        done = lab.up("--nodes", "3", "--loadbalancer", "bgp", "--detach")
        assert done.returncode == 0, done.stderr
        lab.serve(1)
        yield lab, lab.balance("balanced", "Cluster"), lab.balance("local", "Local")


def test_every_node_announces_under_cluster_and_has_a_share(announced: tuple[Lab, str, str]) -> None:
    lab, address, _ = announced
    wait_for(lambda: ways(lab, address) == NODES)
    wait_for(lambda: lab.clients(address) == NODES)
    wait_for(lambda: "by BGP" in lab.kubectl("describe", "svc", "balanced"))


def test_the_node_with_the_endpoint_announces_under_local(announced: tuple[Lab, str, str]) -> None:
    lab, _, address = announced
    host = lab.kubectl("get", "pod", "web-1", "-o", "jsonpath={.status.hostIP}")
    wait_for(lambda: ways(lab, address) == {host})
    wait_for(lambda: lab.clients(address) == {IPV4.outside_address})


def test_a_node_withdraws_what_it_may_not_carry(announced: tuple[Lab, str, str]) -> None:
    lab, address, _ = announced
    lab.kubectl("label", "node", "node1", f"{EXCLUDED}=")
    try:
        wait_for(lambda: ways(lab, address) == NODES - {"192.168.1.10"})
        assert wait_for(lambda: lab.ask("outside", address)) == "web-1"
    finally:
        lab.kubectl("label", "node", "node1", f"{EXCLUDED}-")
    wait_for(lambda: ways(lab, address) == NODES)


def test_a_service_that_goes_takes_its_route_along(announced: tuple[Lab, str, str]) -> None:
    lab, _, _ = announced
    address = lab.balance("passing", "Cluster")
    wait_for(lambda: ways(lab, address) == NODES)
    lab.kubectl("delete", "svc", "passing")
    wait_for(lambda: not ways(lab, address))


def test_a_speaker_that_is_killed_comes_back(announced: tuple[Lab, str, str]) -> None:
    lab, address, _ = announced
    wait_for(lambda: ways(lab, address) == NODES)
    supervisor = lab.processes()["supervisor"].identity
    freeze(supervisor)  # so that the node does not come back before anybody has looked
    try:
        lab.processes()["node2"].identity.send(signal.SIGKILL)
        wait_for(lambda: ways(lab, address) == NODES - {"192.168.1.11"})
    finally:
        supervisor.send(signal.SIGCONT)
    wait_for(lambda: ways(lab, address) == NODES)


def test_the_time_until_a_dead_nodes_routes_go_is_below_two_seconds() -> None:
    """The longest that it can be when nobody has to wait for the processor."""
    assert BFD_INTERVAL * BFD_MULTIPLIER < 2000


def test_the_routes_of_a_node_that_dies_go(announced: tuple[Lab, str, str]) -> None:
    lab, address, _ = announced
    wait_for(lambda: ways(lab, address) == NODES)
    host = lab.kubectl("get", "pod", "web-1", "-o", "jsonpath={.status.hostIP}")
    dead = next(f"node{number}" for number in (1, 2, 3) if f"192.168.1.{9 + number}" != host)
    gone = f"192.168.1.{9 + int(dead[4:])}"
    lab.inside(topology.UNDERLAY, "ip", "link", "set", dead, "down")
    pulled = time.monotonic()
    try:
        wait_for(lambda: ways(lab, address) == NODES - {gone})
        print(f"the route was gone {time.monotonic() - pulled:.2f} s after the cable was pulled")
        assert wait_for(lambda: lab.ask("outside", address)) == "web-1"
    finally:
        lab.inside(topology.UNDERLAY, "ip", "link", "set", dead, "up")
    wait_for(lambda: ways(lab, address) == NODES)
