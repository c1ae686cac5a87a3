"""Pools as custom resources: followed while they change, judged at the object, told on the Services."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from fairlead.loadbalancer.ipaddresspools import GROUP, METALLB, RESOURCES, definition
from fairlead.loadbalancer.requests import POOL
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.resources import CUSTOMRESOURCEDEFINITIONS, NAMESPACES, SERVICES
from fairlead.objects.status import StatusError
from tests.loadbalancer.cluster import Cluster, scenario


def metallbs() -> str:
    """MetalLB's definition, as far as it counts here."""
    document = yaml.safe_load(definition())
    document["metadata"]["name"] = f"ipaddresspools.{METALLB}"
    document["spec"] |= {"group": METALLB, "scope": "Namespaced"}
    version = document["spec"]["versions"][0]
    version["name"] = "v1beta1"
    del version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]["conditions"]
    return yaml.safe_dump(document)


def test_a_cluster_without_the_definition_waits_for_it() -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.make("web")
        await cluster.says("web", "False", "NoPools", "make an IPAddressPool")
        await cluster.define()
        await cluster.put_pool("lan", "192.0.2.1-192.0.2.2")
        # It is asked for at growing distances: seconds when the server has not had it for long.
        await cluster.has("web", "192.0.2.1")
        await cluster.told("web", "Assigned IP 192.0.2.1 of pool lan")
        await cluster.pool_says("lan", "Usable", "2 addresses of IPv4 can be given to Services")
        # The whole definition goes: nobody loses what he has.
        await cluster.api.delete(CUSTOMRESOURCEDEFINITIONS, f"ipaddresspools.{GROUP}")
        await cluster.says("web", "True", "AllocatedWithNote", "kept until it is given up")
        await cluster.has("web", "192.0.2.1")

    scenario(test)


def test_counts_follow_the_services() -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.define()
        await cluster.put_pool("lan", "192.0.2.0/29", "2001:db8::/64", avoidBuggyIPs=True)
        await cluster.pool_counts("lan", 0, 7, 0, 2**63 - 1)
        await cluster.make("one", ipFamilyPolicy="RequireDualStack")
        await cluster.make("two")
        await cluster.has("one", "192.0.2.1", "2001:db8::")
        await cluster.pool_counts("lan", 2, 5, 1)
        await cluster.restart()
        await cluster.api.delete(SERVICES, "two", "default")
        await cluster.pool_counts("lan", 1, 6, 1)
        shown = await cluster.kubectl("get", "ipaddresspools")
        assert shown.split("\n")[1].split()[:7] == [
            "lan", "true", "true", '["192.0.2.0/29","2001:db8::/64"]', "1", "6", "True",
        ]  # fmt: skip

    scenario(test)


def test_who_waits_gets_what_a_change_of_the_pools_brings() -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.define()
        await cluster.put_pool("lan", "192.0.2.1")
        await cluster.make("a")
        await cluster.has("a", "192.0.2.1")
        await cluster.make("b")
        await cluster.says("b", "False", "PoolExhausted")
        await cluster.put_pool("lan", "192.0.2.1-192.0.2.2")
        await cluster.has("b", "192.0.2.2")
        await cluster.make("c", {POOL: "new"})
        await cluster.says("c", "False", "NoSuchPool", "there is no pool 'new'")
        await cluster.put_pool("new", "198.51.100.0/24", autoAssign=False)
        await cluster.has("c", "198.51.100.0")
        await cluster.has("a", "192.0.2.1")

    scenario(test)


def test_a_pool_that_goes_or_shrinks_under_its_services() -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.define()
        await cluster.put_pool("lan", "192.0.2.1-192.0.2.2")
        await cluster.make("a")
        await cluster.has("a", "192.0.2.1")
        await cluster.put_pool("lan", "192.0.2.2")
        await cluster.says("a", "True", "AllocatedWithNote", "192.0.2.1: in no pool any more")
        await cluster.make("b")
        await cluster.has("b", "192.0.2.2")
        await cluster.api.delete(RESOURCES[GROUP], "lan")
        await cluster.told("lan", "1 of its addresses is in use, until given up by the Services")
        await cluster.says("b", "True", "AllocatedWithNote", "192.0.2.2: in no pool any more")
        await cluster.restart()
        await cluster.make("c")
        await cluster.says("c", "False", "NoPools")
        await cluster.has("a", "192.0.2.1")
        await cluster.has("b", "192.0.2.2")
        # It comes back, and all is as it was.
        await cluster.put_pool("lan", "192.0.2.1-192.0.2.3")
        await cluster.says("a", "True", "Allocated", "192.0.2.1 of pool lan")
        await cluster.says("b", "True", "Allocated", "192.0.2.2 of pool lan")
        await cluster.told("a", "IP 192.0.2.1 is of pool lan")
        await cluster.has("c", "192.0.2.3")

    scenario(test)


