"""Names of others: which server is asked, what is believed, what is kept and for how long."""

from __future__ import annotations

import socket
import ssl
import time
import types
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fairlead.dns import forward, listeners, recent, upstreams
from fairlead.dns.cache import Cache, CacheLimits
from fairlead.dns.upstreams import Question, Upstream
from tests.dns.cluster import Running, lines, query, receive_message, running, send_message
from tests.dns.others import other_server, reply
from tests.loopback import own_address
from tests.waiting import LIMIT

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


@pytest.fixture
def nobody() -> Iterator[Upstream]:
    """Where nobody listens: a socket that is connected elsewhere keeps the port from others, and takes nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((own_address(), 0))
        sock.connect((own_address(), 9))
        yield Upstream(*sock.getsockname())


def test_the_next_server_is_asked_when_one_refuses_or_is_away(nobody: Upstream) -> None:
    with (
        other_server(reply(rcode=dns.rcode.SERVFAIL)) as (failing, _),
        other_server(reply("example.com. 60 A 192.0.2.1")) as (good, _),
        running(upstreams=(nobody, failing, good)) as server,
    ):
        assert dns.message.from_wire(server.udp(query("example.com").to_wire())).answer


def test_without_any_server_the_client_hears_of_it_at_once(nobody: Upstream) -> None:
    """Whoever waited for an answer would wait for longer than this test asks."""
    with running(upstreams=(nobody,)) as server:
        for number in range(20):
            message = dns.message.from_wire(server.udp(query(f"{number}.example.com").to_wire()))
            assert message.rcode() == dns.rcode.SERVFAIL
        alias = dns.message.from_wire(server.udp(query(f"external-db.{D}").to_wire()))
        assert lines(alias.answer) == [f"external-db.{D}. CNAME db.example.com."]


def test_a_server_that_leads_back_here_is_noticed() -> None:
    with running(upstreams=(Upstream("127.0.0.1", 1),)) as server:
        itself = Upstream(server.host, server.port)
        server.listeners.forwarder.nameservers[0].server = itself
        message = dns.message.from_wire(server.udp(query("example.com").to_wire()))
        assert message.rcode() == dns.rcode.REFUSED
        assert server.listeners.forwarder.nameservers[0].asked == 1


def test_reverse_names_of_others_are_asked_of_others() -> None:
    with (
        other_server(reply("1.2.0.192.in-addr.arpa. 60 PTR example.com.")) as (address, asked),
        running(upstreams=(address,)) as server,
    ):
        for number, name in ((1, "1.2.0.192"), (0, "100.0.96.10")):
            asked.clear()
            assert dns.message.from_wire(server.udp(query(f"{name}.in-addr.arpa", "PTR").to_wire())).answer
            assert len(asked) == number


def rcode_of(server: Running, name: str) -> dns.rcode.Rcode:
    return dns.message.from_wire(server.udp(query(name).to_wire())).rcode()


def first(server: Running, name: str) -> tuple[str, int]:
    """The first address of a name, with its TTL in seconds."""
    answer = dns.message.from_wire(server.udp(query(name).to_wire())).answer
    return answer[0][0].to_text(), answer[0].ttl


def test_a_stub_domain_has_servers_of_its_own() -> None:
    with (
        other_server(reply("x. 60 A 192.0.2.1")) as (everyone, for_all),
        other_server(reply("x. 60 A 192.0.2.2")) as (corp, for_corp),
        other_server(reply("x. 60 A 192.0.2.3")) as (lab, for_lab),
        running(upstreams=(everyone,), stubs={"corp.example": (corp,), "lab.corp.example": (lab,)}) as server,
    ):
        for name in ("example", "corp.example", "a.corp.example", "b.lab.corp.example", "notcorp.example"):
            assert rcode_of(server, name) == dns.rcode.NOERROR
        assert for_all == ["example. A", "notcorp.example. A"]
        assert for_corp == ["corp.example. A", "a.corp.example. A"]
        assert for_lab == ["b.lab.corp.example. A"]


def test_without_servers_for_everything_other_names_are_refused() -> None:
    with (
        other_server(reply("x. 60 A 192.0.2.2")) as (corp, _),
        running(stubs={"corp.example": (corp,)}) as server,
    ):
        assert rcode_of(server, "a.corp.example") == dns.rcode.NOERROR
        assert rcode_of(server, "example.com") == dns.rcode.REFUSED


def test_other_servers_are_not_asked_for_outsiders() -> None:
    with (
        other_server(reply("example.com. 60 A 192.0.2.1")) as (address, asked),
        running(upstreams=(address,), recursion=(ip_network("192.0.2.0/24"),)) as server,
    ):
        assert rcode_of(server, "example.com") == dns.rcode.REFUSED
        alias = dns.message.from_wire(server.udp(query(f"external-db.{D}").to_wire()))
        assert lines(alias.answer) == [f"external-db.{D}. CNAME db.example.com."]
        assert rcode_of(server, f"my-service.{D}") == dns.rcode.NOERROR
        assert not asked


@pytest.mark.parametrize("answers", [1, 100], ids=["closed after each", "kept open"])
def test_servers_over_tls(answers: int, tmp_path: Path) -> None:
    made = issue(tmp_path, "dns.example")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*made[1:])
    over_tls = reply("example.com. 60 A 192.0.2.1")
    with other_server(over_tls, over_tls, tls=tls, answers=answers) as (at, asked):
        good, bad = (at._replace(tls=True, server_name=name) for name in ("dns.example", "evil.example"))
        with running(upstreams=(good,), trusted=made[0]) as server:
            for number in range(5):
                assert rcode_of(server, f"{number}.example.com") == dns.rcode.NOERROR
        with running(upstreams=(bad,), trusted=made[0]) as server:
            assert rcode_of(server, "6.example.com") == dns.rcode.SERVFAIL
        with running(upstreams=(good,)) as server:  # the system trusts nobody of that kind
            assert rcode_of(server, "7.example.com") == dns.rcode.SERVFAIL
        assert asked == [f"{number}.example.com. A" for number in range(5)]


def issue(directory: Path, name: str) -> tuple[Path, Path, Path]:
    """A certificate for a name that signs itself: as what is trusted, as the server's, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = directory / "ca.pem", directory / "cert.pem", directory / "key.pem"
    for path in paths[:2]:
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[2].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return paths


