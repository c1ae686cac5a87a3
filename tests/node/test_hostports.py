"""Host ports: what leads where, by table; and the kernel's part of it, on one node with a pod of both families."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from fairlead import libnftables
from fairlead.node import namespaces
from fairlead.node.hostports import nft, ruleset
from fairlead.node.hostports.mappings import Key, Target, host_ports, on_loopback, taken
from fairlead.node.hostports.tables import FILE, HostPorts
from fairlead.objects.core_v1 import Container, ContainerPort, Pod, PodSpec
from fairlead.objects.resources import EVENTS, PODS
from tests.client.cluster import eventually
from tests.node.isolation import ADDRESS, ADDRESS6, POD, POD6, in_child, root, with_pod
from tests.node.places import Cluster, is_ready, with_cluster
from tests.waiting import LIMIT


def pod(*ports: ContainerPort, host_network: bool = False) -> Pod:
    return Pod(spec=PodSpec(containers=(Container(name="c", ports=ports),), hostNetwork=host_network))


def port(host: int, ip: str = "", protocol: str = "", container: int = 80) -> ContainerPort:
    return ContainerPort(hostPort=host, hostIP=ip, protocol=protocol, containerPort=container)


@pytest.mark.parametrize(
    ("case", "given", "addresses", "expected"),
    [
        ("none", pod(ContainerPort(containerPort=80)), (POD,), {}),
        ("on all addresses", pod(port(8080)), (POD,), {Key(4, "TCP", 8080): Target(POD, 80)}),
        (
            "in both families",
            pod(port(8080, protocol="UDP")),
            (POD, POD6),
            {Key(4, "UDP", 8080): Target(POD, 80), Key(6, "UDP", 8080): Target(POD6, 80)},
        ),
        ("on all of IPv4", pod(port(8080, "0.0.0.0")), (POD, POD6), {Key(4, "TCP", 8080): Target(POD, 80)}),
        ("on all of IPv6", pod(port(8080, "::")), (POD, POD6), {Key(6, "TCP", 8080): Target(POD6, 80)}),
        ("on one", pod(port(8080, "127.0.0.1")), (POD,), {Key(4, "TCP", 8080, "127.0.0.1"): Target(POD, 80)}),
        (
            "on one of IPv6, written long",
            pod(port(8080, "FD00:0::10", "SCTP")),
            (POD, POD6),
            {Key(6, "SCTP", 8080, ADDRESS6): Target(POD6, 80)},
        ),
        ("of a family that the pod has not", pod(port(8080, ADDRESS6)), (POD,), {}),
        ("on no address", pod(port(8080, "localhost")), (POD,), {}),
        ("an unknown protocol", pod(port(8080, protocol="DCCP")), (POD,), {}),
        ("in the node's network", pod(port(8080), host_network=True), (ADDRESS,), {}),
        (
            "twice: the first counts",
            pod(port(8080, container=1), port(8080, container=2)),
            (POD,),
            {Key(4, "TCP", 8080): Target(POD, 1)},
        ),
    ],
)
def test_what_a_host_port_leads_to(
    case: str, given: Pod, addresses: tuple[str, ...], expected: dict[Key, Target]
) -> None:
    assert host_ports(given, addresses) == expected, case


def test_ports_of_sidecars_are_open_and_those_of_init_containers_are_not() -> None:
    init = (
        Container(name="once", ports=(port(1),)),
        Container(name="sidecar", ports=(port(2),), restartPolicy="Always"),
    )
    assert [k.port for k in host_ports(Pod(spec=PodSpec(initContainers=init)), (POD,))] == [2]


def test_who_has_a_port() -> None:
    everywhere, inner = Key(4, "TCP", 80), Key(4, "TCP", 80, "127.0.0.1")
    held = {everywhere: "a"}
    assert taken([everywhere], held, "b") == {everywhere: "a"}
    assert taken([everywhere], held, "a") == {}
    assert taken([inner, Key(4, "UDP", 80), Key(6, "TCP", 80)], held, "b") == {}


@pytest.mark.parametrize(
    ("key", "loopback"),
    [
        (Key(4, "TCP", 80), True),
        (Key(4, "TCP", 80, "127.0.0.1"), True),
        (Key(4, "TCP", 80, ADDRESS), False),
        (Key(6, "TCP", 80), False),
        (Key(6, "TCP", 80, "::1"), False),
    ],
)
def test_which_ports_are_open_on_the_loopback_address(key: Key, loopback: bool) -> None:
    assert on_loopback({key: Target(POD, 80)}) is loopback


def test_what_is_added_is_what_is_removed() -> None:
    ports = host_ports(pod(port(8080), port(8081, "127.0.0.1", "UDP")), (POD, POD6))
    added, removed = ruleset.additions(ports).splitlines(), ruleset.removals(ports).splitlines()
    assert len(added) == len(removed) == 5
    for one, other in zip(added, removed, strict=True):
        assert one.replace("add", "delete", 1).startswith(other.removesuffix(" }"))


def _serve(pod_network: int) -> None:
    """Answers everything that comes to port 80 of the pod with the peer's address."""
    for family in (socket.AF_INET, socket.AF_INET6):
        listening = namespaces.socket_in(pod_network, family)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(("", 80))
        listening.listen()

        def answer(listening: socket.socket = listening) -> None:
            while True:
                connection, peer = listening.accept()
                connection.sendall(peer[0].encode())
                connection.close()

        threading.Thread(target=answer, daemon=True).start()


