"""What is answered to the many shapes of a query: EDNS, cookies, truncation, letter case, and what is no query."""

from __future__ import annotations

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype
import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from fairlead.dns import wire
from fairlead.dns.message import parse
from fairlead.dns.records import Address, Authority, Location, Name, Record, Text, Type
from fairlead.dns.responder import Responder
from fairlead.dns.zone import Rcode
from tests.dns.cluster import apply, ask, example_responder, lines

D = "default.svc.cluster.local"
HEADER = bytes.fromhex("1234 0100 0001 0000 0000 0000")
QUESTION = b"\x0amy-service\x07default\x03svc\x07cluster\x05local\0\0\1\0\1"
OPT = bytes.fromhex("00 0029 1000 00 00 0000 0000")
ONE_MORE = bytes.fromhex("1234 0100 0001 0000 0000 0001")


def opt(options: bytes = b"", size: int = 4096, version: int = 0) -> bytes:
    return b"\0\0\x29" + size.to_bytes(2) + bytes((0, version, 0, 0)) + len(options).to_bytes(2) + options


REFUSALS = {
    "no question": (HEADER[:4] + b"\0\0" + HEADER[6:], Rcode.FORMERR),
    "two questions": (HEADER[:4] + b"\0\2" + HEADER[6:] + QUESTION * 2, Rcode.FORMERR),
    "a question that ends early": (HEADER + QUESTION[:-1], Rcode.FORMERR),
    "a name that ends early": (HEADER + QUESTION[:8], Rcode.FORMERR),
    "only a header": (HEADER, Rcode.FORMERR),
    "more than was announced": (HEADER + QUESTION + b"x", Rcode.FORMERR),
    "less than was announced": (ONE_MORE + QUESTION, Rcode.FORMERR),
    "a pointer in the question": (HEADER + b"\xc0\x0c\0\1\0\1", Rcode.FORMERR),
    "a name of 256 bytes": (HEADER + (b"\x3f" + b"x" * 63) * 4 + b"\0\0\1\0\1", Rcode.FORMERR),
    "two OPT records": (HEADER[:-1] + b"\2" + QUESTION + opt() + opt(), Rcode.FORMERR),
    "an OPT record that ends early": (ONE_MORE + QUESTION + opt(b"12345678")[:-1], Rcode.FORMERR),
    "an option that ends early": (ONE_MORE + QUESTION + opt(b"\0\x0a\0\x08"), Rcode.FORMERR),
    "a cookie of 7 bytes": (ONE_MORE + QUESTION + opt(b"\0\x0a\0\x07" + b"c" * 7), Rcode.FORMERR),
    "a cookie of 12 bytes": (ONE_MORE + QUESTION + opt(b"\0\x0a\0\x0c" + b"c" * 12), Rcode.FORMERR),
    "NOTIFY": (HEADER[:2] + b"\x21\0" + HEADER[4:] + QUESTION, Rcode.NOTIMP),
    "UPDATE": (HEADER[:2] + b"\x28\0" + HEADER[4:] + QUESTION, Rcode.NOTIMP),
    "another class": (HEADER + QUESTION[:-1] + b"\3", Rcode.REFUSED),
    "a zone transfer": (HEADER + QUESTION[:-4] + b"\0\xfc\0\1", Rcode.REFUSED),
}


