"""Bytes that a fuzzer makes, guided by the branches that they take: to be run as a process (see `test_fuzz`)."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["fairlead.dns"]):
    from fairlead.dns.message import HEADER
    from fairlead.dns.policy import Policy
    from fairlead.dns.reply import addresses, aged, fields, lifetime
    from fairlead.dns.responder import Beyond
    from fairlead.dns.upstreams import Question, answers
    from tests.dns.cluster import example_responder

LONGEST_UDP = 1232
RESPONDER = example_responder(policy=Policy(takes=lambda name: name.endswith(".example")))


def query(data: bytes) -> None:
    """As a client's query, over UDP and TCP: silence, an answer with its ID, or a question for others."""
    for tcp in (False, True):
        answer = RESPONDER.respond(data, "192.0.2.7", tcp=tcp)
        if isinstance(answer, bytes):
            assert answer[:2] == data[:2]
            assert answer[2] & 0x80
            assert len(answer) >= HEADER
            assert tcp or len(answer) <= LONGEST_UDP
            list(fields(answer[2:])) if answer[4:6] == b"\0\1" else None
        else:
            assert answer is None or isinstance(answer, Beyond)
    assert len(RESPONDER.answers.ready) < 50_000


def reply(data: bytes) -> None:
    """As another server's answer: passed over, or read without an error."""
    question = Question(b"\1a\7example\0\0\1\0\1")
    query = question.query()
    message = query[:2] + data
    if answers(message, query, question):
        fields(data)
        lifetime(data, 60, 30)
        aged(data, 10)
    addresses(data, "a.example")


TARGETS = {"query": query, "reply": reply}

if __name__ == "__main__":
    atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGETS[sys.argv[1]])
    atheris.Fuzz()