def _ask(host: str, number: int) -> str:
    """Whom the pod saw; "" if nobody answers."""
    try:
        with socket.create_connection((host, number), LIMIT) as connection:
            return connection.recv(64).decode()
    except OSError:
        return ""


@root
def test_a_node_leads_both_families_to_a_pod(tmp_path: Path) -> None:
    def test() -> None:
        directory = tmp_path / "uid"
        directory.mkdir()
        inside = with_pod("uid")
        _serve(inside)
        asyncio.run(opened(directory))
        assert subprocess.check_output(["nft", "list", "tables"], text=True) == ""

    async def opened(directory: Path) -> None:
        addresses = (ADDRESS, ADDRESS6)
        first = HostPorts(addresses)
        ports = host_ports(pod(port(8080), port(8081, "127.0.0.1"), port(9, protocol="SCTP")), (POD, POD6))
        assert await first.open("uid", directory, ports) == {}
        asks = [(ADDRESS, 8080), ("127.0.0.1", 8080), (ADDRESS6, 8080), ("127.0.0.1", 8081), (ADDRESS, 8081)]
        expected = [ADDRESS, ADDRESS, ADDRESS6, ADDRESS, ""]
        assert [_ask(*one) for one in asks] == expected
        # Another agent knows what this one has opened, and mends what was lost.
        nft.run("flush map ip fairlead-hostports anywhere")
        assert _ask(ADDRESS, 8080) == ""
        second = HostPorts(addresses)
        second.adopt("uid", directory)
        assert second.holds("uid")
        await second.settle()
        assert [_ask(*one) for one in asks] == expected
        key = Key(4, "TCP", 8080)
        assert await second.open("other", directory / "none", {key: Target(POD, 81)}) == {key: "uid"}
        # What the kernel does not take leaves nothing open that is not known, and nothing closed that was open.
        with pytest.raises(nft.NftFailed):
            await second.open("other", directory / "none", {Key(4, "TCP", 99): Target("nonsense", 81)})
        assert [_ask(*one) for one in asks] == expected
        assert not second.holds("other")
        await second.close("uid", directory)
        assert [_ask(*one) for one in asks] == [""] * 5
        assert not (directory / FILE).exists()

    in_child(test)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "Error: Could not process rule: Operation not supported",
            "the kernel lacks what they need (modprobe",
        ),
        (
            "Error: Could not process rule: No such file or directory",
            "the kernel lacks what they need (modprobe",
        ),
        (
            "Error: Operation not permitted (you must be root)",
            "the kernel does not let this process change nftables: it needs",
        ),
        ("Error: syntax error\nadd nonsense\n    ^^^", "Error: syntax error"),
        ("", "libnftables gives no reason"),
    ],
)
def test_what_is_said_of_a_kernel_that_refuses(said: str, told: str) -> None:
    assert nft.words(libnftables.failure(said)).startswith(told)
    assert "\n" not in nft.words(libnftables.failure(said))


@root
def test_a_pod_runs_without_its_ports_where_the_kernel_lacks_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(commands: str) -> None:
        raise nft.NftFailed(nft.words(libnftables.failure("Operation not supported")))

    async def test(cluster: Cluster) -> None:
        await cluster.run("web", {"ports": [{"containerPort": 8080, "hostPort": 7080}]})
        await cluster.until("web", is_ready)

        async def told() -> bool:
            found = (await cluster.api.list(EVENTS, "default")).items
            messages = [event.message for event in found if event.reason == "HostPortFailed"]
            return (
                len(messages) == 1
                and "the pod's host ports cannot be opened: the kernel lacks" in messages[0]
            )

        await eventually(told, "an Event says so")
        await cluster.api.delete(PODS, "web", "default", grace_period_seconds=0)
        await cluster.gone("web")

    monkeypatch.setattr(nft, "run", refuse)
    with_cluster(tmp_path, test)
