"""The controller against a real API server: addresses in the status, finalizers, Events, and what a restart keeps."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from fairlead.client.election import ElectionConfig, NotLeading
from fairlead.loadbalancer import controller
from fairlead.loadbalancer.config import LoadBalancerConfig, parse_pool
from fairlead.loadbalancer.requests import ADDRESSES, CLASS, SHARING
from fairlead.loadbalancer.servicewriter import FINALIZER
from fairlead.objects.core_v1 import Node, ServicePort
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.resources import LEASES, NODES, SERVICES
from fairlead.objects.status import StatusError
from fairlead.process import Health
from tests.client.cluster import eventually, running
from tests.loadbalancer.cluster import POOL, Cluster, scenario
from tests.waiting import LIMIT


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
        await cluster.told("web", "Released IP 192.0.2.1: the Service is deleted")
        await cluster.make("next")
        await cluster.has("next", "192.0.2.1")

    scenario(test, POOL)


def test_one_that_is_none_any_more_is_let_go() -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.make("web")
        await cluster.has("web", "192.0.2.1")
        await cluster.api.patch(SERVICES, "web", "default", {"spec": {"type": "ClusterIP"}})

        await cluster.told("web", "Released IP 192.0.2.1: the Service is of type ClusterIP now")
        assert (await cluster.now("web")).metadata.finalizers == ()
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
        # What was ours by default is let go, with all that we wrote.
        await cluster.told(
            "anyones", "Released IP 192.0.2.2: the Service has no class, and we are not the default"
        )
        anyones = await cluster.now("anyones")
        assert (anyones.metadata.finalizers, anyones.status.conditions) == ((), ())
        assert anyones.status.loadBalancer.ingress == ()
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
        await cluster.make("other", loadBalancerIP="192.0.2.1")
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


async def give(cluster: Cluster, name: str, *addresses: str) -> None:
    """Writes a Service's status as another provider would."""
    ingress = [{"ip": address} for address in addresses]
    patch = {"status": {"loadBalancer": {"ingress": ingress}}}
    await cluster.api.patch(SERVICES, name, "default", patch, subresource="status")


def test_what_another_provider_gave_is_given_to_nobody_else() -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.make("theirs", loadBalancerClass="example.com/other")
        await give(cluster, "theirs", "192.0.2.1")
        await cluster.make("ask", loadBalancerIP="192.0.2.1")
        await cluster.says("ask", "False", "AddressInUse", "192.0.2.1 is used by default/theirs")
        await cluster.restart()
        await cluster.make("web")
        await cluster.has("web", "192.0.2.2")
        await give(cluster, "theirs")
        await cluster.has("ask", "192.0.2.1")

    scenario(test, POOL)


def test_the_finalizer_of_another_provider_is_its_own() -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.make("theirs", loadBalancerClass="example.com/other")
        patch = {"metadata": {"finalizers": [FINALIZER]}, "spec": {"type": "ClusterIP"}}
        await cluster.api.patch(SERVICES, "theirs", "default", patch)
        await cluster.api.delete(SERVICES, "theirs", "default")
        # Decided after it, so that it has been looked at when this one is there.
        await cluster.make("web")
        await cluster.has("web", "192.0.2.1")
        assert (await cluster.now("theirs")).metadata.finalizers == (FINALIZER,)
        await cluster.api.patch(SERVICES, "theirs", "default", {"metadata": {"finalizers": None}})
        await cluster.gone("theirs")

    scenario(test, POOL)


def test_one_that_goes_over_to_another_class() -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.make("web")
        await cluster.has("web", "192.0.2.1")
        await cluster.told("web", "Assigned IP 192.0.2.1 of pool default")
        await cluster.stop()
        # While nobody looks: another provider has it already, with an address of its own.
        await cluster.api.patch(SERVICES, "web", "default", {"spec": {"type": "ClusterIP"}})
        patch = {"spec": {"type": "LoadBalancer", "loadBalancerClass": "example.com/other"}}
        await cluster.api.patch(SERVICES, "web", "default", patch)
        await give(cluster, "web", "198.51.100.9")
        await cluster.start()

        async def ours_is_gone() -> bool:
            return (await cluster.now("web")).status.conditions == ()

        await eventually(ours_is_gone, "our condition is gone")
        assert await cluster.addresses("web") == ["198.51.100.9"]
        assert (await cluster.now("web")).metadata.finalizers == (FINALIZER,)
        await cluster.make("next", loadBalancerIP="192.0.2.1")
        await cluster.has("next", "192.0.2.1")

    scenario(test, POOL)


def test_of_two_with_one_address_the_older_keeps_it() -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.stop()
        await cluster.make("a-older")
        await give(cluster, "a-older", "192.0.2.2")
        await cluster.make("b-younger")
        await give(cluster, "b-younger", "192.0.2.2")
        await cluster.start()
        await cluster.has("b-younger", "192.0.2.1")
        await cluster.told("b-younger", "Assigned IP 192.0.2.1 of pool default in place of 192.0.2.2")
        await cluster.says("a-older", "True", "Allocated")
        await cluster.has("a-older", "192.0.2.2")

    scenario(test, POOL)


