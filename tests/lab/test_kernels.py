"""What a lab can do where the kernel has it: delayed links, SCTP, host ports beside IPVS. 1 s each.

Where it has not, the reason is told, and `tests/emulated` does it in a kernel that has all of it.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from pyroute2 import IPRoute
from typer.testing import CliRunner

from fairlead.cli import lablinks
from fairlead.lab import links, members, state, topology
from fairlead.lab.links import Link
from fairlead.lab.members import Impairment
from fairlead.lab.network import Refused
from fairlead.lab.state import StateDirectory
from fairlead.node import namespaces, network
from fairlead.node.hostports.mappings import host_ports
from fairlead.node.hostports.tables import HostPorts
from fairlead.objects.core_v1 import Container, ContainerPort, Pod, PodSpec
from fairlead.proxy import modes
from fairlead.proxy.dataplane import Unusable
from fairlead.proxy.detection import LocalPods
from fairlead.proxy.family import IPV4, IPV6
from fairlead.proxy.options import ProxyOptions
from fairlead.proxy.server import cleanup
from tests.lab.conftest import record
from tests.node.isolation import ADDRESS, ADDRESS6, POD, POD6, in_child, root, with_pod
from tests.proxy.iptables.cluster import PODS, ledger

pytestmark = root

SCTP = 132
"""Its number among the protocols over IP."""


def port(host: int, ip: str = "", protocol: str = "") -> ContainerPort:
    """One that leads to port 80 of the pod."""
    return ContainerPort(hostPort=host, hostIP=ip, protocol=protocol, containerPort=80)


def pod(*ports: ContainerPort) -> Pod:
    return Pod(spec=PodSpec(containers=(Container(name="c", ports=ports),)))


def lacks_sctp() -> str:
    """Why there is no SCTP here; nothing if there is."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, SCTP).close()
    except OSError as error:
        return f"this kernel has no SCTP ({error.strerror}; try 'modprobe sctp' as root)"
    return ""


def lacks_delay() -> str:
    """Why links cannot be delayed here; nothing if they can. The link tried is another namespace's."""
    why: list[str] = []

    def attempt() -> None:
        namespaces.unshare(namespaces.CLONE_NEWNET)
        here = Path("/proc/self/ns/net")
        with IPRoute() as ip:
            ip.link("add", ifname="near", kind="veth", peer={"ifname": "eth0"})
        links._apply(Link(here, "near", here), Impairment(delay=0.01))

    try:
        in_child(attempt)
    except AssertionError as error:
        why += [line for line in str(error).splitlines() if Refused.__name__ in line]
        if not why:
            raise
    return why[-1] if why else ""


def serve(where: int, family: int, number: int, says: str, protocol: int = 0) -> None:
    """Answers every connection to a port in a network with the text."""
    with namespaces.entered(where):
        listening = socket.socket(family, socket.SOCK_STREAM, protocol)
    if family == socket.AF_INET6:
        listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    listening.bind(("", number))
    listening.listen()

    def answer() -> None:
        while True:
            connection, _ = listening.accept()
            connection.send(says.encode())
            connection.close()

    threading.Thread(target=answer, daemon=True).start()


