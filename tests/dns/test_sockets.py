"""The server over real sockets: UDP, TCP with many questions on a connection, and the names of others."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from fairlead.dns import tcp
from fairlead.dns.config import DnsConfig, from_environment
from fairlead.dns.forward import Upstream, nameservers, upstream
from tests.dns.cluster import apply, lines, receive, receive_message, running, send_message

D = "default.svc.cluster.local"


def query(name: str, kind: str = "A", **settings: Any) -> dns.message.Message:
    return dns.message.make_query(name, kind, **settings)


def test_udp_answers_what_the_seed_shows() -> None:
    with running() as server:
        for name, kind, answer in (
            (f"my-service.{D}", "A", [f"my-service.{D}. A 10.96.0.100"]),
            (
                f"headless-svc.{D}",
                "A",
                [f"headless-svc.{D}. A 10.244.1.2", f"headless-svc.{D}. A 10.244.2.3"],
            ),
            (
                f"_http._tcp.my-service.{D}",
                "SRV",
                [f"_http._tcp.my-service.{D}. SRV 0 100 80 my-service.{D}."],
            ),
        ):
            message = dns.message.from_wire(server.udp(query(name, kind).to_wire()))
            assert lines(message.answer) == answer


def test_the_loop_answers_from_what_it_kept_and_counts_it() -> None:
    with running() as server:
        asked = query(f"my-service.{D}")
        for number in range(10):
            asked.id = number
            assert dns.message.from_wire(server.udp(asked.to_wire())).id == number
        assert server.responder.answers.sent() == {(dns.rdatatype.A, dns.rcode.NOERROR): 9}


def test_an_answer_changes_with_its_slice_at_once() -> None:
    with running() as server:
        asked = query(f"headless-svc.{D}").to_wire()
        for last in range(1, 50):
            manifest = f"""
            kind: EndpointSlice
            metadata: {{name: headless-svc-1, namespace: default, labels: {{kubernetes.io/service-name: headless-svc}}}}
            endpoints: [{{addresses: [10.244.0.{last}]}}]
            """
            server.responder.change(partial(apply, manifests=manifest))
            for _ in range(2):
                answer = dns.message.from_wire(server.udp(asked)).answer
                assert lines(answer) == [f"headless-svc.{D}. A 10.244.0.{last}"]


def test_junk_does_not_stop_the_loop() -> None:
    with running() as server:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for junk in (b"", b"x", bytes(12), b"\xff" * 600, bytes(4000)):
                sock.sendto(junk, (server.host, server.port))
        assert server.udp(query(f"my-service.{D}").to_wire())


def test_tcp_answers_many_questions_on_a_connection() -> None:
    with running() as server, server.tcp() as sock:
        questions = [query(f"my-service.{D}", id=number) for number in range(100)]
        wire = b"".join(len(q.to_wire()).to_bytes(2) + q.to_wire() for q in questions)
        sock.sendall(wire)
        answers = [dns.message.from_wire(receive_message(sock)) for _ in questions]
        assert [answer.id for answer in answers] == list(range(100))


def test_tcp_takes_a_question_in_pieces() -> None:
    with running() as server, server.tcp() as sock:
        data = query(f"my-service.{D}").to_wire()
        for octet in len(data).to_bytes(2) + data:
            sock.sendall(bytes((octet,)))
        assert dns.message.from_wire(receive_message(sock)).answer


def test_tcp_closes_on_what_is_no_query() -> None:
    with running() as server, server.tcp() as sock:
        send_message(sock, b"x")
        assert sock.recv(1) == b""


def test_tcp_closes_an_idle_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "IDLE", 0.2)
    with running() as server, server.tcp() as sock:
        sock.sendall(b"\0\x20half a question")
        with pytest.raises((EOFError, ConnectionError)):
            receive(sock, 1)


def test_tcp_turns_away_more_clients_than_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "MOST_CONNECTIONS", 2)
    with running() as server, server.tcp() as first, server.tcp() as second:
        for sock in (first, second):
            send_message(sock, query(f"my-service.{D}").to_wire())
            assert receive_message(sock)
        with server.tcp() as third, pytest.raises((EOFError, ConnectionError)):
            receive(third, 1)


Reply = Callable[[dns.message.Message], list[bytes]]


def reply(*records: str, rcode: dns.rcode.Rcode = dns.rcode.NOERROR, flags: int = 0) -> Reply:
    """A server's answer with these records, `NAME TTL TYPE DATA`."""

    def make(asked: dns.message.Message) -> list[bytes]:
        message = dns.message.make_response(asked, recursion_available=True)
        message.set_rcode(rcode)
        message.flags |= flags
        for record in records:
            name, ttl, kind, *rest = record.split()
            message.answer.append(dns.rrset.from_text(name, int(ttl), "IN", kind, " ".join(rest)))
        return [message.to_wire()]

    return make


