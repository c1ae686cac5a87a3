"""A zone that was changed step by step is the zone that was made at once, and no ready answer outlives its truth."""

from __future__ import annotations

from operator import methodcaller

import dns.message
import dns.rdatatype
import hypothesis.strategies as st
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fairlead.dns.answers import Answers, Variants
from fairlead.dns.edns import Cookies
from fairlead.dns.responder import Responder
from fairlead.dns.source import EndpointSlice, Service, compact, read
from fairlead.dns.zone import Zone
from tests.dns.cluster import SERIAL, apply, ask, example_responder, lines

D = "svc.cluster.local"
NAMES = ("a", "b")
ADDRESSES = ("10.0.0.1", "10.0.0.2", "fd00::1")
PORTS = ({"name": "http", "port": 80, "protocol": "TCP"}, {"name": "dns", "port": 53, "protocol": "UDP"})

services = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {
            "clusterIP": st.sampled_from(("None", "10.0.0.1", "10.0.0.9")),
            "ports": st.lists(st.sampled_from(PORTS), unique_by=str),
            "publishNotReadyAddresses": st.booleans(),
        }
    ),
    st.sampled_from(
        (
            {"type": "ExternalName", "externalName": f"b.x.{D}"},
            {"type": "ExternalName", "externalName": "example.com"},
        )
    ),
)
endpoints = st.fixed_dictionaries(
    {
        "addresses": st.lists(st.sampled_from(ADDRESSES), min_size=1, max_size=1),
        "hostname": st.sampled_from((None, "web-0")),
        "conditions": st.fixed_dictionaries({"ready": st.sampled_from((None, True, False))}),
    }
)
slices = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {
            "of": st.sampled_from((*NAMES, "")),
            "endpoints": st.lists(endpoints, max_size=3),
            "ports": st.lists(st.sampled_from(PORTS), unique_by=str),
        }
    ),
)
QUESTIONS = [
    (name, kind)
    for kind in ("A", "AAAA", "SRV", "CNAME")
    for name in (
        f"x.{D}",
        *(f"{service}.x.{D}" for service in NAMES),
        *(f"_http._tcp.{service}.x.{D}" for service in NAMES),
        *(f"_udp.{service}.x.{D}" for service in NAMES),
        *(f"web-0.{service}.x.{D}" for service in NAMES),
        *(f"10-0-0-2.{service}.x.{D}" for service in NAMES),
        "10-0-0-2.x.pod.cluster.local",
    )
] + [(f"{n}.0.0.10.in-addr.arpa", "PTR") for n in (1, 2, 9)]


def new_responder() -> Responder:
    responder = Responder(Zone(clock=lambda: SERIAL), Answers(), Cookies(b"secret"))
    responder.synced()
    return responder


def meaning(responder: Responder, name: str, kind: str) -> tuple[object, ...]:
    """An answer without its order, which rotates."""
    message = ask(responder, dns.message.make_query(name, kind, id=1))
    return (
        message.rcode(),
        *(sorted(lines(s)) for s in (message.answer, message.authority, message.additional)),
    )


class Changes(RuleBasedStateMachine):
    """Any sequence of changes, with every question asked after each: of the old answers none may be left."""

    def __init__(self) -> None:
        super().__init__()
        self.responder = new_responder()
        self.services: dict[str, Service] = {}
        self.slices: dict[str, EndpointSlice] = {}
        self.namespace = False

    @rule(name=st.sampled_from(NAMES), spec=services)
    def service(self, name: str, spec: dict[str, object] | None) -> None:
        key = f"x/{name}"
        new = read(Service, {"metadata": {"name": name, "namespace": "x"}, "spec": spec}) if spec else None
        kept = compact(new) if new else None
        self.responder.change(lambda zone: zone.put_service(key, kept))
        self.services.pop(key, None)
        if new:
            self.services[key] = new

    @rule(name=st.sampled_from(("1", "2")), piece=slices)
    def slice(self, name: str, piece: dict[str, object] | None) -> None:
        key = f"x/{name}"
        new = None
        if piece:
            labels = {"kubernetes.io/service-name": piece["of"]} if piece["of"] else {}
            new = read(
                EndpointSlice, {"metadata": {"name": name, "namespace": "x", "labels": labels}, **piece}
            )
        kept = compact(new) if new else None
        self.responder.change(lambda zone: zone.put_slice(key, kept))
        self.slices.pop(key, None)
        if new:
            self.slices[key] = new

    @rule(exists=st.booleans())
    def put_namespace(self, exists: bool) -> None:
        self.responder.change(lambda zone: zone.put_namespace("x", exists))
        self.namespace = exists

    @invariant()
    def every_answer_is_the_one_of_a_new_zone(self) -> None:
        """The new one is made of the objects as they came, the other of what is kept of them."""
        fresh = new_responder()
        for key, piece in self.slices.items():
            fresh.change(methodcaller("put_slice", key, piece))
        for name, service in self.services.items():
            fresh.change(methodcaller("put_service", name, service))
        fresh.change(lambda zone: zone.put_namespace("x", self.namespace))
        for name, kind in QUESTIONS:
            expected = meaning(fresh, name, kind)
            assert meaning(self.responder, name, kind) == expected, (name, kind)
            assert meaning(self.responder, name, kind) == expected, (name, kind, "when asked again")


