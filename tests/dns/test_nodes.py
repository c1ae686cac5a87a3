"""The records of one name are those that the whole Service has at it, however large it is."""

from __future__ import annotations

from collections import defaultdict

import dns.flags
import dns.message
import pytest

from fairlead.dns import nodes
from fairlead.dns.answers import Answers
from fairlead.dns.edns import Cookies
from fairlead.dns.records import Type
from fairlead.dns.responder import Responder
from fairlead.dns.source import EndpointSlice, Service, compact, read
from fairlead.dns.zone import Rcode, Zone
from tests.dns.cluster import ask

NAME = "big.default.svc.cluster.local"
PORTS = [
    {"name": "http", "port": 8080, "protocol": "TCP"},
    {"name": "", "port": 1},
    {"name": "dns", "port": 53},
]


def put_service(zone: Zone, **spec: object) -> None:
    """The Service `big`, headless unless said otherwise."""
    manifest = {
        "metadata": {"name": "big", "namespace": "default"},
        "spec": {"clusterIP": "None", "ports": PORTS, **spec},
    }
    zone.put_service("default/big", compact(read(Service, manifest)))


def put_slice(zone: Zone, number: int, endpoints: list[dict[str, object]], family: str = "IPv4") -> set[str]:
    """One of its slices; what that touches."""
    labels = {"kubernetes.io/service-name": "big"}
    manifest = {
        "metadata": {"name": f"big-{number}", "namespace": "default", "labels": labels},
        "addressType": family,
        "endpoints": endpoints,
        "ports": PORTS,
    }
    return zone.put_slice(f"default/big-{number}", compact(read(EndpointSlice, manifest)))


def addresses(number: int, count: int) -> list[dict[str, object]]:
    """Endpoints of a slice, one in seven not ready, one in five with a hostname that another slice has too."""
    return [
        {
            "addresses": [f"10.{number}.{index >> 8}.{index & 255}"],
            "conditions": {"ready": index % 7 != 0},
            **({"hostname": f"Host-{index}"} if index % 5 == 0 else {}),
        }
        for index in range(count)
    ]


def assert_each_name_has_its_records(zone: Zone) -> None:
    """Each name and type, in the domain and in the trees of reverse names."""
    expected = defaultdict(set)
    for record in zone.records("default/big"):
        expected[record.name, record.type].add(record)
    assert expected
    for (name, kind), records in expected.items():
        find = zone.find_reverse if kind == Type.PTR else zone.find
        found = find(name, kind)
        assert len(found.answer) == len(records)
        assert set(found.answer) == records, (name, kind)
    assert zone.find(f"_tcp.{NAME}", Type.A).rcode == Rcode.NOERROR


def test_each_name_of_a_large_service_through_its_changes() -> None:
    zone = Zone()
    for number in range(3):
        put_slice(zone, number, addresses(number, 40))
    put_slice(zone, 3, [{"addresses": [f"fd00::{i:x}"]} for i in range(1, 30)], "IPv6")
    put_slice(zone, 4, [{"addresses": ["a.example"]}] * 20, "FQDN")
    for spec in ({}, {"publishNotReadyAddresses": True}, {}, {"clusterIP": "10.96.0.1"}, {}):
        put_service(zone, **spec)
        assert_each_name_has_its_records(zone)
        assert_each_name_has_its_records(zone)
    put_slice(zone, 1, addresses(1, 25))
    assert_each_name_has_its_records(zone)
    assert zone.find(f"10-1-0-26.{NAME}", Type.A).rcode == Rcode.NXDOMAIN
    put_slice(zone, 5, addresses(2, 40))  # what moves from one slice to another is in both for a while
    assert_each_name_has_its_records(zone)
    zone.put_slice("default/big-2", None)
    assert_each_name_has_its_records(zone)
    assert zone.is_cluster_address("10.2.0.1")
    zone.put_slice("default/big-5", None)
    assert not zone.is_cluster_address("10.2.0.1")
    assert zone.is_cluster_address("fd00::1")
    zone.put_slice("default/big-3", None)
    assert not zone.is_cluster_address("fd00::1")
    assert_each_name_has_its_records(zone)
    put_service(zone, type="ExternalName", externalName="a.example")
    assert zone.find(f"10-0-0-1.{NAME}", Type.A).rcode == Rcode.NXDOMAIN
    assert zone.find_reverse("1.0.0.10.in-addr.arpa", Type.PTR).rcode == Rcode.NXDOMAIN


def test_a_change_of_one_slice_leaves_the_others_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A question about a Service of thousands costs what changed since the last one, and never its size squared."""
    computed: list[str] = []

    def counted(service: Service, piece: EndpointSlice) -> nodes.Piece:
        computed.append(piece.metadata.name)
        return compute(service, piece)

    compute = nodes.piece_of
    monkeypatch.setattr(nodes, "piece_of", counted)
    zone = Zone()
    put_service(zone)
    for number in range(40):
        put_slice(zone, number, addresses(number, 100))
    responder = Responder(zone, Answers(), Cookies())
    responder.synced()
    for kind in ("SRV", "A", "AAAA"):
        message = ask(responder, dns.message.make_query(NAME, kind))
        assert bool(message.flags & dns.flags.TC) == (kind != "AAAA")
    assert ask(responder, dns.message.make_query(f"10-7-0-8.{NAME}", "A")).answer
    assert ask(responder, dns.message.make_query("8.0.7.10.in-addr.arpa", "PTR")).answer
    assert len(computed) == 40
    responder.change(lambda zone: put_slice(zone, 7, addresses(7, 99)))
    ask(responder, dns.message.make_query(NAME, "SRV"))
    assert computed[40:] == ["big-7"]


def test_what_is_remembered_is_bounded() -> None:
    pieces = nodes.Pieces(most=100)
    service = read(Service, {"metadata": {"name": "big", "namespace": "default"}})
    for number in range(20):
        for _ in range(2):
            for count in (30, 40):
                meta = {"name": f"big-{number}", "namespace": "default"}
                piece = read(EndpointSlice, {"metadata": meta, "endpoints": addresses(number, count)})
                assert pieces.of(service, piece) == nodes.piece_of(service, piece)
                assert pieces.of(service, piece) is pieces.of(service, piece)
                assert pieces._endpoints == sum(len(kept.endpoints) for kept, _ in pieces._kept.values())
                assert pieces._endpoints <= 100
    assert len(pieces._kept) == 2


def test_a_thousand_ports() -> None:
    """Each by its name, all at the Service's own, and no work for those that are not asked about."""
    zone = Zone()
    ports = [{"name": f"P{n}", "port": n, "protocol": "TCP" if n % 2 else "UDP"} for n in range(1, 1001)]
    put_service(zone, clusterIP="10.96.0.1", clusterIPs=["10.96.0.1"], ports=ports)
    assert_each_name_has_its_records(zone)
    assert len(zone.find(NAME, Type.SRV).answer) == 1000
    for label, rcode in (("_p2._tcp", Rcode.NXDOMAIN), ("_sctp", Rcode.NXDOMAIN), ("_udp", Rcode.NOERROR)):
        found = zone.find(f"{label}.{NAME}", Type.SRV)
        assert (found.rcode, found.answer) == (rcode, ())
    assert zone.find(f"x.{NAME}", Type.A).rcode == Rcode.NXDOMAIN
