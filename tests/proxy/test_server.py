"""The proxy as a component: a real API server on one side, a real kernel on the other."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop
from prometheus_client import generate_latest
from pyroute2 import IPRoute

from fairlead import libnftables
from fairlead.client.api import Api
from fairlead.node import namespaces
from fairlead.objects.core_v1 import (
    Node,
    NodeAddress,
    NodeSpec,
    NodeStatus,
    Service,
    ServicePort,
    ServiceSpec,
)
from fairlead.objects.discovery_v1 import Endpoint, EndpointConditions, EndpointPort, EndpointSlice
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.resources import ENDPOINTSLICES, NODES, SERVICES
from fairlead.process import Health
from fairlead.proxy import traffic
from fairlead.proxy.dataplane import Everything, Refused
from fairlead.proxy.detection import LocalPods
from fairlead.proxy.family import IPV6
from fairlead.proxy.nftables import Nftables
from fairlead.proxy.resources import SERVICE_NAME
from fairlead.proxy.server import ProxyConfig, cleanup, run
from fairlead.proxy.traffic import Counted
from tests.client.cluster import api_server, running
from tests.node.isolation import in_child
from tests.proxy.topology import root
from tests.waiting import LIMIT

pytestmark = root

TRACES = {"nftables": "table ip fairlead", "iptables": "KUBE-SERVICES"}
"""What each mode has in the kernel."""
NODE, WEB = "192.168.1.10", "10.96.0.100"
COUNTED = (
    'fairlead_proxy_service_connections_total{endpoint="192.168.1.10:8080",namespace="default",port="80",'
    'service="web"} 2.0'
)
"""What Prometheus is told after one connection by way of the ClusterIP and one by way of the node port."""


def in_a_node(test: Callable[[Path], Coroutine[Any, Any, None]], directory: Path) -> None:
    """Runs the test in a forked process whose network is a node's: loopback, one address, a default route."""

    def child() -> None:
        namespaces.unshare(namespaces.CLONE_NEWNET)
        with IPRoute() as ip:
            ip.link("set", index=1, state="up")
            ip.link("add", ifname="eth0", kind="veth", peer="other")
            eth0, other = (ip.link_lookup(ifname=name)[0] for name in ("eth0", "other"))
            for index in (eth0, other):
                ip.link("set", index=index, state="up")
            ip.addr("add", index=eth0, address=NODE, prefixlen=24)
            # Not by way of the loopback, on which the kernel sends no ICMP errors for what is rejected.
            ip.route("add", family=socket.AF_INET, dst="0.0.0.0/0", oif=eth0, scope="link")
        # It sends one a second to each host otherwise.
        namespaces.set_sysctl("net/ipv4/icmp_ratelimit", 0)
        uvloop.run(asyncio.wait_for(test(directory), 4 * LIMIT))

    in_child(child)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Waits until it holds."""
    async with asyncio.timeout(LIMIT):
        while not await holds():  # noqa: ASYNC110 - a state of the kernel
            await asyncio.sleep(0.01)


SILENCE = 0.3
"""Seconds without an answer that count as a drop, and for which the first try of `leads` waits for one."""


async def outcome(address: str, port: int = 80, seconds: float = LIMIT) -> str:
    """What connecting there leads to: the answer, or the error's name."""
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(address, port), seconds)
        said = await reader.read()
        writer.close()
        return said.decode()
    except OSError as error:
        return type(error).__name__


async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"hello")
    await writer.drain()
    writer.close()


WEB_SERVICE = Service(
    metadata=ObjectMeta(name="web", namespace="default"),
    spec=ServiceSpec(
        type="NodePort", clusterIP=WEB, ports=(ServicePort(port=80, protocol="TCP", nodePort=30080),)
    ),
)


def web_slice(ready: bool) -> EndpointSlice:
    return EndpointSlice(
        metadata=ObjectMeta(name="web-1", namespace="default", labels={SERVICE_NAME: "web"}),
        addressType="IPv4",
        endpoints=(Endpoint(addresses=(NODE,), conditions=EndpointConditions(ready=ready)),),
        ports=(EndpointPort(name="", port=8080, protocol="TCP"),),
    )


