"""Any history of Services and slices ends in the same kernel as a cold start with what is left."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.node import namespaces
from fairlead.objects.core_v1 import (
    ClientIPConfig,
    LoadBalancerIngress,
    LoadBalancerStatus,
    Service,
    ServicePort,
    ServiceSpec,
    ServiceStatus,
    SessionAffinityConfig,
)
from fairlead.objects.discovery_v1 import EndpointConditions, EndpointHints, EndpointPort, ForZone
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.proxy.detection import LocalPods
from fairlead.proxy.family import IPV4, IPV6, Family
from fairlead.proxy.ledger import Ledger
from fairlead.proxy.nftables import Nftables, cleanup
from fairlead.proxy.nftables.difference import split
from fairlead.proxy.options import ProxyOptions
from fairlead.proxy.resources import SERVICE_NAME, Endpoint, EndpointSlice
from fairlead.proxy.selection import Node
from tests.proxy.topology import namespace, root

pytestmark = root

NAMES = ("a", "b", "c")
OURS = {IPV4: (b"\xc0\xa8\x01\x0a", b"\xc0\xa8\x02\x0a"), IPV6: (b"\xfd" + bytes(14) + b"\x0a",)}
"""The node's addresses, which may come and go."""
# A second one reads the table beside the one that keeps it.
OPTIONS = ProxyOptions(LocalPods(("10.244.0.0/16", "fd00:244::/32")), own_table=False)


def made(family: Family) -> Nftables:
    dataplane = Nftables(OPTIONS, family)
    dataplane.node_changed(OURS[family][:1])
    return dataplane


def address(family: Family, network: str, number: int) -> str:
    return f"{network}.0.{number}" if family is IPV4 else f"fd00:{network.replace('.', ':')}::{number:x}"


@dataclass(frozen=True)
class Wish:
    """What a Service is made of."""

    internal: str = "Cluster"
    external: str = "Cluster"
    node_port: int = 0
    ports: int = 1
    affinity: int = 0
    external_ip: int = 0
    balanced: int = 0
    sources: tuple[str, ...] = ()
    second_ip: bool = False


def service(family: Family, name: str, wish: Wish) -> Service:
    number = NAMES.index(name) + 1
    own = [
        address(family, "10.96", number),
        *([address(family, "10.96", number + 100)] if wish.second_ip else []),
    ]
    kind = "LoadBalancer" if wish.balanced else "NodePort" if wish.node_port else "ClusterIP"
    ingress = (LoadBalancerIngress(ip=address(family, "203.0", wish.balanced)),) if wish.balanced else ()
    return Service(
        metadata=ObjectMeta(name=name, namespace="default"),
        spec=ServiceSpec(
            type=kind,
            clusterIP=own[0],
            clusterIPs=tuple(own),
            internalTrafficPolicy=wish.internal,
            externalTrafficPolicy=wish.external,
            externalIPs=(address(family, "198.51", wish.external_ip),) if wish.external_ip else (),
            loadBalancerSourceRanges=wish.sources,
            sessionAffinity="ClientIP" if wish.affinity else "None",
            sessionAffinityConfig=SessionAffinityConfig(clientIP=ClientIPConfig(timeoutSeconds=wish.affinity))
            if wish.affinity
            else None,
            ports=tuple(
                ServicePort(
                    name=f"p{n}",
                    port=80 + n,
                    protocol=("TCP", "UDP")[n],
                    nodePort=wish.node_port and wish.node_port + n,
                )
                for n in range(wish.ports)
            ),
        ),
        status=ServiceStatus(loadBalancer=LoadBalancerStatus(ingress=ingress)),
    )


@dataclass(frozen=True)
class One:
    """An endpoint: its number, its conditions, the zone that a hint gives it to."""

    number: int
    ready: bool
    draining: bool = False
    hint: str = ""


def piece(family: Family, name: str, suffix: str, endpoints: list[One]) -> EndpointSlice:
    return EndpointSlice(
        metadata=ObjectMeta(
            name=f"{name}-{suffix}", namespace="default", labels={SERVICE_NAME: name} if name else {}
        ),
        addressType=family.address_type,
        endpoints=tuple(
            Endpoint(
                addresses=(address(family, "10.244", one.number),),
                nodeName="here" if one.number % 3 == 0 else "there",
                conditions=EndpointConditions(
                    ready=one.ready, serving=one.draining, terminating=one.draining
                ),
                hints=EndpointHints(forZones=(ForZone(name=one.hint),)) if one.hint else None,
            )
            for one in endpoints
        ),
        ports=tuple(EndpointPort(name=f"p{n}", port=8080 + n, protocol=("TCP", "UDP")[n]) for n in range(2)),
    )


