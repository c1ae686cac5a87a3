"""The controller against a real API server: addresses in the status, finalizers, Events, and what a restart keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fairlead.client.api import Api
from fairlead.loadbalancer import controller
from fairlead.loadbalancer.config import LoadBalancerConfig, parse_pool, read
from fairlead.loadbalancer.controller import CONDITION, FINALIZER
from fairlead.loadbalancer.requests import ADDRESSES, CLASS, SHARING
from fairlead.objects.core_v1 import Service, ServicePort, ServiceSpec
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.resources import EVENTS, SERVICES
from fairlead.objects.status import StatusError
from fairlead.process import Health
from tests.client.cluster import eventually, with_server

POOL = "192.0.2.1-192.0.2.3"


def scenario(test: Callable[[Api, Running], Awaitable[None]], pools: str = POOL) -> None:
    """Runs a test with an API server and the controller."""

    async def started(api: Api) -> None:
        running = Running(api, pools)
        await running.start()
        try:
            await test(api, running)
        finally:
            await running.stop()

    with_server(started)


class Running:
    """The controller, which a test may stop and start."""

    def __init__(self, api: Api, pools: str) -> None:
        self._api = api
        self.config = LoadBalancerConfig((parse_pool(pools),))
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        health = Health()
        self._task = asyncio.create_task(controller.run(self._api, self.config, health))
        await asyncio.wait_for(health.ready(), 10)

    async def stop(self) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def make(api: Api, name: str, annotations: dict[str, str] | None = None, **spec: Any) -> Service:
    return await api.create(
        SERVICES,
        Service(
            metadata=ObjectMeta(name=name, namespace="default", annotations=annotations or {}),
            spec=ServiceSpec(
                **{
                    "type": "LoadBalancer",
                    "ports": (ServicePort(port=80, protocol="TCP"),),
                    "selector": {"app": name},
                    **spec,
                }
            ),
        ),
    )


async def now(api: Api, name: str) -> Service:
    return await api.get(SERVICES, name, "default")


async def addresses(api: Api, name: str) -> list[str]:
    return [each.ip for each in (await now(api, name)).status.loadBalancer.ingress]


async def has(api: Api, name: str, *expected: str) -> None:
    async def so() -> bool:
        return await addresses(api, name) == list(expected)

    await eventually(so, f"{name} has {expected}")


async def says(api: Api, name: str, status: str, reason: str) -> None:
    async def so() -> bool:
        conditions = (await now(api, name)).status.conditions
        return [(c.status, c.reason) for c in conditions if c.type == CONDITION] == [(status, reason)]

    await eventually(so, f"{name} says {status} {reason}")


async def told(api: Api, name: str, message: str) -> None:
    async def so() -> bool:
        events = (await api.list(EVENTS, "default")).items
        return message in [e.message for e in events if e.involvedObject.name == name]

    await eventually(so, f"an Event says {message}")


def test_a_service_gets_an_address_and_gives_it_back() -> None:
    async def test(api: Api, _: Running) -> None:
        await make(api, "web")
        await has(api, "web", "192.0.2.1")
        await says(api, "web", "True", "Allocated")
        await told(api, "web", "Assigned IP 192.0.2.1 of pool default")
        service = await now(api, "web")
        assert service.metadata.finalizers == (FINALIZER,)
        assert [i.ipMode for i in service.status.loadBalancer.ingress] == ["VIP"]
        await api.delete(SERVICES, "web", "default")

        async def gone() -> bool:
            try:
                await now(api, "web")
            except StatusError as error:
                return error.code == 404
            return False

        await eventually(gone, "it is gone")
        await make(api, "next")
        await has(api, "next", "192.0.2.1")

    scenario(test)


def test_one_that_is_none_any_more_is_let_go() -> None:
    async def test(api: Api, _: Running) -> None:
        await make(api, "web")
        await has(api, "web", "192.0.2.1")
        await api.patch(SERVICES, "web", "default", {"spec": {"type": "ClusterIP"}})

        async def free() -> bool:
            return not (await now(api, "web")).metadata.finalizers

        await eventually(free, "it is let go")
        assert await addresses(api, "web") == []
        await make(api, "next")
        await has(api, "next", "192.0.2.1")

    scenario(test)


def test_who_got_none_gets_the_first_that_is_given_back() -> None:
    async def test(api: Api, _: Running) -> None:
        for name in ("a", "b", "c", "d"):
            await make(api, name)
            if name != "d":
                await says(api, name, "True", "Allocated")
        await says(api, "d", "False", "PoolExhausted")
        await told(api, "d", "Failed to allocate IP for 'default/d': no free address of IPv4 in default")
        assert await addresses(api, "d") == []
        await api.delete(SERVICES, "b", "default")
        await has(api, "d", "192.0.2.2")
        await says(api, "d", "True", "Allocated")

    scenario(test)


def test_nothing_moves_on_a_restart() -> None:
    async def test(api: Api, running: Running) -> None:
        await make(api, "z", {ADDRESSES: "192.0.2.3"})
        await make(api, "y")
        await has(api, "z", "192.0.2.3")
        await has(api, "y", "192.0.2.1")
        await running.stop()
        # Meanwhile another one comes, an older one goes, and the pool changes.
        await make(api, "a")
        running.config = LoadBalancerConfig((parse_pool("192.0.2.3-192.0.2.9"),))
        await running.start()
        await has(api, "a", "192.0.2.4")
        await says(api, "y", "True", "AllocatedWithNote")
        await has(api, "y", "192.0.2.1")
        await has(api, "z", "192.0.2.3")

    scenario(test)


def test_classes_of_others_are_left_alone() -> None:
    async def test(api: Api, running: Running) -> None:
        await make(api, "theirs", loadBalancerClass="example.com/other")
        await make(api, "ours", loadBalancerClass=CLASS)
        await make(api, "anyones")
        await has(api, "ours", "192.0.2.1")
        await has(api, "anyones", "192.0.2.2")
        theirs = await now(api, "theirs")
        assert (theirs.metadata.finalizers, theirs.status.loadBalancer.ingress) == ((), ())
        await running.stop()
        running.config = LoadBalancerConfig(running.config.pools, default=False)
        await running.start()
        await make(api, "late")
        await make(api, "later", loadBalancerClass=CLASS)
        await has(api, "later", "192.0.2.2")
        assert await addresses(api, "late") == []

    scenario(test)


def test_what_a_service_asks_for_can_change() -> None:
    async def test(api: Api, _: Running) -> None:
        await make(api, "web")
        await has(api, "web", "192.0.2.1")
        await api.patch(SERVICES, "web", "default", {"spec": {"loadBalancerIP": "192.0.2.3"}})
        await has(api, "web", "192.0.2.3")
        await make(api, "other")
        await has(api, "other", "192.0.2.1")
        await api.patch(SERVICES, "web", "default", {"spec": {"loadBalancerIP": "192.0.2.1"}})
        await says(api, "web", "False", "AddressInUse")
        await has(api, "web")
        await api.patch(SERVICES, "web", "default", {"metadata": {"annotations": {ADDRESSES: "nonsense"}}})
        await says(api, "web", "False", "InvalidRequest")

    scenario(test)


def test_an_address_is_shared_by_those_who_want_to() -> None:
    async def test(api: Api, _: Running) -> None:
        tls = (ServicePort(port=443, protocol="TCP"),)
        await make(api, "a", {SHARING: "front"})
        await has(api, "a", "192.0.2.1")
        await make(api, "b", {SHARING: "front"}, ports=tls)
        await has(api, "b", "192.0.2.1")
        await make(api, "c", {SHARING: "front"}, ports=tls)
        await has(api, "c", "192.0.2.2")
        await api.delete(SERVICES, "a", "default")
        await make(api, "d")
        await has(api, "d", "192.0.2.3")

    scenario(test)


def test_both_families() -> None:
    async def test(api: Api, _: Running) -> None:
        await make(api, "both", ipFamilyPolicy="RequireDualStack")
        await has(api, "both", "192.0.2.0", "2001:db8::")
        await make(api, "six", ipFamilies=("IPv6",))
        await has(api, "six", "2001:db8::1")

    scenario(test, "192.0.2.0/30,2001:db8::/126")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pools: [{name: a, addresses: [10.0.0.0/33]}]", "pool 'a': '10.0.0.0/33' is neither a network"),
        ("pools: [{name: a, addresses: []}]", "pool 'a': a pool needs addresses"),
        ("pools: [{name: a}]", "missing required field `addresses` - at `$.pools[0]`"),
        ("pools: [{name: a, addresses: [10.0.0.1], x: 1}]", "unknown field `x` - at `$.pools[0]`"),
        (
            "pools: [{name: a, addresses: [10.0.0.0/24]}, {name: a, addresses: [10.0.1.0/24]}]",
            "two pools are called 'a'",
        ),
        (
            "pools: [{name: a, addresses: [10.0.0.0/24]}, {name: b, addresses: [10.0.0.9-10.0.1.0]}]",
            "pool 'b': its addresses 10.0.0.9-10.0.1.0 overlap with 10.0.0.0-10.0.0.255 of pool 'a'",
        ),
        ("pools: [", "while parsing a flow node"),
    ],
)
def test_files_that_are_wrong(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "pools.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=str(path)) as caught:
        read(path)
    assert said in str(caught.value)


def test_pools_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "pools.yaml"
    path.write_text("""
pools:
- name: public
  addresses: [203.0.113.0/25, "2001:db8::/64"]
  avoidBuggyIPs: true
- name: team
  addresses: [203.0.113.128/25]
  autoAssign: false
  serviceAllocation:
    priority: 1
    namespaces: [team]
    namespaceSelectors: [{matchLabels: {env: prod}}]
    serviceSelectors: [{matchExpressions: [{key: tier, operator: In, values: [gold]}]}]
""")
    public, team = read(path)
    assert (public.name, public.avoid_buggy, public.versions) == ("public", True, frozenset({4, 6}))
    assert team.admits("team", {}, {"tier": "gold"})
    assert team.admits("x", {"env": "prod"}, {"tier": "gold"})
    assert not team.admits("team", {}, {})
    assert not team.admits("x", {}, {"tier": "gold"})
    assert not team.auto_assign
