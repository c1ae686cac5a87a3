"""Random histories of Services, several writers at a time: what is reserved is what they hold, nothing twice."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairlead.apiserver.allocation import ports_of
from fairlead.apiserver.bootstrap import bootstrap
from fairlead.apiserver.kinds import SERVICECIDRS, SERVICES
from fairlead.apiserver.registry import Registry
from fairlead.apiserver.reservations import Reservations
from fairlead.apiserver.servicecidrs import ServiceCIDRStrategy
from fairlead.apiserver.services import ServiceStrategy
from fairlead.objects.core_v1 import Service, ServicePort, ServiceSpec
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.status import StatusError
from fairlead.store import Store, open_store
from tests.apiserver import reserved
from tests.apiserver.serving import Client, service, with_server

AT = "/api/v1/namespaces/default/services"
FULL = "range is full"

port = st.fixed_dictionaries(
    {
        "name": st.sampled_from("ab"),
        "port": st.sampled_from([1, 2]),
        "protocol": st.sampled_from(["TCP", "UDP"]),
    },
    optional={"nodePort": st.sampled_from([0, 30001, 30002, 30003, 80])},
)
usual: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {},
        {"type": "ClusterIP"},
        {"type": "NodePort"},
        {"type": "LoadBalancer"},
        {"type": "LoadBalancer", "externalTrafficPolicy": "Local"},
        {"externalTrafficPolicy": "Cluster"},
        {"allocateLoadBalancerNodePorts": False},
        {"type": "ExternalName", "externalName": "db.example.com"},
        {"ipFamilyPolicy": "SingleStack"},
        {"ipFamilyPolicy": "PreferDualStack"},
        {"ipFamilyPolicy": "RequireDualStack"},
        {"clusterIP": "None"},
        {"clusterIP": "10.96.0.3"},
        {"clusterIP": "fd00::3"},
        {"ports": [{"name": "a", "port": 1}, {"name": "b", "port": 1, "protocol": "UDP"}]},
        {"ports": [{"name": "b", "port": 1}, {"name": "a", "port": 2}]},
        {"ports": [{"name": "a", "port": 1, "nodePort": 30001}]},
    ]
)
"""What people write: mostly accepted."""
odd = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["ClusterIP", "NodePort", "LoadBalancer", "Cluster"]),
        "ipFamilies": st.sampled_from([["IPv4"], ["IPv6"], ["IPv4", "IPv6"], ["IPv6", "IPv4"]]),
        "clusterIP": st.sampled_from(["", "10.96.0.4", "192.0.2.1"]),
        "externalTrafficPolicy": st.sampled_from(["Cluster", "Local"]),
        "healthCheckNodePort": st.sampled_from([30001, 30004]),
        "selector": st.just({"a": "b"}),
        "ports": st.lists(port, min_size=1, max_size=2),
    },
)
"""What nobody writes: mostly refused."""
spec = st.one_of(usual, st.tuples(usual, usual).map(lambda two: two[0] | two[1]), usual, odd)
step = st.tuples(
    st.sampled_from(["POST", "POST", "PUT", "PATCH", "PATCH", "DELETE"]), st.sampled_from("abcde"), spec
)
history = st.lists(st.lists(step, min_size=1, max_size=4), min_size=1, max_size=12)


async def act(client: Client, method: str, name: str, wanted: dict[str, Any]) -> None:
    """One request. It may be refused; it may not fail, but for want of room."""
    if method == "POST":
        status, answer = await client.ask("POST", AT, service(name, **wanted))
    elif method == "PUT":
        status, answer = await client.ask("PUT", f"{AT}/{name}", service(name, **wanted))
    elif method == "PATCH":
        status, answer = await client.patch(f"{AT}/{name}", {"spec": wanted})
    else:
        status, answer = await client.ask("DELETE", f"{AT}/{name}")
    refused = status == 500 and ("failed to allocate" in answer["message"])
    assert status < 500 or refused, answer


@settings(max_examples=80, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history)
def test_reserved_is_what_services_hold(steps: list[list[tuple[str, str, dict[str, Any]]]]) -> None:
    async def test(client: Client) -> None:
        for together in steps:
            await asyncio.gather(*(act(client, *one) for one in together))

    with tempfile.TemporaryDirectory() as folder:
        networks = ("10.96.0.0/29", "fd00::/125")
        with_server(Path(folder), test, service_cidrs=networks, node_port_range=(30000, 30008))
        reserved.check_file(Path(folder))


async def replica(store: Store, cidrs: tuple[str, ...]) -> tuple[Registry, asyncio.Future[None]]:
    """The part of an API server that writes Services, beside others on the same store."""
    view = Reservations(store, ports_of(30000, 32767))
    registry = Registry(store, {SERVICES: ServiceStrategy(cidrs, view), SERVICECIDRS: ServiceCIDRStrategy()})
    await view.load()
    return registry, asyncio.ensure_future(view.run())


def test_servers_that_share_a_store_give_nothing_twice(tmp_path: Path) -> None:
    cidrs = ("10.0.0.0/26",)

    async def main() -> None:
        async with await open_store(f"sqlite:{tmp_path / 'store.db'}") as store:
            replicas = [await replica(store, cidrs) for _ in range(3)]
            await asyncio.gather(*(bootstrap(registry, cidrs, None, 443) for registry, _ in replicas))

            async def create(i: int) -> str:
                spec = ServiceSpec(type="NodePort", ports=(ServicePort(port=80),))
                obj = Service(metadata=ObjectMeta(name=f"s{i}", namespace="default"), spec=spec)
                try:
                    await replicas[i % 3][0].create(SERVICES, "default", obj)
                except StatusError as error:
                    return error.status.message
                return ""

            said = await asyncio.gather(*(create(i) for i in range(90)))
            await reserved.check(store)
            assert said.count("") == 61, "62 addresses, one of them the API's own"
            assert all(message.endswith(FULL) for message in said if message)
            for _, following in replicas:
                following.cancel()

    uvloop.run(main())