def test_a_second_family_comes_when_it_can() -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.make("last", ipFamilies=("IPv6",))
        await cluster.has("last", "2001:db8::")
        await cluster.make("both", ipFamilyPolicy="PreferDualStack")
        await cluster.says("both", "True", "AllocatedWithNote", "pool 'default' has no free address of IPv6")
        await cluster.has("both", "192.0.2.0")
        await cluster.told(
            "both",
            "Assigned IP 192.0.2.0 of pool default; pool 'default' has no free address of IPv6",
        )
        await cluster.make("must", ipFamilyPolicy="RequireDualStack")
        await cluster.says("must", "False", "PoolExhausted", "no free address of IPv4 and IPv6")
        await cluster.api.delete(SERVICES, "last", "default")
        await cluster.has("both", "192.0.2.0", "2001:db8::")

    scenario(test, "192.0.2.0/30,2001:db8::/128")


def test_one_that_was_made_anew_under_its_name() -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.make("web")
        await cluster.has("web", "192.0.2.1")
        await cluster.told("web", "Assigned IP 192.0.2.1 of pool default")
        await cluster.stop()
        await cluster.api.delete(SERVICES, "web", "default")
        await cluster.api.patch(SERVICES, "web", "default", {"metadata": {"finalizers": None}})
        await cluster.make("web", loadBalancerIP="192.0.2.3")
        await cluster.start()
        await cluster.has("web", "192.0.2.3")
        await cluster.make("next")
        await cluster.has("next", "192.0.2.1")

    scenario(test, POOL)


def test_a_nodes_own_address_is_given_to_nobody() -> None:
    async def test(cluster: Cluster) -> None:
        node = Node(metadata=ObjectMeta(name="node1"))
        await cluster.api.create(NODES, node)

        async def lives_at(*addresses: str) -> None:
            listed = [{"type": "InternalIP", "address": address} for address in addresses]
            named = [{"type": "Hostname", "address": "node1"}]
            patch = {"status": {"addresses": named + listed}}
            await cluster.api.patch(NODES, "node1", "", patch, subresource="status")

        await lives_at("192.0.2.1")
        await cluster.make("ask", loadBalancerIP="192.0.2.1")
        await cluster.says("ask", "False", "AddressInUse", "192.0.2.1 is used by node node1")
        await cluster.restart()
        await cluster.make("web")
        await cluster.has("web", "192.0.2.2")
        # It takes a Service's address, too: that one gets another.
        await lives_at("192.0.2.1", "192.0.2.2")
        await cluster.has("web", "192.0.2.3")
        await cluster.api.delete(NODES, "node1")
        await cluster.has("ask", "192.0.2.1")
        await cluster.make("next")
        await cluster.has("next", "192.0.2.2")

    scenario(test, POOL)


def test_nothing_is_written_by_one_who_may_not_lead_any_more() -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.stop()
        leads = False
        asked = asyncio.Event()

        def check() -> None:
            asked.set()
            if not leads:
                raise NotLeading("somebody else may lead")

        health = Health()
        async with running(controller.run(cluster.limited, cluster.config, health, check), health):
            service = await cluster.make("web")
            await asyncio.wait_for(asked.wait(), LIMIT)
            assert (await cluster.now("web")).metadata.resourceVersion == service.metadata.resourceVersion
            leads = True
            await cluster.has("web", "192.0.2.1")
        await cluster.start()

    scenario(test, POOL)


def test_of_two_replicas_one_leads_and_the_other_takes_over() -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.stop()

        def replica(name: str) -> asyncio.Task[None]:
            election = ElectionConfig(
                "fairlead-loadbalancer",
                "kube-system",
                lease_duration=3 * LIMIT,  # what is taken over is what the first one released
                renew_deadline=2 * LIMIT,
                retry_period=0.05,
                identity=name,
            )
            work = controller.run_elected(cluster.limited, cluster.config, election, Health())
            return asyncio.create_task(work)

        async def leader() -> str:
            try:
                lease = await cluster.api.get(LEASES, "fairlead-loadbalancer", "kube-system")
            except StatusError:
                return ""
            return lease.spec.holderIdentity or ""

        async def leads(name: str) -> bool:
            return await leader() == name

        first = replica("first")
        await eventually(lambda: leads("first"), "the first leads")
        second = replica("second")
        await cluster.make("web")
        await cluster.has("web", "192.0.2.1")
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await cluster.make("next")
        await cluster.has("next", "192.0.2.2")
        await cluster.has("web", "192.0.2.1")
        assert await leader() == "second"
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        await cluster.start()

    scenario(test, POOL)
