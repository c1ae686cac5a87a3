"""The sample of the queries: whatever the way to their answer was, over UDP and TCP, with what was answered."""

from __future__ import annotations

import logging

import dns.edns
import dns.message
import dns.rcode
import pytest

from fairlead.dns.observer import Observer, Sampler, rcode_of
from fairlead.dns.zone import Zone
from tests.dns.cluster import EXAMPLES, Running, query, receive_message, running, send_message
from tests.dns.others import other_server, reply

D = "default.svc.cluster.local"
CASES = {
    "computed, then ready": ((f"my-service.{D}", "A", {}), "NOERROR"),
    "computed, of no such name": ((f"nothing.{D}", "AAAA", {}), "NXDOMAIN"),
    "in capitals with a cookie": (
        (f"MY-service.{D}", "A", {"options": [dns.edns.GenericOption("COOKIE", b"12345678")]}),
        "NOERROR",
    ),
    "an unknown version of EDNS": ((f"my-service.{D}", "A", {"use_edns": 1}), "BADVERS"),
    "asked of another server, then kept": (("www.example.com", "A", {}), "NOERROR"),
    "refused": (("www.example.com", "AXFR", {}), "REFUSED"),
}


def ask(server: Running, asked: bytes, *, tcp: bool) -> bytes:
    if not tcp:
        return server.udp(asked)
    with server.tcp() as sock:
        send_message(sock, asked)
        return receive_message(sock)


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
@pytest.mark.parametrize(("asked", "rcode"), CASES.values(), ids=CASES)
def test_every_way_is_sampled_with_its_rcode(
    asked: tuple[str, str, dict[str, object]], rcode: str, tcp: bool, caplog: pytest.LogCaptureFixture
) -> None:
    name, kind, settings = asked
    caplog.set_level(logging.INFO, "fairlead.dns.queries")
    with (
        other_server(reply("www.example.com. 300 A 192.0.2.80")) as (upstream, _),
        running(EXAMPLES, sample=1.0, log=True, upstreams=(upstream,)) as server,
    ):
        caplog.clear()
        for _ in range(3):
            ask(server, query(name, kind, **settings).to_wire(), tcp=tcp)
        # The last query is looked at after its answer has been sent.
        server.until(lambda: len(caplog.messages) == 3)
    assert caplog.messages == [f"{name.lower()} {kind} {rcode} from 127.0.0.1"] * 3


def test_one_in_so_many() -> None:
    observer = Observer(Zone(), 1 / 100, False)
    sampler = Sampler(observer)
    found, at = [], 0
    for count in (32, 32, 32, 32, 1, 1, 270, 0, 100):
        found += [at + one for one in sampler.due(count)]
        at += count
    assert found == [99, 199, 299, 399, 499]
    observer.configure(1.0, False)
    assert list(sampler.due(3)) == [0, 1, 2]
    observer.configure(0, False)
    assert list(sampler.due(1000)) == list(sampler.due(1000)) == []
    observer.configure(1 / 4, False)
    assert list(sampler.due(9)) == [3, 7]


def test_the_rcode_of_an_answer() -> None:
    asked = dns.message.make_query("a.example", "A", use_edns=0)
    for rcode in (dns.rcode.NOERROR, dns.rcode.REFUSED, dns.rcode.BADVERS):
        answer = dns.message.make_response(asked)
        answer.set_rcode(rcode)
        assert rcode_of(answer.to_wire()) == rcode
    assert rcode_of(bytes(3) + b"\x05" + bytes(8)) == 5
