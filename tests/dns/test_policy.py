"""What the configuration adds: hosts, verified pods, a pod's search, transfers, a view of the queries."""

from __future__ import annotations

import json
import socket
from ipaddress import ip_network
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.zone
import pytest

from fairlead import files
from fairlead.dns import server as dns_server
from fairlead.dns.exposition import Metrics, view
from fairlead.dns.hosts import Hosts
from fairlead.dns.observer import ELSEWHERE, asked, service_of
from fairlead.dns.policy import Policy
from fairlead.dns.records import records
from fairlead.dns.source import Pod, compact, read
from fairlead.dns.tally import Board, Tally, together
from tests.dns.cluster import ask, example_responder, example_zone, lines, query, running
from tests.dns.others import other_server, reply
from tests.waiting import LIMIT

D = "default.svc.cluster.local"
LOCAL = (ip_network("127.0.0.0/8"),)


def pod(address: str, *, host: bool = False, phase: str = "Running") -> Pod:
    spec, status = {"hostNetwork": host}, {"phase": phase, "podIPs": [{"ip": address}]}
    return compact(read(Pod, {"spec": spec, "status": status}))


HOSTS = {"192.0.2.7": ("Gateway.example", "gw.cluster.local"), "2001:db8::7": ("gateway.example",)}


@pytest.mark.parametrize(
    ("name", "kind", "rcode", "answer"),
    [
        ("gateway.example", "A", "NOERROR", ["gateway.example. A 192.0.2.7"]),
        ("GATEWAY.example", "AAAA", "NOERROR", ["GATEWAY.example. AAAA 2001:db8::7"]),
        ("gateway.example", "MX", "NOERROR", []),
        ("gw.cluster.local", "A", "NOERROR", ["gw.cluster.local. A 192.0.2.7"]),
        (
            "7.2.0.192.in-addr.arpa",
            "PTR",
            "NOERROR",
            ["7.2.0.192.in-addr.arpa. PTR gateway.example.", "7.2.0.192.in-addr.arpa. PTR gw.cluster.local."],
        ),
        ("other.example", "A", "REFUSED", []),
        (f"my-service.{D}", "A", "NOERROR", [f"my-service.{D}. A 10.96.0.100"]),
    ],
)
def test_hosts(name: str, kind: str, rcode: str, answer: list[str]) -> None:
    message = ask(example_responder(policy=Policy(hosts=Hosts(HOSTS))), query(name, kind))
    assert (dns.rcode.to_text(message.rcode()), lines(message.answer)) == (rcode, answer)


def test_an_external_name_may_lead_to_a_name_of_hosts() -> None:
    """And nobody else is asked for it; CoreDNS looks its targets up by all its plugins."""
    hosts = Hosts({"192.0.2.8": ("db.example.com",)})
    responder = example_responder(policy=Policy(hosts=hosts, takes=lambda _: True))
    alias = f"external-db.{D}. CNAME db.example.com."
    for kind, answer in (("A", [alias, "db.example.com. A 192.0.2.8"]), ("AAAA", [alias]), ("MX", [alias])):
        for _ in range(2):
            assert lines(ask(responder, query(f"external-db.{D}", kind)).answer) == answer


@pytest.mark.parametrize(
    ("name", "rcode"),
    [
        ("other.example", "NXDOMAIN"),
        ("kubernetes.default", "NXDOMAIN"),
        (".", "REFUSED"),
        (f"my-service.{D}", "NOERROR"),
    ],
)
def test_a_cluster_alone_knows_that_there_are_no_other_names(name: str, rcode: str) -> None:
    message = ask(example_responder(policy=Policy(alone=True)), query(name))
    assert dns.rcode.to_text(message.rcode()) == rcode