@pytest.mark.parametrize(("query", "rcode"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_bad_query_is_told_so(query: bytes, rcode: Rcode) -> None:
    answer = example_responder().respond(query, "192.0.2.7")
    assert isinstance(answer, bytes)
    message = dns.message.from_wire(answer)
    assert int(message.rcode()) == int(rcode)
    assert message.id == 0x1234
    assert not message.answer


@pytest.mark.parametrize(
    "data", [b"", b"x", HEADER[:11], HEADER[:2] + b"\x81\x80" + HEADER[4:] + QUESTION], ids=len
)
def test_what_is_no_query_gets_no_answer(data: bytes) -> None:
    assert example_responder().respond(data, "192.0.2.7") is None


@given(st.binary(max_size=600))
@settings(max_examples=300)
def test_any_bytes_get_an_answer_or_silence(data: bytes) -> None:
    check_any(data)


@given(st.binary(max_size=300))
@settings(max_examples=300)
def test_any_bytes_after_a_header(data: bytes) -> None:
    check_any(ONE_MORE + data)


@given(st.data())
@settings(max_examples=300)
def test_any_damage_to_a_good_query(data: st.DataObject) -> None:
    query = bytearray(ONE_MORE + QUESTION + opt(b"\0\x0a\0\x08" + b"c" * 8))
    for _ in range(data.draw(st.integers(1, 3))):
        query[data.draw(st.integers(0, len(query) - 1))] = data.draw(st.integers(0, 255))
    check_any(bytes(query[: data.draw(st.integers(0, len(query)))]))


RESPONDER = example_responder()


def check_any(data: bytes) -> None:
    for _ in range(2):  # the second time perhaps from what was kept
        answer = RESPONDER.respond(data, "192.0.2.7")
        if answer is not None:
            assert isinstance(answer, bytes)
            assert answer[:2] == data[:2]
            assert dns.message.from_wire(answer).flags & dns.flags.QR


labels = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=20)
names = st.lists(labels, min_size=1, max_size=6).map(".".join)
data = st.one_of(
    st.binary(min_size=4, max_size=4).map(lambda b: (Type.A, Address(b))),
    st.binary(min_size=16, max_size=16).map(lambda b: (Type.AAAA, Address(b))),
    names.map(lambda n: (Type.CNAME, Name(n))),
    names.map(lambda n: (Type.PTR, Name(n))),
    st.tuples(*[st.integers(0, 65_535)] * 3, names).map(lambda t: (Type.SRV, Location(*t))),
    st.text("abc .", max_size=20).map(lambda t: (Type.TXT, Text(t))),
    st.tuples(names, names, *[st.integers(0, 2**31 - 1)] * 5).map(lambda t: (Type.SOA, Authority(*t))),
)
some_records = st.lists(
    st.tuples(names, data, st.integers(0, 2**31 - 1)).map(lambda t: Record(t[0], t[1][0], t[2], t[1][1])),
    max_size=8,
)


@given(names, some_records, some_records, st.booleans())
def test_what_is_written_is_what_dnspython_reads(
    name: str, answer: list[Record], additional: list[Record], edns: bool
) -> None:
    query = parse(dns.message.make_query(name, "A", use_edns=edns or None).to_wire())
    data = query.id + wire.answer(query, Rcode.NOERROR, answer, (), additional, limit=65_535)
    message = dns.message.from_wire(data, one_rr_per_rrset=True)
    for section, records in ((message.answer, answer), (message.additional, additional)):
        found = [f"{rrset.name} {rrset.ttl} IN {rrset.rdtype.name} {rrset[0].to_text()}" for rrset in section]
        assert found == [str(record) for record in records]


@given(names, some_records, st.integers(300, 600))
def test_no_answer_is_longer_than_its_limit(name: str, answer: list[Record], limit: int) -> None:
    query = parse(dns.message.make_query(name, "A", use_edns=0).to_wire())
    data = query.id + wire.answer(query, Rcode.NOERROR, answer, limit=limit)
    assert len(data) <= limit
    message = dns.message.from_wire(data, one_rr_per_rrset=True)
    assert bool(message.flags & dns.flags.TC) == (len(message.answer) < len(answer))


def test_letter_case_is_echoed() -> None:
    responder = example_responder()
    for name in (f"my-service.{D}", f"mY-sErViCe.{D}", f"MY-SERVICE.{D.upper()}"):
        message = ask(responder, dns.message.make_query(name, "A"))
        assert message.question[0].name.to_text() == f"{name}."
        assert lines(message.answer) == [f"{name}. A 10.96.0.100"]
    assert len(responder.answers.ready) == 1


def test_edns_is_answered_with_edns() -> None:
    query = dns.message.make_query(f"my-service.{D}", "A", use_edns=0, payload=4096, want_dnssec=True)
    message = ask(example_responder(), query)
    assert (message.edns, message.payload) == (0, 1232)
    assert message.ednsflags & dns.flags.DO
    assert ask(example_responder(), dns.message.make_query(f"my-service.{D}", "A")).edns == -1


def test_an_unknown_version_of_edns_is_refused() -> None:
    message = ask(example_responder(), dns.message.make_query(f"my-service.{D}", "A", use_edns=1))
    assert message.rcode() == dns.rcode.BADVERS
    assert message.edns == 0


def cookie_query(cookie: bytes, name: str = f"my-service.{D}", more: bool = False) -> dns.message.Message:
    options: list[dns.edns.Option] = [dns.edns.GenericOption(dns.edns.OptionType.COOKIE, cookie)]
    if more:
        options.append(dns.edns.GenericOption(dns.edns.OptionType.PADDING, bytes(20)))
    return dns.message.make_query(name, "A", use_edns=0, options=options)


def cookie_of(message: dns.message.Message) -> bytes:
    [option] = message.options
    return option.to_wire()  # type: ignore[no-any-return]


def test_cookies_are_answered_from_one_ready_answer() -> None:
    responder = example_responder()
    given_ = [cookie_of(ask(responder, cookie_query(bytes([n]) * 8))) for n in range(3)]
    assert [cookie[:8] for cookie in given_] == [bytes([n]) * 8 for n in range(3)]
    assert len({cookie[8:] for cookie in given_}) == 3
    assert len(responder.answers.ready) == 1
    # The same client with the cookie that it was given, and with one that is not ours.
    assert cookie_of(ask(responder, cookie_query(given_[0]))) == given_[0]
    assert cookie_of(ask(responder, cookie_query(given_[0][:8] + bytes(16)))) == given_[0]


def test_a_cookie_before_another_option_is_answered_too() -> None:
    responder = example_responder()
    for number in range(3):
        cookie = cookie_of(ask(responder, cookie_query(bytes([number]) * 8, more=True)))
        assert cookie[:8] == bytes([number]) * 8
    assert not responder.answers.ready


def test_padding_that_looks_like_a_cookie_is_none() -> None:
    responder = example_responder()
    padding = dns.edns.GenericOption(dns.edns.OptionType.PADDING, b"\0\x0a\0\x08abcdefgh")
    query = dns.message.make_query(f"my-service.{D}", "A", use_edns=0, options=[padding])
    for _ in range(2):
        assert ask(responder, query).options == ()
    ask(responder, cookie_query(b"abcdefgh"))
    assert ask(responder, query).options == ()


def test_different_clients_get_different_cookies() -> None:
    responder = example_responder()
    query = cookie_query(b"12345678").to_wire()
    first, second = (responder.respond(query, client) for client in ("192.0.2.1", "192.0.2.2"))
    assert first != second


def slice_of_many(count: int, more: str = "") -> str:
    endpoints = ", ".join(f"{{addresses: [10.244.{n >> 8}.{n & 255}]}}" for n in range(count))
    return f"""
    kind: EndpointSlice
    metadata: {{name: many-1, namespace: default, labels: {{kubernetes.io/service-name: many}}}}
    endpoints: [{endpoints}]
    {more}
    """


def many() -> Responder:
    responder = example_responder()
    service = "{kind: Service, metadata: {name: many, namespace: default}, spec: {clusterIP: None}}"
    responder.change(lambda zone: apply(zone, service) | apply(zone, slice_of_many(200)))
    return responder


@pytest.mark.parametrize(("edns", "limit"), [(None, 512), (100, 512), (800, 800), (1232, 1232), (4096, 1232)])
def test_long_answers_are_cut_to_what_the_client_takes(edns: int | None, limit: int) -> None:
    query = dns.message.make_query(f"many.{D}", "A", use_edns=None if edns is None else 0, payload=edns or 0)
    responder = many()
    for _ in range(2):
        answer = responder.respond(query.to_wire(), "192.0.2.7")
        assert isinstance(answer, bytes)
        assert limit - 16 < len(answer) <= limit
        message = dns.message.from_wire(answer)
        assert message.flags & dns.flags.TC
    whole = ask(responder, query, tcp=True)
    assert not whole.flags & dns.flags.TC
    assert len(whole.answer[0]) == 200


def test_a_cookie_counts_in_the_length() -> None:
    query = cookie_query(b"12345678", f"many.{D}")
    answer = many().respond(query.to_wire(), "192.0.2.7")
    assert isinstance(answer, bytes)
    assert 1200 < len(answer) <= 1232


def test_additional_records_that_do_not_fit_are_left_out_without_truncation() -> None:
    responder = many()
    responder.change(lambda zone: apply(zone, slice_of_many(12, "ports: [{name: p, port: 1}]")))
    message = ask(responder, dns.message.make_query(f"_p._tcp.many.{D}", "SRV"))
    assert not message.flags & dns.flags.TC
    assert len(message.answer[0]) == 12
    assert len(message.additional) < 12


def test_addresses_take_turns_at_the_front() -> None:
    responder = example_responder()
    query = dns.message.make_query(f"headless-svc.{D}", "A")
    first = [lines(ask(responder, query).answer)[0].split()[-1] for _ in range(6)]
    assert first == ["10.244.1.2", "10.244.2.3"] * 3


@pytest.mark.parametrize(
    "name",
    [
        "nothing.default.svc.CLUSTER.local",
        "x.ns.dns.cluster.local",
        "dns.cluster.local",
        "cluster.local",
        ".".join(["a" * 60] * 3) + f".{D}",
        "9.9.9.10.in-addr.arpa",
        "1.0.ip6.arpa",
        "ip6.arpa",
    ],
)
def test_a_denial_is_the_same_however_it_is_written(name: str) -> None:
    """It is put together from pieces where the writer would compress names one by one."""
    zone = next((z for z in ("in-addr.arpa", "ip6.arpa") if name.endswith(z)), "cluster.local")
    for asked in (
        dns.message.make_query(name, "MX"),
        dns.message.make_query(name, "MX", use_edns=0, want_dnssec=True),
        cookie_query(b"12345678", name),
        cookie_query(b"12345678", name, more=True),
    ):
        asked.flags |= dns.flags.CD
        message = ask(example_responder(), asked)
        query = parse(asked.to_wire())
        soa = example_responder().zone.authority("" if zone == "cluster.local" else zone)
        assert [line.lower() for line in lines(message.authority)] == [str(soa).replace(" 30 IN", "").lower()]
        assert message.flags & dns.flags.CD
        assert (message.edns, message.ednsflags) == ((0, asked.ednsflags) if query.edns else (-1, 0))
        if query.edns and query.edns.cookie:
            assert cookie_of(message)[:8] == b"12345678"
