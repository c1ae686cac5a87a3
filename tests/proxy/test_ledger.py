"""Which Services are looked at, and who has what two of them claim."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.objects.core_v1 import Service, ServicePort, ServiceSpec
from fairlead.objects.discovery_v1 import EndpointPort
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.proxy import selection as selection_module
from fairlead.proxy.family import IPV4, IPV6
from fairlead.proxy.ledger import Ledger
from fairlead.proxy.resources import SERVICE_NAME, Endpoint, EndpointSlice
from fairlead.proxy.selection import Node, Selection

NODE = Node("here", (b"\xc0\xa8\x01\x0a",), "east")
OUTER = "198.51.100.7"


def service(name: str, born: int = 1, node_port: int = 0, external: str = "", **spec: object) -> Service:
    return Service(
        metadata=ObjectMeta(
            name=name, namespace="default", creationTimestamp=f"2026-01-01T00:00:0{born}Z" if born else None
        ),
        spec=ServiceSpec(
            **{
                "type": "NodePort",
                "clusterIP": f"10.96.0.{ord(name[0])}",
                "externalIPs": (external,) if external else (),
                "ports": (ServicePort(port=80, protocol="TCP", nodePort=node_port),),
                **spec,
            }  # type: ignore[arg-type]
        ),
    )


def piece(name: str, *addresses: str, kind: str = "IPv4") -> EndpointSlice:
    return EndpointSlice(
        metadata=ObjectMeta(name=f"{name}-1", namespace="default", labels={SERVICE_NAME: name}),
        addressType=kind,
        endpoints=tuple(Endpoint(addresses=(address,)) for address in addresses),
        ports=(EndpointPort(name="", port=8080, protocol="TCP"),),
    )


@dataclass
class Told:
    """What a ledger reported."""

    said: list[tuple[str, str, str]] = field(default_factory=list)

    def __call__(self, service: Service, reason: str, sentence: str) -> None:
        self.said.append((service.metadata.name, reason, sentence))


def has(selected: tuple[Selection, ...]) -> set[str]:
    """Which of the contested things a Service has."""
    found = set()
    for one in selected:
        found |= {f"port {one.node_port}"} if one.node_port else set()
        found |= {IPV4.text(address) for address, _ in one.external_frontends}
    return found


def test_only_services_that_changed_are_looked_at() -> None:
    ledger = Ledger(NODE)
    for name in ("a", "b"):
        ledger.service_changed(f"default/{name}", service(name))
    assert ledger.changes().keys() == {"default/a", "default/b"}
    assert ledger.changes() == {}
    ledger.slice_changed("default/a-1", None, piece("a", "10.244.1.2"))
    assert ledger.changes().keys() == {"default/a"}
    ledger.slice_changed("default/a-1", piece("a", "10.244.1.2"), piece("b", "10.244.1.2"))
    assert ledger.changes().keys() == {"default/a", "default/b"}
    ledger.service_changed("default/a", None)
    assert ledger.changes() == {"default/a": ()}


def test_a_slice_that_becomes_of_another_family_takes_its_endpoints_along() -> None:
    ledgers = {family: Ledger(NODE, family) for family in (IPV4, IPV6)}
    both = service("a", clusterIPs=("10.96.0.1", "fd00::1"))
    four, six = piece("a", "10.244.1.2"), piece("a", "fd00:1::2", kind="IPv6")

    def answering() -> list[bool]:
        return [isinstance(dict(one.everything())["default/a"][0].cluster, tuple) for one in ledgers.values()]

    for ledger in ledgers.values():
        ledger.service_changed("default/a", both)
        ledger.slice_changed("default/a-1", None, four)
    assert answering() == [True, False]
    for ledger in ledgers.values():
        ledger.slice_changed("default/a-1", four, six)
    assert answering() == [False, True]


def test_another_zone_is_news_to_all_and_another_address_to_those_with_source_ranges() -> None:
    ledger = Ledger(NODE)
    ledger.service_changed("default/a", service("a"))
    ledger.service_changed("default/b", service("b", type="LoadBalancer"))
    ledger.changes()
    ledger.node_changed(NODE)
    assert ledger.changes() == {}
    ledger.node_changed(Node("here", (), "east"))
    assert ledger.changes().keys() == {"default/b"}
    ledger.node_changed(Node("here", (), "west"))
    assert ledger.changes().keys() == {"default/a", "default/b"}


@pytest.mark.parametrize("order", list(itertools.permutations("abc")), ids="".join)
@pytest.mark.parametrize(
    ("claim", "held", "text"),
    [
        ({"node_port": 30080}, "port 30080", "node port 30080/TCP"),
        ({"external": OUTER}, OUTER, f"{OUTER}:80/TCP"),
    ],
    ids=["node port", "external address"],
)
def test_the_oldest_has_what_several_claim(
    order: tuple[str, ...], claim: dict[str, object], held: str, text: str
) -> None:
    born = {"a": 2, "b": 1, "c": 3}
    told = Told()
    ledger = Ledger(NODE, report=told)
    holders: dict[str, set[str]] = {}

    def look() -> set[str]:
        holders.update({key: has(selected) for key, selected in ledger.changes().items()})
        return {key for key, what in holders.items() if held in what}

    for name in order:
        ledger.service_changed(f"default/{name}", service(name, born[name], **claim))  # type: ignore[arg-type]
        look()
    assert look() == {"default/b"}
    said = f"{text} is already used by Service default/b, and is left to it"
    assert said in {one[2] for one in told.said}
    assert {one[1] for one in told.said} == {"Conflict"}
    assert len(told.said) == len(set(told.said))
    ledger.service_changed("default/b", None)
    assert look() == {"default/a"}
    ledger.service_changed("default/a", service("a", 2))
    assert look() == {"default/c"}
    # Each of the waiting ones was told of once more, when it came to wait for another.
    assert len(told.said) <= 4


def test_a_service_without_anything_left_wants_nothing() -> None:
    ledger = Ledger(NODE)
    ledger.service_changed("default/a", service("a", 1))
    ledger.service_changed("default/b", service("b", 2, clusterIP="10.96.0.97"))
    assert {key: bool(selected) for key, selected in ledger.everything()} == {"default/a": True}


def test_endpoints_beyond_the_limit_are_told_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection_module, "MOST_TARGETS", 2)
    told = Told()
    ledger = Ledger(NODE, report=told)
    ledger.service_changed("default/a", service("a"))
    many = piece("a", *(f"10.244.1.{n}" for n in range(2, 7)))
    ledger.slice_changed("default/a-1", None, many)
    ledger.changes()
    ledger.slice_changed("default/a-1", many, many)
    ledger.changes()
    assert [(name, reason) for name, reason, _ in told.said] == [("a", "TooManyEndpoints")]
    ledger.slice_changed("default/a-1", many, msgspec.structs.replace(many, endpoints=()))
    ledger.changes()
    ledger.slice_changed("default/a-1", many, many)
    ledger.changes()
    assert len(told.said) == 2


histories: st.SearchStrategy[list[tuple[str, dict[str, object] | None, bool]]] = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.none()
        | st.builds(
            dict,
            born=st.integers(0, 3),
            node_port=st.sampled_from([0, 30080, 30081]),
            external=st.sampled_from(["", OUTER]),
        ),
        st.booleans(),
    ),
    max_size=15,
)


@given(histories)
def test_every_order_of_events_ends_as_a_new_start(
    history: list[tuple[str, dict[str, object] | None, bool]],
) -> None:
    ledger = Ledger(NODE)
    services: dict[str, Service] = {}
    held: dict[str, tuple[Selection, ...]] = {}
    for name, spec, look in history:
        key = f"default/{name}"
        if spec is None:
            services.pop(key, None)
            ledger.service_changed(key, None)
        else:
            services[key] = service(name, **spec)  # type: ignore[arg-type]
            ledger.service_changed(key, services[key])
        if look:
            held.update(ledger.changes())
    held.update(ledger.changes())
    again = Ledger(NODE)
    for key, one in services.items():
        again.service_changed(key, one)
    assert {key: selected for key, selected in held.items() if selected} == dict(again.everything())
    assert dict(ledger.everything()) == dict(again.everything())


def test_service_ports_without_an_endpoint_where_their_policy_wants_one() -> None:
    ledger = Ledger(NODE)
    for name, inner, outer in (("a", "Local", ""), ("b", "Local", "Local"), ("c", "", "")):
        one = service(name, 1, 30000 + ord(name), internalTrafficPolicy=inner, externalTrafficPolicy=outer)
        ledger.service_changed(f"default/{name}", one)
        ledger.slice_changed(f"default/{name}-1", None, piece(name, "10.244.1.1"))
    assert dict(ledger.everything())
    assert ledger.without_local() == {"internal": 2, "external": 1}
    # One that has nobody anywhere refuses, and does not lack anybody here.
    ledger.slice_changed("default/a-1", piece("a", "10.244.1.1"), piece("a"))
    ledger.changes()
    assert ledger.without_local() == {"internal": 1, "external": 1}
    ledger.service_changed("default/b", service("b"))
    ledger.changes()
    assert ledger.without_local() == {"internal": 0, "external": 0}
    ledger.service_changed("default/b", service("b", internalTrafficPolicy="Local"))
    ledger.changes()
    assert ledger.without_local() == {"internal": 1, "external": 0}
    ledger.service_changed("default/b", None)
    ledger.changes()
    assert ledger.without_local() == {"internal": 0, "external": 0}
