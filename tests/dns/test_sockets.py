"""The server over real sockets: UDP, TCP with many questions on a connection, and the names of others."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from fairlead.dns import tcp
from fairlead.dns.config import DnsConfig, from_environment
from fairlead.dns.upstreams import Upstream, nameservers, upstream
from tests.dns.cluster import apply, lines, query, receive, receive_message, running, send_message
from tests.waiting import LIMIT

D = "default.svc.cluster.local"


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
        assert server.responder.answers.sent() == {("udp", dns.rdatatype.A, dns.rcode.NOERROR): 9}


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


def test_tcp_closes_on_a_question_that_is_too_long() -> None:
    """Before it is there: otherwise a thousand clients could fill our memory with half of theirs."""
    with running() as server, server.tcp() as sock:
        sock.sendall(b"\xff\xff" + bytes(10))
        assert sock.recv(1) == b""


def test_tcp_closes_an_idle_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "IDLE", 0.2)
    with running() as server, server.tcp() as sock:
        sock.sendall(b"\0\x20half a question")
        with pytest.raises((EOFError, ConnectionError)):
            receive(sock, 1)


def test_a_thousand_silent_clients_do_not_keep_others_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "MOST_CONNECTIONS", 100)
    with running() as server, contextlib.ExitStack() as stack:
        asked = query(f"my-service.{D}").to_wire()
        busy = stack.enter_context(server.tcp())
        for number in range(1_000):
            stack.enter_context(server.tcp()).sendall(b"\0\x20half")
            if number % 10 == 0:
                send_message(busy, asked)
                assert receive_message(busy)
        assert server.udp(asked)
        with server.tcp() as sock:
            send_message(sock, asked)
            assert receive_message(sock)


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
    assert (config.domain, config.pods) == ("example.org", "disabled")
    assert config.listen == (("0.0.0.0", 5353), ("::", 5353))
    for name, value in (("TTL", "x"), ("PODS", "some"), ("DOMAIN", "a..b"), ("WORKERS", "0")):
        with pytest.raises(ValueError, match=value):
            from_environment({f"FAIRLEAD_DNS_{name}": value, "FAIRLEAD_DNS_UPSTREAMS": "none"})
    path = tmp_path / "resolv.conf"
    path.write_text("search a b\nnameserver 192.0.2.1\n# nameserver 192.0.2.2\nnameserver 2001:db8::1\n")
    assert nameservers(path) == (Upstream("192.0.2.1"), Upstream("2001:db8::1"))
    assert nameservers(tmp_path / "nothing") == ()


def test_a_client_that_never_stops_asking_does_not_hold_up_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each turn of the loop answers so many questions of one connection, whatever it has sent."""
    with running() as server, server.tcp() as sock:
        loop_turns: list[int] = []

        async def turns() -> None:
            while len(answered) < 5_000:
                loop_turns.append(len(answered))
                await asyncio.sleep(0)

        answered: list[bytes] = []
        respond = server.responder.respond

        def counted(data: bytes, client: str, *, tcp: bool = False) -> object:
            answered.append(data)
            return respond(data, client, tcp=tcp)

        monkeypatch.setattr(server.responder, "respond", counted)
        watching = server.start(turns())
        asked = query(f"my-service.{D}").to_wire()
        with ThreadPoolExecutor(1) as pool:
            sending = pool.submit(sock.sendall, (len(asked).to_bytes(2) + asked) * 5_000)
            for _ in range(5_000):
                receive_message(sock)
            sending.result()
        watching.result(LIMIT)
        most = max(b - a for a, b in zip(loop_turns, [*loop_turns[1:], 5_000], strict=True))
    assert most <= 2 * tcp.TURN
