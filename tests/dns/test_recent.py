"""What another server answered a moment ago is sent again: to the same question, to those who may ask, not for long."""

from __future__ import annotations

import types

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest

from fairlead.dns import recent
from fairlead.dns.policy import Policy
from fairlead.dns.recent import Recent
from fairlead.dns.responder import Beyond
from fairlead.dns.tally import tally
from tests.dns.cluster import ask, example_responder, lines, query, receive_message, running, send_message
from tests.dns.others import other_server, reply

D = "default.svc.cluster.local"
COOKIE = dns.edns.GenericOption(dns.edns.OptionType.COOKIE, b"12345678")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """A clock that stands still."""
    fake = types.SimpleNamespace(now=100.0)
    fake.monotonic = lambda: fake.now
    monkeypatch.setattr(recent, "time", fake)
    return fake


def test_the_same_question_is_answered_without_another_look(clock: types.SimpleNamespace) -> None:
    """In its letter case, with or without a cookie, over UDP and TCP, and counted."""
    others = reply("example.com. 60 A 192.0.2.1")
    with other_server(others) as (address, asked), running(upstreams=(address,)) as server:
        questions = [
            query("example.com"),
            query("EXAMPLE.com"),
            query("example.com", use_edns=0),
            query("example.com", use_edns=0, options=[COOKIE]),
        ]
        for _ in range(3):
            for question in questions:
                answer = dns.message.from_wire(server.udp(question.to_wire()))
                assert question.is_response(answer)
                assert answer.question[0].name.to_text() == question.question[0].name.to_text()
                assert lines(answer.answer)[0].endswith(" A 192.0.2.1")
        assert len(server.responder.recent) == 3
        with server.tcp() as sock:
            for question in questions:
                send_message(sock, question.to_wire())
                answer = dns.message.from_wire(receive_message(sock))
                assert lines(answer.answer)
                assert answer.flags & dns.flags.RA
        assert server.responder.recent.subjects.counts() == {("udp", 1, 0): 7, ("tcp", 1, 0): 4}
        counted = tally(server.listeners)
        assert sorted(counted.queries) == [("tcp", 1, 0, 4), ("udp", 1, 0, 12)]
        assert counted.cache[1] + counted.cache[2] == 16
        assert asked == ["example.com. A"] * 2  # without EDNS and with it


def test_only_those_get_it_who_may_ask_and_as_long_as_nothing_changes(clock: types.SimpleNamespace) -> None:
    others = Policy(takes=lambda _: True, recursion=lambda client: client == "192.0.2.7")
    responder = example_responder(policy=others)
    question = query("example.com")
    made = responder.respond(question.to_wire(), "192.0.2.7")
    assert isinstance(made, Beyond)
    answer = dns.message.make_response(question)
    responder.remember(made, answer.to_wire(), clock.now + 60)
    assert ask(responder, question).id == question.id
    refusal = responder.respond(question.to_wire(), "198.51.100.1")
    assert isinstance(refusal, bytes)
    assert dns.message.from_wire(refusal).rcode() == dns.rcode.REFUSED
    clock.now += 0.99
    assert ask(responder, question)
    clock.now += 0.01
    assert isinstance(responder.respond(question.to_wire(), "192.0.2.7"), Beyond)
    responder.remember(made, answer.to_wire(), clock.now + 0.5)
    clock.now += 0.5
    assert isinstance(responder.respond(question.to_wire(), "192.0.2.7"), Beyond)
    responder.remember(made, answer.to_wire(), clock.now + 60)
    responder.configure(others)
    assert isinstance(responder.respond(question.to_wire(), "192.0.2.7"), Beyond)


@pytest.mark.parametrize("name", [f"external-db.{D}", "1.2.0.192.in-addr.arpa"])
def test_what_the_cluster_may_change_is_not_kept(name: str) -> None:
    """An alias may be turned at any time, and an address may become a Service's."""
    responder = example_responder(policy=Policy(takes=lambda _: True))
    made = responder.respond(query(name).to_wire(), "192.0.2.7")
    assert isinstance(made, Beyond)
    responder.remember(made, dns.message.make_response(query(name)).to_wire(), 1e12)
    assert not len(responder.recent)


def test_it_is_bounded() -> None:
    kept = Recent(most=10)
    for number in range(100):
        kept.put(b"%d" % number, bytes(20), (1, 0), 1e12)
    assert len(kept) == 10
    kept.put(b"99", bytes(1_300), (1, 0), 1e12)
    assert len(kept) == 9