def udp_and_tcp() -> tuple[socket.socket, socket.socket]:
    """Sockets of one port. What is free over UDP may be in use over TCP: then another one."""
    for _ in range(50):
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", 0))
        try:
            return udp, socket.create_server(udp.getsockname())
        except OSError:
            udp.close()
    raise AssertionError("no port is free over both UDP and TCP")


@contextmanager
def other_server(over_udp: Reply, over_tcp: Reply | None = None) -> Iterator[tuple[Upstream, list[str]]]:
    """Another DNS server on loopback; gives its address and the questions that it was asked."""
    asked: list[str] = []
    udp, stream = udp_and_tcp()
    with udp, stream:

        def note(data: bytes) -> dns.message.Message:
            message = dns.message.from_wire(data)
            asked.append(f"{message.question[0].name} {message.question[0].rdtype.name}")
            return message

        def serve_udp() -> None:
            while True:
                data, client = udp.recvfrom(4096)
                if not data:
                    return
                for answer in over_udp(note(data)):
                    udp.sendto(answer, client)

        def serve_tcp() -> None:
            while True:
                try:
                    sock, _ = stream.accept()
                except OSError:
                    return
                with sock:
                    assert over_tcp
                    send_message(sock, over_tcp(note(receive_message(sock)))[0])

        threads = [Thread(target=serve_udp), Thread(target=serve_tcp)]
        for thread in threads:
            thread.start()
        try:
            yield Upstream(*udp.getsockname()), asked
        finally:
            udp.sendto(b"", udp.getsockname())
            stream.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()


def test_names_of_others_are_asked_of_others_once_and_kept() -> None:
    with (
        other_server(reply("example.com. 60 A 192.0.2.1")) as (address, asked),
        running(upstreams=(address,)) as server,
    ):
        for name in ("example.com", "Example.COM", "example.com"):
            message = dns.message.from_wire(server.udp(query(name, use_edns=0).to_wire()))
            assert message.question[0].name.to_text() == f"{name}."
            assert message.answer[0][0].to_text() == "192.0.2.1"
            assert not message.flags & dns.flags.AA
        with server.tcp() as sock:
            send_message(sock, query("example.com", use_edns=0).to_wire())
            assert dns.message.from_wire(receive_message(sock)).answer
        assert asked == ["example.com. A"]


def test_an_external_name_brings_its_targets_addresses() -> None:
    with (
        other_server(
            reply("db.example.com. 60 CNAME host.example.com.", "host.example.com. 60 A 192.0.2.9")
        ) as (
            address,
            asked,
        ),
        running(upstreams=(address,)) as server,
    ):
        message = dns.message.from_wire(server.udp(query(f"external-db.{D}").to_wire()))
        assert lines(message.answer) == [
            f"external-db.{D}. CNAME db.example.com.",
            "db.example.com. CNAME host.example.com.",
            "host.example.com. A 192.0.2.9",
        ]
        assert asked == ["db.example.com. A"]


def test_forged_answers_are_passed_over() -> None:
    def forged(asked: dns.message.Message) -> list[bytes]:
        other_id = dns.message.make_query("example.com", "A", id=asked.id ^ 1)
        other_name = dns.message.make_query("evil.example", "A", id=asked.id)
        bad = [reply("example.com. 60 A 203.0.113.66")(q)[0] for q in (other_id, other_name)]
        return [*bad, b"junk", *reply("example.com. 60 A 192.0.2.1")(asked)]

    with other_server(forged) as (address, _), running(upstreams=(address,)) as server:
        message = dns.message.from_wire(server.udp(query("example.com").to_wire()))
        assert message.answer[0][0].to_text() == "192.0.2.1"


def test_a_truncated_answer_is_asked_for_again_over_tcp() -> None:
    whole = reply("example.com. 60 A 192.0.2.1")
    with (
        other_server(reply(flags=dns.flags.TC), whole) as (address, asked),
        running(upstreams=(address,)) as server,
    ):
        message = dns.message.from_wire(server.udp(query("example.com").to_wire()))
        assert message.answer[0][0].to_text() == "192.0.2.1"
        assert len(asked) == 2