async def follow(directory: Path, mode: str) -> None:
    server = await asyncio.start_server(answer, NODE, 8080)
    async with api_server(directory) as config, Api(config) as api:
        health = Health()
        async with running(run(api, ProxyConfig("node1", mode), health), health):
            assert await outcome(WEB, 80, SILENCE) == "TimeoutError"  # no Service has the address
            await api.create(SERVICES, WEB_SERVICE, "default")
            await leads(WEB, 80, "ConnectionRefusedError")
            piece = await api.create(ENDPOINTSLICES, web_slice(True), "default")
            await leads(WEB, 80, "hello")
            await api.create(
                NODES,
                Node(
                    metadata=ObjectMeta(name="node1"),
                    status=NodeStatus(addresses=(NodeAddress(type="InternalIP", address=NODE),)),
                ),
            )
            node = await api.get(NODES, "node1")
            if node.status is None or not node.status.addresses:
                status = NodeStatus(addresses=(NodeAddress(type="InternalIP", address=NODE),))
                await api.replace(NODES, msgspec.structs.replace(node, status=status), subresource="status")
            await leads(NODE, 30080, "hello")
            changed = web_slice(False)
            changed = msgspec.structs.replace(changed, metadata=piece.metadata)
            piece = await api.replace(ENDPOINTSLICES, changed)
            await leads(WEB, 80, "ConnectionRefusedError")
            await api.replace(
                ENDPOINTSLICES, msgspec.structs.replace(web_slice(True), metadata=piece.metadata)
            )
            await leads(WEB, 80, "hello")
            libnftables.run("flush ruleset\n")
            await leads(WEB, 80, "hello")
        # The proxy is gone, its rules stay; the next one takes them over.
        assert await outcome(WEB) == "hello"
        health = Health()
        counting = ProxyConfig("node1", mode, traffic=Counted.CONNECTIONS)
        async with running(run(api, counting, health), health):
            assert await outcome(WEB) == "hello"
            assert TRACES[mode] in libnftables.run("list ruleset\n")
            assert await outcome(NODE, 30080) == "hello"
            assert COUNTED in generate_latest().decode()
        assert traffic.TABLE in libnftables.run("list tables\n")
        # Then one in another mode, which removes what it found.
        other = "iptables" if mode == "nftables" else "nftables"
        health = Health()
        async with running(run(api, ProxyConfig("node1", other), health), health):
            assert await outcome(WEB) == "hello"
            assert TRACES[other] in libnftables.run("list ruleset\n")
            assert TRACES[mode] not in libnftables.run("list ruleset\n")
            assert traffic.TABLE not in libnftables.run("list tables\n")
            await api.delete(SERVICES, "web", "default")
            await leads(WEB, 80, "TimeoutError")
    cleanup()
    assert not [trace for trace in TRACES.values() if trace in libnftables.run("list ruleset\n")]
    cleanup()
    server.close()


async def leads(address: str, port: int, wanted: str) -> None:
    """Waits until connecting there leads to it.

    A connection keeps what it met at first, so a silent one is given up for another: after twice as long as the one
    before, for on a slow machine the right answer takes its time.
    """
    patience = SILENCE
    async with asyncio.timeout(LIMIT):
        while (became := await outcome(address, port, patience)) != wanted:
            if became == "TimeoutError":
                patience *= 2
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("mode", TRACES)
def test_the_kernel_follows_the_api(tmp_path: Path, mode: str) -> None:
    in_a_node(lambda directory: follow(directory, mode), tmp_path)


async def wait_for_api(directory: Path) -> None:
    async with api_server(directory) as config:
        pass
    health = Health()
    async with Api(config) as api:  # nobody answers there any more
        task = asyncio.create_task(run(api, ProxyConfig("node1"), health))
        await asyncio.sleep(0)
        assert health.report(readiness=True) == (False, "nftables: no rules in the kernel yet\n")
        assert health.report(readiness=False)[0]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_not_ready_before_the_first_transaction(tmp_path: Path) -> None:
    in_a_node(wait_for_api, tmp_path)