def test_pools_that_cannot_be_used_say_why_and_leave_the_rest_alone() -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.define()
        await cluster.put_pool("good", "192.0.2.1")
        await cluster.make("a")
        await cluster.has("a", "192.0.2.1")
        await cluster.pool_counts("good", 1, 0)
        await cluster.put_pool("always", "192.0.2.0/24")
        await cluster.pool_says(
            "always",
            "Overlapping",
            "its addresses 192.0.2.0-192.0.2.255 overlap with 192.0.2.1-192.0.2.1 of pool 'good'",
        )
        await cluster.put_pool("back", "192.0.2.9-192.0.2.3")
        await cluster.pool_says("back", "Malformed", "'192.0.2.9-192.0.2.3' ends before it begins")
        await cluster.put_pool(
            "odd", "192.0.2.9", serviceAllocation={"serviceSelectors": [{"matchExpressions": [BAD]}]}
        )
        await cluster.pool_says("odd", "Malformed", "Sometimes")
        await cluster.told(
            "back", "not used, Services get no addresses of it: '192.0.2.9-192.0.2.3' ends before it begins"
        )
        await cluster.make("b")
        await cluster.says("b", "False", "PoolExhausted", "pool 'back' cannot be used: '192.0.2.9-192.0.2.3'")
        await cluster.make("c", {POOL: "always"})
        await cluster.says(
            "c", "False", "NoSuchPool", "pool 'always' cannot be used: its addresses 192.0.2.0"
        )
        assert await cluster.addresses("a") == ["192.0.2.1"]
        # The cause goes away.
        await cluster.api.delete(RESOURCES[GROUP], "good")
        await cluster.pool_says("always", "Usable")
        await cluster.told("always", "256 addresses of IPv4 can be given to Services")
        await cluster.has("b", "192.0.2.0")
        await cluster.has("c", "192.0.2.2")
        await cluster.says("a", "True", "Allocated", "192.0.2.1 of pool always")
        await cluster.put_pool("back", "192.0.3.3-192.0.3.9")
        await cluster.pool_says("back", "Usable")

    scenario(test)


BAD = {"key": "a", "operator": "Sometimes"}


def test_by_namespace_and_label() -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.define()
        await cluster.put_pool("all", "192.0.2.0/24")
        allocation = {"priority": 1, "namespaceSelectors": [{"matchLabels": {"env": "prod"}}]}
        await cluster.put_pool("prod", "198.51.100.0/24", serviceAllocation=allocation)
        allocation = {"serviceSelectors": [{"matchLabels": {"tier": "gold"}}]}
        await cluster.put_pool("gold", "203.0.113.0/24", serviceAllocation=allocation)
        await cluster.pool_says("gold", "Usable")
        await cluster.make("plain")
        await cluster.has("plain", "192.0.2.0")
        await cluster.make("golden", labels={"tier": "gold"})
        await cluster.has("golden", "203.0.113.0")
        await cluster.make("early", {POOL: "prod"})
        await cluster.says("early", "False", "NotAllowed")
        await cluster.api.patch(NAMESPACES, "default", "", {"metadata": {"labels": {"env": "prod"}}})
        await cluster.has("early", "198.51.100.0")
        await cluster.make("late", labels={"tier": "gold"})
        await cluster.has("late", "198.51.100.1")
        await cluster.has("plain", "192.0.2.0")

    scenario(test)


def test_metallbs_pools_count_where_they_are_asked_for() -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.define()
        await cluster.define(metallbs())
        await cluster.put_pool("theirs", "192.0.2.1-192.0.2.2", group=METALLB)
        await cluster.put_pool("ours", "198.51.100.1")
        await cluster.make("a", {"metallb.io/address-pool": "theirs"})
        await cluster.has("a", "192.0.2.1")
        await cluster.make("b", {"metallb.universe.tf/loadBalancerIPs": "198.51.100.1"})
        await cluster.has("b", "198.51.100.1")
        await cluster.pool_counts("theirs", 1, 1, group=METALLB)
        # The same name twice: the older object is the pool.
        await cluster.put_pool("theirs", "203.0.113.0/24")
        await cluster.pool_says("theirs", "NameTaken", "another pool is called 'theirs'")

    scenario(test, pool_groups=(GROUP, METALLB))


def test_configured_pools_come_before_those_of_the_api() -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.define()
        await cluster.put_pool("lan", "192.0.2.0/24")
        await cluster.pool_says("lan", "Overlapping", "of pool 'static'")
        await cluster.put_pool("static", "198.51.100.0/24")
        await cluster.pool_says("static", "NameTaken")
        await cluster.make("web")
        await cluster.has("web", "192.0.2.7")

    scenario(test, "static=192.0.2.7-192.0.2.8")


