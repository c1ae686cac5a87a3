"""Addresses take turns at the front, and each answer has all of them, however many there are."""

from __future__ import annotations

import threading

import dns.edns
import dns.message
import pytest

from fairlead.dns import rotation
from fairlead.dns.answers import Answers
from fairlead.dns.edns import Cookies
from fairlead.dns.responder import Responder
from fairlead.dns.source import EndpointSlice, Service, read
from fairlead.dns.zone import Zone
from tests.dns.cluster import ask, lines

D = "default.svc.cluster.local"


def responder(count: int) -> Responder:
    """A headless Service of so many endpoints in both families, and an alias of it."""
    zone = Zone()
    for name, spec in (
        ("web", {"clusterIP": "None"}),
        ("alias", {"type": "ExternalName", "externalName": f"web.{D}"}),
    ):
        manifest = {"metadata": {"name": name, "namespace": "default"}, "spec": spec}
        zone.put_service(f"default/{name}", read(Service, manifest))
    for family, prefix in (("IPv4", "10.0.0."), ("IPv6", "fd00::")):
        name = f"web-{family.lower()}"
        labels = {"kubernetes.io/service-name": "web"}
        piece = {
            "metadata": {"name": name, "namespace": "default", "labels": labels},
            "addressType": family,
            "endpoints": [{"addresses": [f"{prefix}{number}"]} for number in range(1, count + 1)],
        }
        zone.put_slice(f"default/{name}", read(EndpointSlice, piece))
    found = Responder(zone, Answers(), Cookies())
    found.synced()
    return found


@pytest.mark.parametrize("count", [2, 5, 17, 40])
@pytest.mark.parametrize("kind", ["A", "AAAA"])
@pytest.mark.parametrize("name", ["web", "ALIAS"])
@pytest.mark.parametrize("shape", ["plain", "EDNS", "cookie"])
def test_addresses_take_turns(count: int, kind: str, name: str, shape: str) -> None:
    options: list[dns.edns.Option] = [dns.edns.GenericOption(dns.edns.OptionType.COOKIE, b"12345678")]
    query = dns.message.make_query(f"{name}.{D}", kind)
    if shape != "plain":
        query.use_edns(0, payload=4096, options=options if shape == "cookie" else [])
    answering = responder(count)
    messages = [ask(answering, query) for _ in range(2 * count)]
    answers = [[line.split()[-1] for line in lines(m.answer) if "CNAME" not in line] for m in messages]
    assert {len(answer) for answer in answers} == {len(set(answer)) for answer in answers}
    assert all(m.question == query.question for m in messages)
    assert all(m.edns == query.edns for m in messages)
    if not messages[0].flags & dns.flags.TC:
        assert {frozenset(answer) for answer in answers} == {frozenset(answers[0])}
        assert len(answers[0]) == count
    orders = [tuple(answer) for answer in answers]
    turns = orders.index(orders[0], 1)
    assert turns in (count, min(count, rotation.MAX_VARIANTS))
    assert orders[:-turns] == orders[turns:]
    assert len({order[0] for order in orders}) == turns


def test_several_threads_take_their_turns_at_once() -> None:
    """Several addresses to listen on have a thread each."""
    answering, query = responder(9), dns.message.make_query(f"web.{D}", "A").to_wire()
    answering.respond(query, "192.0.2.1")
    seen: list[bytes] = []

    def take() -> None:
        for _ in range(900):
            answer = answering.ready(query, "192.0.2.1")
            assert answer is not None
            seen.append(answer)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 3600
    assert {seen.count(answer) for answer in set(seen)} == {400}


def test_what_is_not_alike_is_not_turned_by_its_bytes() -> None:
    answering = responder(9)
    answer = answering.zone.find(f"web.{D}", 1).answer
    message = answering.respond(dns.message.make_query(f"web.{D}", "A").to_wire(), "192.0.2.1")
    assert isinstance(message, bytes)
    assert rotation.in_turn(message[2:], answer, 0) is not None
    assert rotation.in_turn(message[2:], answer, 1) is None
    assert rotation.in_turn(message[2:], answer * 2, 0) is None
    assert rotation.in_turn(message[2:], answer[:4], 0) is None
