"""Any history of Services and slices ends in the same kernel as a cold start with what is left."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.node import namespaces
from fairlead.objects.core_v1 import Service, ServicePort, ServiceSpec
from fairlead.objects.discovery_v1 import EndpointConditions, EndpointPort
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.proxy.detection import LocalPods
from fairlead.proxy.ledger import Ledger
from fairlead.proxy.nftables import Nftables, cleanup
from fairlead.proxy.nftables.difference import split
from fairlead.proxy.options import ProxyOptions
from fairlead.proxy.resources import SERVICE_NAME, Endpoint, EndpointSlice
from fairlead.proxy.selection import Node
from tests.proxy.topology import namespace, root

pytestmark = root

NAMES = ("a", "b", "c")
ADDRESSES = {name: f"10.96.0.{number}" for number, name in enumerate(NAMES, 1)}
NODE = Node("here", (b"\xc0\xa8\x01\x0a",))


def made() -> Nftables:
    dataplane = Nftables(ProxyOptions(LocalPods(("10.244.0.0/16",))))
    dataplane.node_changed(NODE.addresses)
    return dataplane


def service(name: str, policy: str, node_port: int, ports: int) -> Service:
    return Service(
        metadata=ObjectMeta(name=name, namespace="default"),
        spec=ServiceSpec(
            type="NodePort" if node_port else "ClusterIP",
            clusterIP=ADDRESSES[name],
            internalTrafficPolicy=policy,
            externalTrafficPolicy=policy,
            ports=tuple(
                ServicePort(name=f"p{n}", port=80 + n, protocol="TCP", nodePort=node_port and node_port + n)
                for n in range(ports)
            ),
        ),
    )


def piece(name: str, suffix: str, endpoints: list[tuple[int, bool]]) -> EndpointSlice:
    return EndpointSlice(
        metadata=ObjectMeta(
            name=f"{name}-{suffix}", namespace="default", labels={SERVICE_NAME: name} if name else {}
        ),
        addressType="IPv4",
        endpoints=tuple(
            Endpoint(
                addresses=(f"10.244.1.{number}",),
                nodeName="here" if number % 3 == 0 else "there",
                conditions=EndpointConditions(ready=ready),
            )
            for number, ready in endpoints
        ),
        ports=tuple(EndpointPort(name=f"p{n}", port=8080 + n, protocol="TCP") for n in range(2)),
    )


names = st.sampled_from(NAMES)
services = st.builds(
    lambda name, *rest: (f"default/{name}", service(name, *rest)),
    names,
    st.sampled_from(["Cluster", "Local"]),
    # Two Services may ask for one node port, which the API does not allow, but an order of events may show.
    st.sampled_from([0, 30000]),
    st.integers(1, 2),
)
slices = st.builds(
    lambda suffix, name, endpoints: (f"default/{suffix}", piece(name, suffix, endpoints)),
    st.sampled_from(["x", "y", "z"]),
    st.sampled_from(["", *NAMES]),
    st.lists(st.tuples(st.integers(2, 9), st.booleans()), max_size=6),
)
gone = st.tuples(
    st.sampled_from([*(f"default/{name}" for name in NAMES), *(f"default/{s}" for s in "xyz")]), st.none()
)
turns = st.lists(st.lists(services | slices | gone, min_size=1, max_size=4), max_size=12)


@dataclass
class World:
    """What the API holds, and how a ledger is told of it."""

    services: dict[str, Service] = field(default_factory=dict)
    slices: dict[str, EndpointSlice] = field(default_factory=dict)

    def change(self, ledger: Ledger, key: str, obj: Service | EndpointSlice | None) -> None:
        if isinstance(obj, Service):
            self.services[key] = obj
            ledger.service_changed(key, obj)
        elif isinstance(obj, EndpointSlice):
            ledger.slice_changed(key, self.slices.get(key), obj)
            self.slices[key] = obj
        elif key in self.services:
            del self.services[key]
            ledger.service_changed(key, None)
        elif key in self.slices:
            ledger.slice_changed(key, self.slices.pop(key), None)


def content(dataplane: Nftables) -> tuple[object, ...]:
    """The kernel as it is read, without the order of slots."""
    reader = made()
    reader.adopt()
    assert reader.applied == dataplane.applied
    reader.close()
    applied = dataplane.applied
    slots = {name: frozenset(split(held)) for name, held in applied.slots.items()}
    return applied.ways, slots, applied.sticky, applied.members


@pytest.fixture(scope="module")
def network() -> Iterator[int]:
    made = namespace()
    yield made
    os.close(made)


@given(history=turns)
@settings(max_examples=60)
def test_every_history_ends_as_a_cold_start(network: int, history: list[list[tuple[str, object]]]) -> None:
    with namespaces.entered(network):
        world, ledger = World(), Ledger(NODE)
        dataplane = made()
        dataplane.rebuild(ledger.everything)
        for turn in history:
            for key, obj in turn:
                world.change(ledger, key, obj)  # type: ignore[arg-type]
            dataplane.commit(ledger.changes())
        incremental = content(dataplane)
        dataplane.close()
        cleanup()
        cold = Ledger(NODE)
        for key, one in world.services.items():
            cold.service_changed(key, one)
        for key, other in world.slices.items():
            cold.slice_changed(key, None, other)
        dataplane = made()
        dataplane.rebuild(cold.everything)
        assert content(dataplane) == incremental
        dataplane.close()
        cleanup()