policies = st.sampled_from(["Cluster", "Local"])
names = st.sampled_from(NAMES)
RANGES = (
    "10.0.0.0/8",
    " 192.0.2.0/24",
    "192.0.2.128/25",
    "0.0.0.0/0",
    "fd00::/8",
    "2001:db8::/32",
    "nonsense",
)
wishes = st.builds(
    Wish,
    policies,
    policies,
    # Two Services may ask for one node port or address, which the API allows of some, and an order of events may show.
    st.sampled_from([0, 30000]),
    st.integers(1, 2),
    st.sampled_from([0, 0, 60, 10800]),
    st.sampled_from([0, 0, 7, 8]),
    st.sampled_from([0, 0, 7, 9]),
    st.lists(st.sampled_from(RANGES), max_size=3).map(tuple),
    st.booleans(),
)
services = st.tuples(names, wishes)
slices = st.tuples(
    st.sampled_from(["x", "y", "z"]),
    st.sampled_from(["", *NAMES]),
    st.lists(
        st.builds(
            One, st.integers(2, 9), st.booleans(), st.booleans(), st.sampled_from(["", "east", "west"])
        ),
        max_size=6,
    ),
)
gone = st.sampled_from([*(f"default/{name}" for name in NAMES), *(f"default/{s}" for s in "xyz")])
addresses = st.integers(0, 2)
turns = st.lists(st.lists(services | slices | gone | addresses, min_size=1, max_size=4), max_size=10)


@dataclass
class World:
    """What the API holds, and how a proxy is told of it."""

    family: Family
    services: dict[str, Service] = field(default_factory=dict)
    slices: dict[str, EndpointSlice] = field(default_factory=dict)
    addresses: tuple[bytes, ...] = ()

    def change(self, ledger: Ledger, dataplane: Nftables, step: object) -> None:
        match step:
            case int():
                self.addresses = OURS[self.family][:step]
                dataplane.node_changed(self.addresses)
            case (str(name), Wish() as wish):
                one = self.services[f"default/{name}"] = service(self.family, name, wish)
                ledger.service_changed(f"default/{name}", one)
            case (str(suffix), str(name), list(endpoints)):
                key, new = f"default/{suffix}", piece(self.family, name, suffix, endpoints)
                ledger.slice_changed(key, self.slices.get(key), new)
                self.slices[key] = new
            case str(key) if key in self.services:
                del self.services[key]
                ledger.service_changed(key, None)
            case str(key) if key in self.slices:
                ledger.slice_changed(key, self.slices.pop(key), None)

    def ledger(self) -> Ledger:
        """That of a proxy that starts now."""
        made = Ledger(Node("here", zone="east"), self.family)
        for key, one in self.services.items():
            made.service_changed(key, one)
        for key, other in self.slices.items():
            made.slice_changed(key, None, other)
        return made


def content(dataplane: Nftables) -> tuple[object, ...]:
    """The kernel as it is read, without the order of slots."""
    reader = Nftables(OPTIONS, dataplane.family)
    reader.adopt()
    assert reader.applied == dataplane.applied
    reader.close()
    applied = dataplane.applied
    slots = {name: frozenset(split(held, dataplane.family)) for name, held in applied.slots.items()}
    return applied.ways, slots, applied.sticky, applied.members


@pytest.fixture(scope="module")
def network() -> Iterator[int]:
    made = namespace()
    yield made
    os.close(made)


@pytest.mark.parametrize("family", [IPV4, IPV6], ids=["IPv4", "IPv6"])
@given(history=turns, restarts=st.sets(st.integers(0, 9), max_size=2), small=st.booleans())
@settings(max_examples=60)
def test_every_history_ends_as_a_cold_start(
    network: int, family: Family, history: list[list[object]], restarts: set[int], small: bool
) -> None:
    """Restarts in between find everything as it is; `small` makes a batch of every step, as in a user namespace."""
    with namespaces.entered(network):
        world = World(family, addresses=OURS[family][:1])
        ledger, dataplane = world.ledger(), made(family)
        dataplane.rebuild(ledger.everything)
        for number, turn in enumerate(history):
            if small:
                dataplane._link.limit = 1
            for step in turn:
                world.change(ledger, dataplane, step)
            dataplane.commit(ledger.changes())
            assert not dataplane.harmed()
            assert not dataplane._watch.incomplete(dataplane.applied, dataplane._endpoints)
            if number in restarts:
                dataplane.close()
                ledger, dataplane = world.ledger(), Nftables(OPTIONS, family)
                dataplane.node_changed(world.addresses)
                dataplane.rebuild(ledger.everything)
                assert not dataplane.last
        incremental = content(dataplane)
        dataplane.close()
        cleanup(family)
        dataplane = Nftables(OPTIONS, family)
        dataplane.node_changed(world.addresses)
        dataplane.rebuild(world.ledger().everything)
        assert content(dataplane) == incremental
        dataplane.close()
        cleanup(family)