def test_verified_pods_come_and_go() -> None:
    responder = example_responder()
    responder.zone.pods = "verified"

    def rcode(name: str) -> str:
        return dns.rcode.to_text(ask(responder, query(f"{name}.pod.cluster.local")).rcode())

    def put(key: str, new: Pod | None) -> None:
        responder.change(lambda zone: zone.put_pod(key, new))

    assert rcode("10-244-1-2.default") == "NXDOMAIN"
    put("default/a", pod("10.244.1.2"))
    assert rcode("10-244-1-2.default") == "NOERROR"
    assert rcode("10-244-1-2.kube-system") == "NXDOMAIN"
    put("default/a", pod("10.244.1.9"))
    assert (rcode("10-244-1-2.default"), rcode("10-244-1-9.default")) == ("NXDOMAIN", "NOERROR")
    put("default/b", pod("10.244.1.9"))
    put("default/a", pod("10.244.1.9", phase="Succeeded"))
    assert rcode("10-244-1-9.default") == "NOERROR"
    put("default/b", None)
    assert rcode("10-244-1-9.default") == "NXDOMAIN"
    put("default/c", pod("fd00:244::9"))
    message = ask(responder, query("fd00-244--9.default.pod.cluster.local", "AAAA"))
    assert lines(message.answer) == ["fd00-244--9.default.pod.cluster.local. AAAA fd00:244::9"]


def searching(**settings: object) -> object:
    """A responder that knows the pod default/client, at the address of `ask`."""
    responder = example_responder(policy=Policy(autopath=True, **settings))  # type: ignore[arg-type]
    responder.zone.pods = "verified"
    responder.change(lambda zone: zone.put_pod("default/client", pod("192.0.2.7")))
    return responder


@pytest.mark.parametrize(
    ("name", "kind", "rcode", "answer"),
    [
        ("my-service", "A", "NOERROR", ["my-service.$. A 10.96.0.100"]),
        (
            "kube-dns.kube-system",
            "A",
            "NOERROR",
            [
                "kube-dns.kube-system.$. CNAME kube-dns.kube-system.svc.cluster.local.",
                "kube-dns.kube-system.svc.cluster.local. A 10.96.0.10",
            ],
        ),
        (
            "kube-dns.kube-system",
            "AAAA",
            "NOERROR",
            ["kube-dns.kube-system.$. CNAME kube-dns.kube-system.svc.cluster.local."],
        ),
        (
            "kube-dns.kube-system.svc",
            "A",
            "NOERROR",
            [
                "kube-dns.kube-system.svc.$. CNAME kube-dns.kube-system.svc.cluster.local.",
                "kube-dns.kube-system.svc.cluster.local. A 10.96.0.10",
            ],
        ),
        (
            "gateway.example",
            "A",
            "NOERROR",
            ["gateway.example.$. CNAME gateway.example.", "gateway.example. A 192.0.2.7"],
        ),
        ("nothing", "A", "NXDOMAIN", []),
        ("kube-dns.kube-system", "SRV", "NXDOMAIN", []),
    ],
)
def test_the_search_of_a_pod_takes_one_question(name: str, kind: str, rcode: str, answer: list[str]) -> None:
    responder = searching(hosts=Hosts(HOSTS))
    for _ in range(2):
        message = ask(responder, query(f"{name}.{D}", kind))  # type: ignore[arg-type]
        assert dns.rcode.to_text(message.rcode()) == rcode
        assert lines(message.answer) == [line.replace("$", D) for line in answer]


def test_others_do_not_get_what_the_search_of_a_pod_found() -> None:
    responder = searching()
    wire = query(f"kube-dns.kube-system.{D}").to_wire()
    for client, rcode in (("192.0.2.8", 3), ("192.0.2.7", 0), ("192.0.2.8", 3), ("192.0.2.7", 0)):
        answer = responder.respond(wire, client)  # type: ignore[attr-defined]
        assert answer[3] & 15 == rcode


def test_the_search_of_a_pod_goes_on_to_other_servers() -> None:
    def over_udp(message: dns.message.Message) -> list[bytes]:
        if message.question[0].name.to_text() == "example.com.":
            return reply("example.com. 60 A 192.0.2.1")(message)
        return reply(rcode=dns.rcode.NXDOMAIN)(message)

    with (
        other_server(over_udp) as (address, questions),
        running(upstreams=(address,), pods="verified", autopath=True) as server,
    ):
        server.responder.change(lambda zone: zone.put_pod("default/client", pod("127.0.0.1")))
        message = dns.message.from_wire(server.udp(query(f"example.com.{D}").to_wire()))
        assert lines(message.answer) == [
            f"example.com.{D}. CNAME example.com.",
            "example.com. A 192.0.2.1",
        ]
        assert questions == ["example.com. A"]
        nothing = dns.message.from_wire(server.udp(query(f"nothing.example.{D}").to_wire()))
        assert (nothing.rcode(), nothing.answer) == (dns.rcode.NXDOMAIN, [])
        assert nothing.authority


