"""The controller against a real API server: addresses in the status, finalizers, Events, and what a restart keeps."""

from __future__ import annotations

from dataclasses import replace

from fairlead.loadbalancer.config import LoadBalancerConfig, parse_pool
from fairlead.loadbalancer.controller import FINALIZER
from fairlead.loadbalancer.requests import ADDRESSES, CLASS, SHARING
from fairlead.objects.core_v1 import ServicePort
from fairlead.objects.resources import SERVICES
from tests.client.cluster import eventually
from tests.loadbalancer.cluster import POOL, Cluster, scenario


def test_a_service_gets_an_address_and_gives_it_back() -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.make("web")
        await cluster.has("web", "192.0.2.1")
        await cluster.says("web", "True", "Allocated")
        await cluster.told("web", "Assigned IP 192.0.2.1 of pool default")
        service = await cluster.now("web")
        assert service.metadata.finalizers == (FINALIZER,)
        assert [i.ipMode for i in service.status.loadBalancer.ingress] == ["VIP"]
        await cluster.api.delete(SERVICES, "web", "default")
        await cluster.gone("web")
        await cluster.make("next")
        await cluster.has("next", "192.0.2.1")

    scenario(test, POOL)


def test_one_that_is_none_any_more_is_let_go() -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.make("web")
        await cluster.has("web", "192.0.2.1")
        await cluster.api.patch(SERVICES, "web", "default", {"spec": {"type": "ClusterIP"}})

        async def free() -> bool:
            return not (await cluster.now("web")).metadata.finalizers

        await eventually(free, "it is let go")
        assert await cluster.addresses("web") == []
        await cluster.make("next")
        await cluster.has("next", "192.0.2.1")

    scenario(test, POOL)


def test_who_got_none_gets_the_first_that_is_given_back() -> None:
    async def test(cluster: Cluster) -> None:
        for name in ("a", "b", "c", "d"):
            await cluster.make(name)
            if name != "d":
                await cluster.says(name, "True", "Allocated")
        await cluster.says("d", "False", "PoolExhausted")
        await cluster.told("d", "Failed to allocate IP for 'default/d': no free address of IPv4 in default")
        assert await cluster.addresses("d") == []
        await cluster.api.delete(SERVICES, "b", "default")
        await cluster.has("d", "192.0.2.2")
        await cluster.says("d", "True", "Allocated")

    scenario(test, POOL)


def test_nothing_moves_on_a_restart() -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.make("z", {ADDRESSES: "192.0.2.3"})
        await cluster.make("y")
        await cluster.has("z", "192.0.2.3")
        await cluster.has("y", "192.0.2.1")
        await cluster.stop()
        # Meanwhile another one comes, an older one goes, and the pool changes.
        await cluster.make("a")
        cluster.config = LoadBalancerConfig((parse_pool("192.0.2.3-192.0.2.9"),))
        await cluster.start()
        await cluster.has("a", "192.0.2.4")
        await cluster.says("y", "True", "AllocatedWithNote")
        await cluster.has("y", "192.0.2.1")
        await cluster.has("z", "192.0.2.3")

    scenario(test, POOL)


def test_classes_of_others_are_left_alone() -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.make("theirs", loadBalancerClass="example.com/other")
        await cluster.make("ours", loadBalancerClass=CLASS)
        await cluster.make("anyones")
        await cluster.has("ours", "192.0.2.1")
        await cluster.has("anyones", "192.0.2.2")
        theirs = await cluster.now("theirs")
        assert (theirs.metadata.finalizers, theirs.status.loadBalancer.ingress) == ((), ())
        await cluster.stop()
        cluster.config = replace(cluster.config, default=False)
        await cluster.start()
        await cluster.make("late")
        await cluster.make("later", loadBalancerClass=CLASS)
        await cluster.has("later", "192.0.2.2")
        assert await cluster.addresses("late") == []

    scenario(test, POOL)


def test_what_a_service_asks_for_can_change() -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.make("web")
        await cluster.has("web", "192.0.2.1")
        await cluster.api.patch(SERVICES, "web", "default", {"spec": {"loadBalancerIP": "192.0.2.3"}})
        await cluster.has("web", "192.0.2.3")
        await cluster.make("other")
        await cluster.has("other", "192.0.2.1")
        await cluster.api.patch(SERVICES, "web", "default", {"spec": {"loadBalancerIP": "192.0.2.1"}})
        await cluster.says("web", "False", "AddressInUse")
        await cluster.has("web")
        await cluster.api.patch(
            SERVICES, "web", "default", {"metadata": {"annotations": {ADDRESSES: "nonsense"}}}
        )
        await cluster.says("web", "False", "InvalidRequest")

    scenario(test, POOL)


def test_an_address_is_shared_by_those_who_want_to() -> None:
    async def test(cluster: Cluster) -> None:
        tls = (ServicePort(port=443, protocol="TCP"),)
        await cluster.make("a", {SHARING: "front"})
        await cluster.has("a", "192.0.2.1")
        await cluster.make("b", {SHARING: "front"}, ports=tls)
        await cluster.has("b", "192.0.2.1")
        await cluster.make("c", {SHARING: "front"}, ports=tls)
        await cluster.has("c", "192.0.2.2")
        await cluster.api.delete(SERVICES, "a", "default")
        await cluster.make("d")
        await cluster.has("d", "192.0.2.3")

    scenario(test, POOL)


def test_both_families() -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.make("both", ipFamilyPolicy="RequireDualStack")
        await cluster.has("both", "192.0.2.0", "2001:db8::")
        await cluster.make("six", ipFamilies=("IPv6",))
        await cluster.has("six", "2001:db8::1")

    scenario(test, "192.0.2.0/30,2001:db8::/126")