def test_a_restart_writes_and_tells_nothing() -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.define()
        await cluster.put_pool("lan", "192.0.2.1-192.0.2.2", "2001:db8::1")
        await cluster.put_pool("bad", "nothing")
        await cluster.pool_says("lan", "Usable")
        await cluster.pool_says("bad", "Malformed", "'nothing' is neither a network")
        await cluster.make("a")
        await cluster.make("b", ipFamilyPolicy="RequireDualStack")
        await cluster.says("a", "True", "Allocated")
        await cluster.says("b", "True", "Allocated")
        await cluster.make("c")
        await cluster.says("c", "False", "PoolExhausted")
        await cluster.make("d", {POOL: "bad"})
        await cluster.says("d", "False", "NoSuchPool")
        await cluster.pool_counts("lan", 2, 0, 1, 0)
        names = ("a", "b", "c", "d", "lan", "bad")
        await cluster.told_of(*names)  # the last thing that a decision brings
        await cluster.stop()
        await cluster.start()
        await cluster.stop()
        await cluster.start()
        # What it does after this, it has done with all that were there before.
        await cluster.make("last", {POOL: "bad"})
        await cluster.says("last", "False", "NoSuchPool")
        await cluster.told_of("last")
        for name in names:
            told = await cluster.events(name)
            assert len(told) == 1, told

        async def versions() -> list[str]:
            found = [(await cluster.now(name)).metadata.resourceVersion for name in ("a", "b", "c", "d")]
            return found + [(await cluster.pool(name)).metadata.resourceVersion for name in ("lan", "bad")]

        before = await versions()
        await cluster.restart()
        await cluster.make("very-last", {POOL: "bad"})
        await cluster.says("very-last", "False", "NoSuchPool")
        await cluster.told_of("very-last")
        assert await versions() == before

    scenario(test)


def test_the_definition_refuses_what_is_no_pool() -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.define()
        resource = RESOURCES[GROUP]
        wrong: tuple[dict[str, Any], ...] = (
            {},
            {"addresses": []},
            {"addresses": [1]},
            {"addresses": ["192.0.2.1"], "autoAssign": "y"},
        )
        for spec in wrong:
            made = resource.type(metadata=ObjectMeta(name="bad"), spec=spec)
            with pytest.raises(StatusError) as refused:
                await cluster.api.create(resource, made)
            assert refused.value.code == 422

    scenario(test)


def test_kubectl_tells_the_whole_story() -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.define()
        await cluster.make("web")
        await cluster.says("web", "False", "NoPools")
        await cluster.kubectl("apply", "-f", "-", text=MANIFEST)
        await cluster.has("web", "192.0.2.1")
        await cluster.kubectl("patch", "service", "web", "-p", '{"spec":{"loadBalancerIP":"192.0.2.3"}}')
        await cluster.has("web", "192.0.2.3")
        await cluster.kubectl("patch", "service", "web", "-p", '{"spec":{"loadBalancerIP":"192.0.2.99"}}')
        await cluster.says("web", "False", "AddressInNoPool")
        await cluster.kubectl("patch", "service", "web", "-p", '{"spec":{"loadBalancerIP":null}}')
        await cluster.has("web", "192.0.2.1")
        await cluster.kubectl("patch", "ipaddresspool", "lan", "--type", "merge", "-p", SHRUNK)
        await cluster.says("web", "True", "AllocatedWithNote")
        await cluster.kubectl("patch", "service", "web", "-p", '{"spec":{"type":"ClusterIP"}}')
        await cluster.told("web", "Released IP 192.0.2.1: the Service is of type ClusterIP now")
        story = await cluster.kubectl("describe", "service", "web")
        lines = story.partition("Events:")[2].splitlines()[3:]
        assert sorted(line.split()[1] for line in lines) == [
            "AddressKept",
            "AllocationFailed",
            "AllocationFailed",
            "IPAllocated",  # told twice in the same words, so once with a count
            "IPAllocated",
            "IPReleased",
        ], story
        for sentence in (
            "Failed to allocate IP for 'default/web': there are no address pools: make an IPAddressPool",
            "Assigned IP 192.0.2.1 of pool lan",
            "Assigned IP 192.0.2.3 of pool lan in place of 192.0.2.1",
            "192.0.2.99 is in no pool; it had 192.0.2.3",
            "192.0.2.1: in no pool any more that is for this Service; the address is kept until it is given up",
        ):
            assert sentence in story, story
        service = await cluster.now("web")
        assert service.metadata.finalizers == ()
        assert service.status.conditions == ()
        await cluster.pool_says("lan", "Usable", "1 address of IPv4")
        described = await cluster.kubectl("describe", "ipaddresspool", "lan")
        assert "1 address of IPv4 can be given to Services" in described

        await cluster.pool_counts("lan", 0, 1)

    scenario(test)


MANIFEST = """
apiVersion: fairlead.dev/v1
kind: IPAddressPool
metadata:
  name: lan
spec:
  addresses: [192.0.2.1-192.0.2.3]
"""
SHRUNK = '{"spec":{"addresses":["192.0.2.2"]}}'
