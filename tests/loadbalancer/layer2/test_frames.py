"""ARP and neighbour discovery: what is written can be read, by us and by others; what is malformed says nothing."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fairlead.loadbalancer.layer2 import frames
from fairlead.loadbalancer.layer2.frames import Heard, Kind, read_arp, read_neighbour
from fairlead.loadbalancer.layer2.members import MAX_SIZE, Heartbeat, Members, read, write
from fairlead.loadbalancer.pools import Address, parse_address

OURS, THEIRS = bytes.fromhex("02fa1ead0001"), bytes.fromhex("02fa1ead0002")
V4, V6 = parse_address("203.0.113.1"), parse_address("2001:db8::1")
ASKER_4, ASKER_6 = parse_address("192.168.1.1"), parse_address("fe80::1")

# As tcpdump -xx shows them: arping, and the kernel's own neighbour discovery.
ARP_REQUEST = bytes.fromhex(
    "ffffffffffff02fa1ead0002080600010800060400010200000000ff c0a80101 000000000000 cb007101"
)
SOLICITATION = bytes.fromhex(
    "3333ff000001 02fa1ead0002 86dd 6000000000203aff"
    "fe800000000000000000000000000001 ff0200000000000000000001ff000001"
    "87000000 00000000 20010db8000000000000000000000001 010102fa1ead0002"
)


def with_checksum(frame: bytes) -> bytes:
    """The frame with the checksum that its ICMPv6 message should have."""
    message = frame[54:56] + bytes(2) + frame[58:]
    total = frames._checksum(frame[22:38], frame[38:54], message)
    return frame[:56] + total.to_bytes(2) + frame[58:]


def read_any(frame: bytes) -> tuple[Heard, ...]:
    return read_arp(frame) + read_neighbour(frame)


def test_a_request_asks_and_tells_where_its_sender_is() -> None:
    hardware = bytes.fromhex("0200000000ff")
    assert read_arp(ARP_REQUEST) == (
        Heard(Kind.CLAIMS, ASKER_4, hardware),
        Heard(Kind.ASKS, V4, hardware, frames.packed(ASKER_4)),
    )


def test_a_solicitation_asks() -> None:
    assert read_neighbour(with_checksum(SOLICITATION)) == (
        Heard(Kind.ASKS, V6, THEIRS, frames.packed(ASKER_6)),
    )


def test_a_solicitation_with_a_wrong_checksum_says_nothing() -> None:
    right = bytearray(with_checksum(SOLICITATION))
    right[57] ^= 1
    assert read_neighbour(bytes(right)) == ()


@pytest.mark.parametrize("hops", [0, 64, 254])
def test_a_solicitation_that_passed_a_router_says_nothing(hops: int) -> None:
    frame = with_checksum(SOLICITATION)
    assert read_neighbour(frame[:21] + bytes([hops]) + frame[22:]) == ()


addresses = st.builds(Address, st.just(4), st.integers(1, 2**32 - 1)) | st.builds(
    Address, st.just(6), st.integers(1, (0xFF << 120) - 1)
)


@given(addresses)
def test_what_is_written_is_read(address: Address) -> None:
    assert read_any(frames.probe(address, THEIRS)) == (
        Heard(Kind.PROBES, address, THEIRS, bytes(4 if address.version == 4 else 16)),
    )
    for frame in frames.gratuitous(address, THEIRS):
        assert read_any(frame) == (Heard(Kind.CLAIMS, address, THEIRS),)
    asker = frames.packed(ASKER_4 if address.version == 4 else ASKER_6)
    for heard in (Heard(Kind.ASKS, address, THEIRS, asker), *read_any(frames.probe(address, THEIRS))):
        assert read_any(frames.answer(heard, OURS)) == (Heard(Kind.CLAIMS, address, OURS),)


good = st.sampled_from(
    [
        ARP_REQUEST,
        with_checksum(SOLICITATION),
        *frames.gratuitous(V4, THEIRS),
        *frames.gratuitous(V6, THEIRS),
        frames.probe(V6, THEIRS),
    ]
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A good frame with octets changed, cut or added, its checksum mended or not."""
    frame = bytearray(draw(good))
    for place, octet in draw(
        st.lists(st.tuples(st.integers(0, len(frame) - 1), st.integers(0, 255)), max_size=4)
    ):
        frame[place] = octet
    end = draw(st.integers(0, len(frame)))
    cut = bytes(frame[:end] if draw(st.booleans()) else frame) + draw(st.binary(max_size=40))
    return with_checksum(cut) if len(cut) >= 58 and draw(st.booleans()) else cut


@given(damaged() | st.binary(max_size=200))
@example(with_checksum(SOLICITATION[:78] + bytes(8)))
def test_no_frame_does_harm(frame: bytes) -> None:
    for heard in read_any(frame):
        assert len(heard.hardware) == 6
        assert not heard.hardware[0] & 1
        assert heard.address.number < 1 << (32 if heard.address.version == 4 else 128)
        if heard.kind is not Kind.CLAIMS:
            assert frames.answer(heard, OURS)


def test_an_option_without_length_says_nothing() -> None:
    assert read_neighbour(with_checksum(SOLICITATION[:78] + bytes(8))) == ()


def beat(node: str, *, leaves: bool = False, hardware: bytes = THEIRS) -> Heartbeat:
    found = read(write(node, f"{node}-uid", (hardware,), leaves=leaves))
    assert found is not None
    return found


@given(st.binary(max_size=MAX_SIZE + 10))
def test_no_datagram_does_harm(data: bytes) -> None:
    assert read(data) is None


@given(st.data())
def test_a_damaged_heartbeat_is_none_or_one(data: st.DataObject) -> None:
    found = bytearray(write("node1", "uid", (OURS,)))
    found[data.draw(st.integers(0, len(found) - 1))] = data.draw(st.integers(0, 255))
    heartbeat = read(bytes(found))
    if heartbeat is not None:
        Members("self").hear(heartbeat, 0.0)


def test_a_node_lives_from_its_heartbeat_until_it_is_silent_or_leaves() -> None:
    members = Members("a")
    assert members.alive == {"a"}
    assert members.hear(beat("b"), 0.0)
    assert not members.hear(beat("b"), 0.5)
    assert members.hear(beat("c"), 0.6)
    assert members.alive == {"a", "b", "c"}
    assert members.expire(1.2) == frozenset()
    assert members.expire(1.3) == {"b"}
    assert members.alive == {"a", "c"}
    assert members.hear(beat("c", leaves=True), 1.35)
    assert members.alive == {"a"}
    assert not members.hear(beat("c", leaves=True), 1.36)


def test_a_nodes_own_heartbeat_and_its_hardware_count_for_nothing() -> None:
    members = Members("a")
    assert not members.hear(beat("a"), 0.0)
    assert not members.is_speaker(THEIRS)


def test_a_silent_nodes_hardware_is_still_a_speakers() -> None:
    members = Members("a")
    members.hear(beat("b"), 0.0)
    members.expire(100.0)
    assert members.is_speaker(THEIRS)