def test_a_server_that_was_away_is_asked_again_when_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstreams, "PROBE", 0.05)
    silent = True

    def over_udp(asked: dns.message.Message) -> list[bytes]:
        return [] if silent else reply("example.com. 60 A 192.0.2.1")(asked)

    def names() -> list[str]:
        return [question.split(".")[0] for question in asked if question != ". NS"]

    monkeypatch.setattr(upstreams, "TRY", 0.1)
    with other_server(over_udp) as (address, asked), running(upstreams=(address,)) as server:
        for number in range(3):
            assert rcode_of(server, f"{number}.example.com") == dns.rcode.SERVFAIL
        server.until(lambda: ". NS" in asked)
        assert names() == ["0", "1"]
        silent = False
        monkeypatch.setattr(
            upstreams, "TRY", LIMIT
        )  # the answer to the next probe counts, however late it is
        server.until(lambda: rcode_of(server, "back.example.com") == dns.rcode.NOERROR)
        assert names() == ["0", "1", "back"]


def test_an_answer_past_its_time_serves_while_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    away = False

    def over_udp(asked: dns.message.Message) -> list[bytes]:
        return [] if away else reply("example.com. 60 A 192.0.2.1")(asked)

    limits = CacheLimits(stale=100)
    with other_server(over_udp) as (address, _), running(upstreams=(address,), cache=limits) as server:
        assert first(server, "example.com") == ("192.0.2.1", 60)
        away = True
        monkeypatch.setattr(upstreams, "TRY", 0.1)
        clock.ahead = 59
        assert first(server, "example.com") == ("192.0.2.1", 1)
        clock.ahead = 159
        assert first(server, "example.com") == ("192.0.2.1", 30)
        assert server.listeners.forwarder.cache.stale == 1
        clock.ahead = 161
        assert rcode_of(server, "example.com") == dns.rcode.SERVFAIL