NODE_WITH_PODS = Node(spec=NodeSpec(podCIDR="10.244.3.0/24", podCIDRs=("10.244.3.0/24", "fd00:244:3::/64")))


@pytest.mark.parametrize(
    ("config", "node", "found"),
    [
        pytest.param({}, None, LocalPods(("10.244.0.0/16",)), id="ClusterCIDR"),
        pytest.param({"detect_local_mode": "NodeCIDR"}, None, None, id="NodeCIDR, no Node yet"),
        pytest.param({"detect_local_mode": "NodeCIDR"}, Node(), None, id="NodeCIDR, not given out yet"),
        pytest.param(
            {"detect_local_mode": "NodeCIDR"},
            NODE_WITH_PODS,
            LocalPods(("10.244.3.0/24", "fd00:244:3::/64")),
            id="NodeCIDR",
        ),
        pytest.param(
            {"detect_local_mode": "BridgeInterface", "pod_bridge_interface": "cni0"},
            None,
            LocalPods(interface="cni0"),
            id="BridgeInterface",
        ),
        pytest.param(
            {"detect_local_mode": "InterfaceNamePrefix", "pod_interface_name_prefix": "veth"},
            None,
            LocalPods(interface="veth*"),
            id="InterfaceNamePrefix",
        ),
    ],
)
def test_how_the_nodes_pods_are_told(
    config: dict[str, str], node: Node | None, found: LocalPods | None
) -> None:
    assert ProxyConfig("node1", **config).local_pods(node) == found  # type: ignore[arg-type]


async def refused_at_first(directory: Path) -> None:
    """The rules of the mode before stay until those of this one are there, however often that is tried."""
    rebuild, met = Nftables.rebuild, []

    def refused(self: Nftables, everything: Everything) -> None:
        met.append("KUBE-SERVICES" in libnftables.run("list ruleset\n"))
        if len(met) == 1:
            raise Refused("not yet")
        rebuild(self, everything)

    Nftables.rebuild = refused  # type: ignore[method-assign] # this process ends with the test
    libnftables.run("table ip nat { chain KUBE-SERVICES { }\n }\n")
    async with api_server(directory) as reached, Api(reached) as api:
        health = Health()
        async with running(run(api, ProxyConfig("node1"), health), health):
            assert met == [True, True]
            assert "KUBE-SERVICES" not in libnftables.run("list ruleset\n")
    cleanup()


def test_the_mode_before_serves_until_this_one_does(tmp_path: Path) -> None:
    in_a_node(refused_at_first, tmp_path)


async def wait_for_pod_cidrs(directory: Path) -> None:
    async with api_server(directory) as reached, Api(reached) as api:
        health = Health()
        config = ProxyConfig("node1", families=(IPV6,), detect_local_mode="NodeCIDR")
        task = asyncio.create_task(run(api, config, health))

        async def waits() -> bool:
            return "the Node node1 has no podCIDRs yet" in health.report(readiness=True)[1]

        await until(waits)
        await api.create(NODES, Node(metadata=ObjectMeta(name="node1"), spec=NODE_WITH_PODS.spec))
        await asyncio.wait_for(health.ready(), LIMIT)
        assert "fd00:244:3::/64" in libnftables.run("list table ip6 fairlead\n")
        assert "table ip fairlead" not in libnftables.run("list tables\n")
        # One that is made anew with others: what starts the proxy again has it take them up.
        await api.delete(NODES, "node1")
        await api.create(
            NODES, Node(metadata=ObjectMeta(name="node1"), spec=NodeSpec(podCIDR="10.244.9.0/24"))
        )
        with pytest.raises(ExceptionGroup) as ended:
            await asyncio.wait_for(task, LIMIT)
        assert "the Node node1 has other podCIDRs than 10.244.3.0/24" in str(ended.value.exceptions[0])
    cleanup()


def test_node_cidr_waits_for_the_node(tmp_path: Path) -> None:
    in_a_node(wait_for_pod_cidrs, tmp_path)