Changes.TestCase.settings = settings(max_examples=15, stateful_step_count=12, deadline=None)
TestChanges = Changes.TestCase


@given(st.permutations(range(12)))
@settings(max_examples=20, deadline=None)
def test_ready_answers_equal_computed_ones(order: list[int]) -> None:
    """In any order of asking, with any letter case, cookies or none."""
    names = [
        f"{name}.default.{D}"
        for name in (
            "my-service",
            "headless-svc",
            "mysql-0.mysql",
            "nothing",
            "external-db",
            "_http._tcp.several",
        )
    ]
    responder = example_responder()
    for index in order + order:
        name = names[index // 2]
        if index % 2:
            name = name.upper()
        assert meaning(responder, name, "A") == meaning(example_responder(), name, "A")


def test_a_change_drops_the_answers_that_it_touches_and_no_others() -> None:
    responder = example_responder()
    mine, other = f"headless-svc.default.{D}", f"my-service.default.{D}"
    for name in (mine, other, f"nothing.default.{D}"):
        ask(responder, dns.message.make_query(name, "A"))
    before = set(responder.answers.ready)
    responder.change(
        lambda zone: apply(
            zone,
            """
            kind: EndpointSlice
            metadata: {name: headless-svc-1, namespace: default, labels: {kubernetes.io/service-name: headless-svc}}
            addressType: IPv4
            endpoints: [{addresses: [10.244.7.7]}]
            """,
        )
    )
    gone = before - set(responder.answers.ready)
    assert len(gone) == 1
    assert b"headless-svc" in next(iter(gone))
    message = ask(responder, dns.message.make_query(mine, "A"))
    assert lines(message.answer) == [f"{mine}. A 10.244.7.7"]


def test_what_records_do_not_depend_on_drops_nothing() -> None:
    zone = example_responder().zone
    same = """
    kind: Service
    metadata: {name: my-service, namespace: default, labels: {new: label}}
    spec: {clusterIP: 10.96.0.100, clusterIPs: [10.96.0.100], ports: [{name: http, port: 80, protocol: TCP}]}
    """
    assert apply(zone, same) == set()


def test_the_endpoints_of_a_clusterip_service_do_not_touch_its_address() -> None:
    touched = apply(
        example_responder().zone,
        """
        kind: EndpointSlice
        metadata: {name: my-service-abc, namespace: default, labels: {kubernetes.io/service-name: my-service}}
        addressType: IPv4
        endpoints: []
        """,
    )
    assert "service default/my-service" not in touched
    assert "endpoints default/my-service" in touched


def test_a_namespace_comes_into_being_with_its_first_service() -> None:
    responder = new_responder()
    ask_namespace = dns.message.make_query(f"new.{D}", "A")
    assert ask(responder, ask_namespace).rcode() == dns.rcode.NXDOMAIN
    manifest = "{kind: Service, metadata: {name: web, namespace: new}, spec: {clusterIP: 10.96.0.1}}"
    responder.change(lambda zone: apply(zone, manifest))
    assert ask(responder, ask_namespace).rcode() == dns.rcode.NOERROR
    responder.change(lambda zone: zone.put_service("new/web", None))
    assert ask(responder, ask_namespace).rcode() == dns.rcode.NXDOMAIN


def test_the_serial_grows_with_time() -> None:
    now = [SERIAL]
    zone = Zone(clock=lambda: now[0])
    service = read(Service, {"metadata": {"name": "a", "namespace": "x"}, "spec": {"clusterIP": "10.0.0.1"}})
    before = str(zone.authority())
    now[0] += 5
    zone.put_service("x/a", service)
    assert str(SERIAL + 5) in str(zone.authority())
    assert before != str(zone.authority())
    now[0] -= 100
    zone.put_service("x/a", None)
    assert str(SERIAL + 5) in str(zone.authority())


def test_a_flood_of_random_names_stays_bounded_and_leaves_the_others() -> None:
    zone = Zone()
    responder = Responder(zone, Answers(most=8, most_random=16), Cookies())
    responder.change(
        lambda z: apply(z, "{kind: Service, metadata: {name: a, namespace: x}, spec: {clusterIP: 10.0.0.1}}")
    )
    responder.synced()
    query = dns.message.make_query(f"a.x.{D}", "A", id=1)
    ask(responder, query)
    kept = set(responder.answers.ready)
    for number in range(200):
        ask(responder, dns.message.make_query(f"random-{number}.x.{D}", "A"))
    assert set(responder.answers.ready) == kept
    assert len(responder.answers._met) <= 32
    for number in range(200):
        for _ in range(2):
            ask(responder, dns.message.make_query(f"random-{number}.x.{D}", "A"))
    assert len(responder.answers.ready) == 17
    assert kept <= set(responder.answers.ready)
    assert len(responder.answers._owned) <= 17 + 1


def test_answers_without_addresses_stay_ready_beside_a_flood_of_random_names() -> None:
    """Half of all questions is for AAAA where a cluster has IPv4 alone."""
    responder = Responder(example_responder().zone, Answers(most_random=1), Cookies())
    responder.synced()
    names = [f"{name}.default.{D}" for name in ("my-service", "headless-svc", "unnamed")]
    for name in names:
        ask(responder, dns.message.make_query(name, "AAAA"))
    kept = set(responder.answers.ready)
    assert len(kept) == len(names)
    for question in (f"no.default.{D}", *(f"10-0-0-{n}.default.pod.cluster.local" for n in (1, 2))):
        for _ in range(2):
            ask(responder, dns.message.make_query(question, "A"))
    assert kept < set(responder.answers.ready)
    assert len(responder.answers.ready) == len(names) + 1


def test_a_flood_of_types_stays_bounded() -> None:
    responder = Responder(example_responder().zone, Answers(most_random=8), Cookies())
    responder.synced()
    for kind in range(1000, 1500):
        for _ in range(3):
            ask(responder, dns.message.make_query(f"my-service.default.{D}", dns.rdatatype.RdataType(kind)))
    assert len(responder.answers.ready) == 8
    assert list(responder.counts) == [("udp", 0, dns.rcode.NOERROR)]
    assert responder.answers.sent() == {("udp", 0, dns.rcode.NOERROR): 500}


def test_a_slice_in_two_hands_and_one_without_an_owner() -> None:
    """A slice may change its Service, and come back with no label at all."""
    zone = example_responder().zone
    piece = """
    kind: EndpointSlice
    metadata: {{name: b, namespace: default, labels: {labels}}}
    addressType: IPv4
    endpoints: [{{addresses: [10.244.99.99]}}]
    """
    of = "{{kubernetes.io/service-name: {0}}}"
    for service in ("headless-svc", "mysql"):
        assert f"endpoints default/{service}" in apply(zone, piece.format(labels=of.format(service)))
    assert apply(zone, piece.format(labels="{}")) >= {"endpoints default/mysql", "address 0af46363"}
    assert apply(zone, piece.format(labels="{}")) == set()
    assert zone.put_slice("default/b", None) == set()
    assert not zone.is_cluster_address("10.244.99.99")
    assert zone.put_slice("default/never", None) == set()


def test_large_answers_leave_room_for_fewer() -> None:
    answers = Answers(most=8)
    for number in range(100):
        answers.put(
            b"%d" % number,
            Variants(bytes(600), None, 3000),
            ("a", f"b{number}"),
            (1, 0),
            random=number % 3 == 0,
        )
        assert answers._bytes == sum(entry.size for entry in answers.ready.values()) <= 8 * 1024
        assert b"%d" % number in answers.ready
    assert len(answers.ready) == 2
    assert answers._owned.keys() == {"a", "b98", "b99"}
    answers.forget(["a"])
    assert (answers.ready, answers._owned, answers._random, answers._bytes) == ({}, {}, {}, 0)