def ask(host: str, number: int, protocol: int = 0) -> str:
    """Who answers there; "" if nobody does."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM, protocol) as asking:
        asking.settimeout(20)
        try:
            asking.connect((host, number))
            return asking.recv(64).decode()
        except OSError:
            return ""


def test_a_link_with_a_delay_by_netem_is_late_both_ways() -> None:
    if reason := lacks_delay():
        pytest.skip(reason)

    def test() -> None:
        inside = with_pod("uid")
        with namespaces.entered(inside), IPRoute() as ip:
            ip.link("set", index=ip.link_lookup(ifname="eth0")[0], state="up")
        serve(inside, socket.AF_INET, 80, "here")
        link = Link(Path("/proc/self/ns/net"), network.host_interface("uid"), Path(f"/proc/self/fd/{inside}"))
        assert ask(POD, 80) == "here"
        links._apply(link, Impairment(delay=0.3))
        begun = time.monotonic()
        assert ask(POD, 80) == "here"
        # There and back again twice: the connection, and the first word on it.
        assert time.monotonic() - begun >= 1.1
        links._apply(link, Impairment())
        with IPRoute() as ip:
            assert not any(queue.get_attr("TCA_KIND") == "netem" for queue in ip.get_qdiscs())

    in_child(test)


def test_the_command_delays_a_nodes_link_by_netem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the network of a lab none of whose processes runs."""
    if reason := lacks_delay():
        pytest.skip(reason)
    monkeypatch.setattr(state, "parent_directory", lambda: tmp_path)
    directory = StateDirectory.of("test")
    os.close(directory.create_locked())
    directory.write(record())
    members.write(directory, members.first(1, ()))

    def tell(*words: str) -> str:
        return CliRunner().invoke(lablinks.app, [words[0], "--name", "test", "node/node1", *words[1:]]).output

    def delays() -> list[float]:
        """Of the link's two ends, in milliseconds."""
        found = []
        for namespace, name in ((topology.UNDERLAY, "node1"), ("node1", "eth0")):
            with directory.network.entered(namespace):
                said = subprocess.check_output(["tc", "qdisc", "show", "dev", name], text=True)
            found += [float(number) for number in re.findall(r"netem .*delay (\d+)ms", said)]
        return found

    try:
        directory.network.make(topology.plan(topology.plan_nodes(1)))
        assert tell("set", "--delay", "50ms") == "node/node1: 50 ms late\n"
        assert delays() == [50, 50]
        assert tell("up") == "node/node1: everything passes\n"
        assert delays() == []
    finally:
        directory.network.remove()


def test_a_host_port_of_sctp(tmp_path: Path) -> None:
    if reason := lacks_sctp():
        pytest.skip(reason)

    def test() -> None:
        inside = with_pod("uid")
        for family in (socket.AF_INET, socket.AF_INET6):
            serve(inside, family, 80, "pod", SCTP)
        asyncio.run(opened())

    async def opened() -> None:
        ports = HostPorts((ADDRESS, ADDRESS6))
        wanted = host_ports(pod(port(8080, protocol="SCTP"), port(8081, "127.0.0.1", "SCTP")), (POD, POD6))
        assert await ports.open("uid", tmp_path, wanted) == {}
        places = ((ADDRESS, 8080), (ADDRESS6, 8080), ("127.0.0.1", 8081))
        assert [ask(*place, SCTP) for place in places] == ["pod"] * 3
        assert ask(ADDRESS, 8080) == "", "there is none of TCP"
        await ports.close("uid", tmp_path)

    in_child(test)


@pytest.mark.parametrize("mode", modes.MODES)
def test_host_ports_beside_the_proxy_in_the_mode(mode: str, tmp_path: Path) -> None:
    """A node port of the same number wins, but in the mode ipvs, as upstream."""
    try:
        modes.load(mode).available()
    except Unusable as reason:
        pytest.skip(str(reason))

    def test() -> None:
        inside = with_pod("uid")
        serve(inside, socket.AF_INET, 80, "host port")
        serve(inside, socket.AF_INET, 8080, "service")
        options = ProxyOptions(LocalPods((PODS[IPV4], PODS[IPV6])), service_cidrs=("10.96.0.0/16",))
        known = ledger(IPV4, {"web": {"type": "NodePort", "pods": "a"}})
        dataplane = modes.load(mode).dataplane(options, IPV4)
        dataplane.node_changed(known.node.addresses)
        dataplane.rebuild(known.everything)
        asyncio.run(opened())
        dataplane.close()
        cleanup()

    async def opened() -> None:
        assert ask(ADDRESS, 30000) == "service"
        ports = HostPorts((ADDRESS,))
        assert await ports.open("uid", tmp_path, host_ports(pod(port(8081), port(30000)), (POD,))) == {}
        assert [ask(host, 8081) for host in (ADDRESS, "127.0.0.1")] == ["host port"] * 2
        assert ask(ADDRESS, 30000) == ("host port" if mode == "ipvs" else "service")
        await ports.close("uid", tmp_path)
        assert ask(ADDRESS, 30000) == "service"
        assert ask(ADDRESS, 8081) == ""

    in_child(test)