def test_the_zone_is_transferred_to_whom_it_may() -> None:
    zone = example_zone()
    expected = {
        str(record)
        for key in zone.services()
        for record in records(zone._services[key], zone._slices.get(key, ()), zone.domain, 30)
        if zone.covers(record.name)
    }
    with running(transfer=LOCAL) as server:
        found = dns.zone.Zone("cluster.local", relativize=False)
        dns.query.inbound_xfr(server.host, found, port=server.port, timeout=LIMIT)
        got = {
            f"{name} {ttl} IN {rdata.rdtype.name} {rdata.to_text()}"
            for name, ttl, rdata in found.iterate_rdatas()
        }
        apex = {line for line in got if line.split()[3] in ("SOA", "NS", "TXT") or line.startswith("ns.dns.")}
        assert got - apex == expected
        assert len(apex) == 4
        with pytest.raises(dns.exception.DNSException):
            dns.query.inbound_xfr(
                server.host, dns.zone.Zone("svc.cluster.local"), port=server.port, timeout=LIMIT
            )
        assert (
            dns.message.from_wire(server.udp(query("cluster.local", "AXFR").to_wire())).rcode()
            == dns.rcode.REFUSED
        )
    with running() as server, pytest.raises(dns.exception.DNSException):
        dns.query.inbound_xfr(server.host, dns.zone.Zone("cluster.local"), port=server.port, timeout=LIMIT)


def test_a_transfer_of_many_messages_to_a_slow_client() -> None:
    many = "---".join(
        f"""
kind: Service
metadata: {{name: s{number}, namespace: default}}
spec: {{clusterIP: 10.96.{number >> 8}.{number & 255}, ports: [{{name: http, port: 80, protocol: TCP}}]}}
"""
        for number in range(3000)
    )
    with running(many, transfer=LOCAL) as server:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with sock:
            sock.settimeout(LIMIT)
            sock.connect((server.host, server.port))
            asked_for = query("cluster.local", "AXFR").to_wire()
            sock.sendall(len(asked_for).to_bytes(2) + asked_for)
            # Everybody else is served meanwhile.
            assert server.udp(query("s1.default.svc.cluster.local").to_wire())
            count = messages = 0
            while True:
                length = int.from_bytes(receive(sock, 2))
                message = dns.message.from_wire(receive(sock, length), xfr=True)
                messages += 1
                count += sum(len(rrset) for rrset in message.answer)
                if messages > 1 and message.answer[-1].rdtype == dns.rdatatype.SOA:
                    break
        assert messages > 5
        # An address and two SRV records each; NS, TXT, and SOA twice.
        assert count == 3 * 3000 + 4


