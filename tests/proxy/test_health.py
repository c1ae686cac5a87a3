"""What load balancers and operators ask a node's proxy over HTTP."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import aiohttp
import msgspec
import pytest

from fairlead.client.api import Api
from fairlead.objects.core_v1 import Node as ApiNode
from fairlead.objects.core_v1 import NodeSpec, Service, ServicePort, ServiceSpec, Taint
from fairlead.objects.discovery_v1 import EndpointConditions
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.resources import NODES
from fairlead.process import Health, listener
from fairlead.proxy import healthchecks
from fairlead.proxy.family import IPV4, IPV6
from fairlead.proxy.healthchecks import WEIGHT, HealthChecks, port_of, ready_here
from fairlead.proxy.healthserver import TO_BE_DELETED, eligible
from fairlead.proxy.ledger import Ledger
from fairlead.proxy.resources import SERVICE_NAME, Endpoint, EndpointSlice
from fairlead.proxy.selection import Node
from fairlead.proxy.server import ProxyConfig, run
from tests.client.cluster import api_server, running
from tests.proxy.test_server import in_a_node, until
from tests.proxy.topology import root

PORT, OTHER = 32000, 32001


def service(port: int = PORT, name: str = "web", **spec: object) -> Service:
    fields = {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": port, **spec}
    ports = (ServicePort(port=80, protocol="TCP", nodePort=30080),)
    return Service(
        metadata=ObjectMeta(name=name, namespace="default"),
        spec=ServiceSpec(clusterIP="10.96.0.1", ports=ports, **fields),  # type: ignore[arg-type]
    )


def endpoint(address: str, node: str = "here", ready: bool | None = True) -> Endpoint:
    return Endpoint(addresses=(address,), nodeName=node, conditions=EndpointConditions(ready=ready))


def piece(*endpoints: Endpoint, six: bool = False) -> EndpointSlice:
    return EndpointSlice(
        metadata=ObjectMeta(name="web-1", namespace="default", labels={SERVICE_NAME: "web"}),
        addressType="IPv6" if six else "IPv4",
        endpoints=endpoints,
    )


@pytest.mark.parametrize(
    ("pieces", "count"),
    [
        pytest.param([], 0, id="no slices"),
        pytest.param([piece(endpoint("1.1.1.1"), endpoint("1.1.1.2"))], 2, id="two here"),
        pytest.param([piece(endpoint("1.1.1.1"), endpoint("1.1.1.2", "there"))], 1, id="one elsewhere"),
        pytest.param([piece(endpoint("1.1.1.1")), piece(endpoint("1.1.1.1"))], 1, id="one address twice"),
        pytest.param([piece(endpoint("1.1.1.1", ready=False))], 0, id="not ready"),
        pytest.param([piece(endpoint("1.1.1.1", ready=None))], 1, id="says nothing of readiness"),
    ],
)
def test_distinct_ready_addresses_of_the_node_count(pieces: list[EndpointSlice], count: int) -> None:
    assert ready_here(pieces, "here") == count


@pytest.mark.parametrize(
    ("one", "port"),
    [
        (service(), PORT),
        (service(externalTrafficPolicy="Cluster"), 0),
        (service(type="NodePort"), 0),
        (None, 0),
    ],
)
def test_only_load_balancers_of_policy_local_are_checked(one: Service | None, port: int) -> None:
    assert port_of(one) == port


@pytest.mark.parametrize(
    ("node", "stays"),
    [
        pytest.param(None, True, id="not known yet"),
        pytest.param(ApiNode(metadata=ObjectMeta(name="n")), True, id="a node"),
        pytest.param(
            ApiNode(metadata=ObjectMeta(name="n", deletionTimestamp="2026-01-01T00:00:00Z")),
            False,
            id="deleted",
        ),
        pytest.param(ApiNode(spec=NodeSpec(taints=(Taint(key=TO_BE_DELETED),))), False, id="to be deleted"),
        pytest.param(ApiNode(spec=NodeSpec(taints=(Taint(key="other"),))), True, id="another taint"),
    ],
)
def test_a_node_that_goes_is_not_eligible(node: ApiNode | None, stays: bool) -> None:
    assert eligible(node) is stays


async def ask(port: int, path: str = "/", host: str = "127.0.0.1") -> tuple[int, str, str]:
    """Status, weight and body of an answer; status 0 where nobody listens."""
    try:
        async with aiohttp.ClientSession() as session, session.get(f"http://{host}:{port}{path}") as answer:
            return answer.status, answer.headers.get(WEIGHT, ""), await answer.text()
    except aiohttp.ClientConnectionError:  # also where the port is closed before it takes the connection up
        return 0, "", ""


async def _comes(port: int, status: int, weight: str = "") -> bool:
    return (await ask(port))[:2] == (status, weight)


async def service_checks(_: Path) -> None:
    healthchecks.RETRY = 0.05  # this process ends with the test
    healthy, told = [True], []
    checks = HealthChecks(lambda: healthy[0], lambda s, reason, text: told.append((s.metadata.name, reason)))
    task = asyncio.create_task(checks.run())
    four, six = Ledger(Node("here"), IPV4), Ledger(Node("here"), IPV6)

    def change(one: Service | None, *endpoints: Endpoint, also: Endpoint | None = None) -> None:
        for ledger in (four, six):
            ledger.service_changed("default/web", one)
        four.slice_changed("default/web-1", None, piece(*endpoints))
        six.slice_changed("default/web-6", None, piece(*([also] if also else []), six=True))
        for ledger in (four, six):
            checks.look(ledger, ["default/web"])

    change(service(), endpoint("1.1.1.1"), endpoint("1.1.1.2"), also=endpoint("fd00::1"))
    await until(lambda: _comes(PORT, 200, "2"))
    status, weight, text = await ask(PORT, "/any/path?at=all")
    assert (status, weight) == (200, "2")
    assert json.loads(text) == {
        "service": {"namespace": "default", "name": "web"},
        "localEndpoints": 2,
        "serviceProxyHealthy": True,
    }
    assert (await ask(PORT, host="[::1]"))[0] == 200
    healthy[0] = False
    assert (await ask(PORT))[:2] == (503, "2")
    healthy[0] = True
    change(service(), endpoint("1.1.1.1", "there"))
    assert (await ask(PORT))[:2] == (503, "0")
    # Another port, then one that is taken, then none.
    change(service(OTHER), endpoint("1.1.1.1"))
    await until(lambda: _comes(OTHER, 200, "1"))
    await until(lambda: _comes(PORT, 0))
    with socket.create_server(("", PORT)):
        change(service(PORT), endpoint("1.1.1.1"))
        await until(lambda: _told(told))
    # When it is free again it is taken, and what was wrong was told once.
    await until(lambda: _comes(PORT, 200, "1"))
    assert told == [("web", "FailedToStartServiceHealthcheck")]
    change(service(OTHER), endpoint("1.1.1.1"))
    await until(lambda: _comes(OTHER, 200, "1"))
    change(None)
    await until(lambda: _comes(OTHER, 0))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _told(told: list[tuple[str, str]]) -> bool:
    return bool(told)


@root
def test_health_checks_of_services(tmp_path: Path) -> None:
    in_a_node(service_checks, tmp_path)


async def proxy_health(directory: Path) -> None:
    healthz, metrics = listener("127.0.0.1", 10256), listener("127.0.0.1", 10249)
    config = ProxyConfig("node1", healthz=healthz, metrics=metrics, families=(IPV4, IPV6))
    async with api_server(directory) as reached, Api(reached) as api:
        node = await api.create(NODES, ApiNode(metadata=ObjectMeta(name="node1")))
        health = Health()
        async with running(run(api, config, health), health):
            status, _, text = await ask(10256, "/healthz")
            assert status == 200
            assert set(json.loads(text)) == {"lastUpdated", "currentTime", "nodeEligible"}
            assert json.loads(text)["nodeEligible"] is True
            assert (await ask(10249, "/proxyMode"))[2] == "nftables"
            _, _, text = await ask(10249, "/metrics")
            for family in ("IPv4", "IPv6"):
                assert f'kubeproxy_sync_proxy_rules_duration_seconds_count{{ip_family="{family}"}}' in text
            taint = Taint(key=TO_BE_DELETED, effect="NoSchedule")
            node = await api.get(NODES, "node1")
            spec = msgspec.structs.replace(node.spec or NodeSpec(), taints=(taint,))
            await api.replace(NODES, msgspec.structs.replace(node, spec=spec))

            async def leaving() -> bool:
                return (await ask(10256, "/healthz"))[0] == 503

            await until(leaving)
            assert json.loads((await ask(10256, "/healthz"))[2])["nodeEligible"] is False
            assert (await ask(10256, "/livez"))[0] == 200
            health.fails("a part of it", "it does not work")
            assert (await ask(10256, "/livez"))[0] == 503


@root
def test_health_of_the_proxy(tmp_path: Path) -> None:
    in_a_node(proxy_health, tmp_path)