def test_the_next_server_is_asked_when_one_refuses_or_is_away() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))
        away = Upstream(*nobody.getsockname())
    with (
        other_server(reply(rcode=dns.rcode.SERVFAIL)) as (failing, _),
        other_server(reply("example.com. 60 A 192.0.2.1")) as (good, _),
        running(upstreams=(away, failing, good)) as server,
    ):
        assert dns.message.from_wire(server.udp(query("example.com").to_wire())).answer


def test_without_any_server_the_client_hears_of_it_at_once() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))
        away = Upstream(*nobody.getsockname())
    with running(upstreams=(away,)) as server:
        started = time.monotonic()
        for number in range(5):
            message = dns.message.from_wire(server.udp(query(f"{number}.example.com").to_wire()))
            assert message.rcode() == dns.rcode.SERVFAIL
        alias = dns.message.from_wire(server.udp(query(f"external-db.{D}").to_wire()))
        assert lines(alias.answer) == [f"external-db.{D}. CNAME db.example.com."]
        assert time.monotonic() - started < 1.5


def test_a_server_that_leads_back_here_is_noticed() -> None:
    with running(upstreams=(Upstream("127.0.0.1", 1),)) as server:
        server.listeners.forwarder.upstreams = (Upstream(server.host, server.port),)
        message = dns.message.from_wire(server.udp(query("example.com").to_wire()))
        assert message.rcode() == dns.rcode.REFUSED
        assert server.listeners.forwarder.asked == 1


def test_reverse_names_of_others_are_asked_of_others() -> None:
    with (
        other_server(reply("1.2.0.192.in-addr.arpa. 60 PTR example.com.")) as (address, asked),
        running(upstreams=(address,)) as server,
    ):
        for number, name in ((1, "1.2.0.192"), (0, "100.0.96.10")):
            asked.clear()
            assert dns.message.from_wire(server.udp(query(f"{name}.in-addr.arpa", "PTR").to_wire())).answer
            assert len(asked) == number


def test_a_port_that_is_taken_is_said() -> None:
    async def bind() -> None:
        from fairlead.dns.listeners import Listeners

        Listeners(DnsConfig(listen=(("192.0.2.77", 53),)))

    with pytest.raises(OSError, match=r"192\.0\.2\.77"):
        asyncio.run(bind())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1", Upstream("192.0.2.1", 53)),
        ("192.0.2.1:5353", Upstream("192.0.2.1", 5353)),
        ("2001:db8::1", Upstream("2001:db8::1", 53)),
        ("[2001:db8::1]:5353", Upstream("2001:db8::1", 5353)),
        ("dns.example.com", None),
        ("192.0.2.1:0", None),
        ("192.0.2.1:x", None),
    ],
)
def test_addresses_of_servers(text: str, expected: Upstream | None) -> None:
    if expected is None:
        with pytest.raises(ValueError, match="is not an address"):
            upstream(text)
    else:
        assert upstream(text) == expected


def test_settings_from_the_environment(tmp_path: Path) -> None:
    config = from_environment(
        {
            "FAIRLEAD_DNS_UPSTREAMS": "192.0.2.1, 192.0.2.2:54",
            "FAIRLEAD_DNS_DOMAIN": "Example.ORG.",
            "FAIRLEAD_DNS_LISTEN": "0.0.0.0 ::",
            "FAIRLEAD_DNS_PORT": "5353",
            "FAIRLEAD_DNS_PODS": "disabled",
        }
    )
    assert config.upstreams == (Upstream("192.0.2.1"), Upstream("192.0.2.2", 54))
    assert (config.domain, config.pods) == ("example.org", False)
    assert config.listen == (("0.0.0.0", 5353), ("::", 5353))
    for name, value in (("TTL", "x"), ("PODS", "verified"), ("DOMAIN", "a..b"), ("WORKERS", "0")):
        with pytest.raises(ValueError, match=value):
            from_environment({f"FAIRLEAD_DNS_{name}": value, "FAIRLEAD_DNS_UPSTREAMS": "none"})
    path = tmp_path / "resolv.conf"
    path.write_text("search a b\nnameserver 192.0.2.1\n# nameserver 192.0.2.2\nnameserver 2001:db8::1\n")
    assert nameservers(path) == (Upstream("192.0.2.1"), Upstream("2001:db8::1"))
    assert nameservers(tmp_path / "nothing") == ()