def receive(sock: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        piece = sock.recv(length - len(data))
        assert piece
        data += piece
    return data


def test_who_asks_for_what_is_seen() -> None:
    with running(sample=1.0) as server:
        server.responder.change(lambda zone: zone.put_pod("default/client", pod("127.0.0.1")))
        for name, times in ((f"my-service.{D}", 5), (f"10-244-1-2.my-service.{D}", 1), ("example.com", 2)):
            for _ in range(times):
                server.udp(query(name).to_wire())
        # The last query is counted after its answer has been sent.
        server.udp(query("example.com").to_wire())
        seen = {service: (who, count) for service, who, count in server.listeners.observer.seen(10)}
        assert seen["default/my-service"] == ("default/client", 6)
        assert seen[ELSEWHERE][1] >= 2


def test_the_counts_of_all_workers_are_shown_by_one() -> None:
    board = Board(3)
    assert list(board.others(0)) == []
    one = Tally(
        [("udp", 1, 0, 5)], 1, 4, (1, 2, 3, 4, 5), {"192.0.2.1:53": 1}, [("default/web", "default/a", 2)]
    )
    two = Tally(
        [("udp", 1, 0, 1), ("tcp", 28, 3, 7)], 2, 1, (1, 1, 1, 1, 1), {}, [("default/web", "default/a", 1)]
    )
    board.show(1, one)
    board.show(2, two)
    both = together(board.others(0))
    assert both == Tally(
        [("tcp", 28, 3, 7), ("udp", 1, 0, 6)],
        3,
        5,
        (2, 3, 4, 5, 6),
        {"192.0.2.1:53": 1},
        [("default/web", "default/a", 3)],
    )
    assert list(board.others(1)) == [two]
    for _ in range(10):
        board.show(1, two)
    assert list(board.others(2)) == [two]
    metrics = {
        (sample.name, *sample.labels.values()): sample.value
        for family in Metrics("s", lambda: both).collect()
        for sample in family.samples
    }
    assert metrics["coredns_dns_responses_total", "s", "NOERROR"] == 6
    assert metrics["coredns_dns_responses_total", "s", "NXDOMAIN"] == 7
    assert metrics["coredns_dns_requests_total", "s", "tcp", "AAAA"] == 7
    assert metrics["coredns_cache_prefetch_total", "s", "forwarded"] == 6
    shown = view(both, 16)
    assert shown["services"] == [{"service": "default/web", "queries": 3, "clients": {"default/a": 3}}]
    json.dumps(shown)


@pytest.mark.parametrize(
    ("data", "name", "kind"),
    [
        (query("a.Example", "AAAA").to_wire(), "a.example", 28),
        (query(".", "NS").to_wire(), ".", 2),
        (bytes(12), ".", 0),
        (bytes(12) + b"\x05a\nb\x7f \0\0\1", "a?b??", 1),
        (bytes(12) + b"\x3fabc", "abc", 0),
        (bytes(12) + b"\xc0\x0c", ".", 12),
        (b"", ".", 0),
    ],
    ids=("a name", "the root", "no question", "odd characters", "cut off", "a pointer to itself", "nothing"),
)
def test_names_in_the_log_are_harmless(data: bytes, name: str, kind: int) -> None:
    assert asked(data) == (name, kind)


def test_which_service_a_name_is_about() -> None:
    suffix = ".svc.cluster.local"
    for name, service in (
        ("web.default.svc.cluster.local", "default/web"),
        ("_http._tcp.web.default.svc.cluster.local", "default/web"),
        ("default.svc.cluster.local", ELSEWHERE),
        ("example.com", ELSEWHERE),
    ):
        assert service_of(name, suffix) == service


def test_another_configuration_without_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(dns_server, "LOOK", 0.02)
    path = tmp_path / "dns.yaml"
    path.write_text("forward: {to: []}\n")
    with other_server(reply("example.com. 60 A 192.0.2.1")) as (address, _), running() as server:
        following = server.start(dns_server.follow(path, server.listeners))

        def rcode() -> str:
            return dns.rcode.to_text(
                dns.message.from_wire(server.udp(query("example.com").to_wire())).rcode()
            )

        def becomes(wanted: str) -> None:
            server.until(lambda: rcode() == wanted)

        assert rcode() == "REFUSED"
        files.replace(path, f"forward: {{to: ['{address}']}}\n".encode())
        becomes("NOERROR")
        files.replace(path, b"forward: {to: [nobody]}\n")
        server.until(lambda: "the configuration stays as it was" in caplog.text)
        assert rcode() == "NOERROR"
        files.replace(path, f"ttl: 7\ndomain: other.example\nforward: {{to: ['{address}']}}\n".encode())
        server.until(
            lambda: dns.message.from_wire(server.udp(query(f"my-service.{D}").to_wire())).answer[0].ttl == 7
        )
        assert rcode() == "NOERROR"
        path.unlink()
        files.replace(path, b"forward: {to: []}\n")
        becomes("REFUSED")
        following.cancel()