def test_what_is_asked_for_often_is_fetched_before_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    with (
        other_server(reply("example.com. 100 A 192.0.2.1")) as (address, asked),
        running(upstreams=(address,)) as server,
    ):
        for seconds, times in ((0, 1), (50, 1), (89, 1), (91, 2)):
            clock.ahead = seconds
            assert first(server, "example.com")[0] == "192.0.2.1"
            server.until(lambda times=times: len(asked) >= times)  # type: ignore[misc]
            assert len(asked) == times
        server.until(lambda: first(server, "example.com")[1] >= 90)
        assert len(asked) == 2


@pytest.mark.parametrize(
    ("limits", "ttl", "kept"),
    [
        (CacheLimits(shortest=20), 5, 20),
        (CacheLimits(longest=10), 60, 10),
        (CacheLimits(), 0, 0),
        (CacheLimits(entries=0), 60, 0),
    ],
    ids=["longer", "shorter", "not at all", "no room"],
)
def test_times_are_bounded(limits: CacheLimits, ttl: int, kept: int) -> None:
    cache = Cache(limits)
    message = dns.message.make_response(query("example.com"))
    message.answer.append(dns.rrset.from_text("example.com.", ttl, "IN", "A", "192.0.2.1"))
    question = Question(b"x")
    cache.keep(question, message.to_wire()[2:], 100.0)
    assert (cache.fresh(question, 99.9 + kept) is not None) == bool(kept)
    assert cache.fresh(question, 100.0 + kept) is None


def test_large_answers_of_others_leave_room_for_fewer() -> None:
    """65,535 bytes an answer would otherwise be half a gigabyte of them."""
    cache = Cache(CacheLimits(entries=10))

    def keep(name: str, strings: int) -> bool:
        message = dns.message.make_response(query(name, "TXT"))
        text = " ".join(['"' + "x" * 250 + '"'] * strings)
        message.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", "TXT", text))
        cache.keep(Question(name.encode()), message.to_wire()[2:], 100.0)
        return cache.fresh(Question(name.encode()), 101.0) is not None

    assert all(keep(f"a{number}", 16) for number in range(20))
    assert len(cache) == 2
    assert keep("small", 1)
    assert len(cache) == 3
    assert not keep("a19", 50)
    assert len(cache) == 2
    assert cache._bytes == sum(len(kept.answer) for kept in cache._kept.values()) <= 10 * 1024


class Clock:
    """The monotonic clock of the forwarder: it stands still but where a test puts it ahead."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        began = time.monotonic()
        fake = types.SimpleNamespace(monotonic=lambda: began + self.ahead)
        monkeypatch.setattr(forward, "time", fake)
        monkeypatch.setattr(recent, "time", fake)


def test_a_flood_for_random_names_of_others_stays_bounded() -> None:
    """The cache forgets, what waits is bounded, and the cluster's own names are answered all the time."""
    limits = CacheLimits(entries=50)

    def any_name(asked: dns.message.Message) -> list[bytes]:
        return reply(f"{asked.question[0].name} 300 A 192.0.2.1")(asked)

    with other_server(any_name) as (address, _), running(upstreams=(address,), cache=limits) as server:
        for number in range(500):
            name = f"random-{number}.example"
            assert lines(dns.message.from_wire(server.udp(query(name).to_wire())).answer) == [
                f"{name}. A 192.0.2.1"
            ]
        assert len(server.listeners.forwarder.cache) == 50
        assert not server.listeners.forwarder._asking
        assert dns.message.from_wire(server.udp(query(f"my-service.{D}").to_wire())).answer


def test_more_questions_than_may_wait_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "MOST_IN_FLIGHT", 10)
    monkeypatch.setattr(listeners, "DRAIN", 0.05)
    with (
        other_server(lambda _: []) as (address, _),
        running(upstreams=(address,)) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
    ):
        sock.settimeout(LIMIT)
        sock.connect((server.host, server.port))
        for number in range(15):
            sock.send(query(f"random-{number}.example", id=number).to_wire())
        refused = [dns.message.from_wire(sock.recv(4096)) for _ in range(5)]
        assert {message.rcode() for message in refused} == {dns.rcode.SERVFAIL}
        assert len(server.listeners.forwarder._asking) <= 10
        assert dns.message.from_wire(server.udp(query(f"my-service.{D}").to_wire())).answer
