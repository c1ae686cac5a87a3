"""Names of others: which server is asked, what is believed, what is kept and for how long."""

from __future__ import annotations

import socket
import time

import dns.flags
import dns.message
import dns.rcode

from fairlead.dns.upstreams import Upstream
from tests.dns.cluster import lines, query, receive_message, running, send_message
from tests.dns.others import other_server, reply

D = "default.svc.cluster.local"


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
        itself = Upstream(server.host, server.port)
        server.listeners.forwarder.nameservers[0].server = itself
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
