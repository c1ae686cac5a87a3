"""ARP (RFC 826, RFC 5227) and neighbour discovery (RFC 4861) as bytes. Pure.

What is read comes from anybody on the network: every length is checked, and what is not as it has to be tells nothing.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum

from fairlead.loadbalancer.pools import Address

ETHERTYPE_ARP = 0x0806
ETHERTYPE_IPV6 = 0x86DD
BROADCAST = b"\xff" * 6

_ETHERNET = struct.Struct("!6s6sH")
_ARP = struct.Struct("!HHBBH6s4s6s4s")
_IPV6 = struct.Struct("!IHBB16s16s")
_NEIGHBOUR = struct.Struct("!BBHI16s")
_ICMPV6 = 58
_HOPS = 255
"""RFC 4861 §7.1: a packet with less has passed a router."""
_SOLICITATION, _ADVERTISEMENT = 135, 136
_SOURCE_OPTION, _TARGET_OPTION = 1, 2
_SOLICITED, _OVERRIDE = 0x40000000, 0x20000000
_ALL_NODES = bytes.fromhex("ff02") + bytes(13) + b"\x01"
_SOLICITED_NODE = bytes.fromhex("ff0200000000000000000001ff")


class Kind(Enum):
    """What a frame does."""

    ASKS = "asks"
    """Somebody asks who has the address."""
    PROBES = "probes"
    """Somebody asks before taking the address."""
    CLAIMS = "claims"
    """Somebody says that the address is its own."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What a frame from `hardware` says about `address`; `asker` is whom to answer, unspecified if it has none."""

    kind: Kind
    address: Address
    hardware: bytes
    asker: bytes = b""


def read_arp(frame: bytes) -> tuple[Heard, ...]:
    """What an Ethernet frame with ARP says: about the sender's address, and about the one it asks for."""
    if len(frame) < _ETHERNET.size + _ARP.size:
        return ()
    _, _, ethertype = _ETHERNET.unpack_from(frame)
    kind, protocol, hardware_size, size, operation, hardware, sender, _, target = _ARP.unpack_from(
        frame, _ETHERNET.size
    )
    if (ethertype, kind, protocol, hardware_size, size) != (ETHERTYPE_ARP, 1, 0x0800, 6, 4):
        return ()
    if operation not in (1, 2) or hardware[0] & 1:
        return ()
    found = []
    if sender != bytes(4):
        found.append(Heard(Kind.CLAIMS, Address(4, int.from_bytes(sender)), hardware))
    if operation == 1 and sender != target:
        asks = Kind.ASKS if sender != bytes(4) else Kind.PROBES
        found.append(Heard(asks, Address(4, int.from_bytes(target)), hardware, sender))
    return tuple(found)


def _arp(
    operation: int, to: bytes, hardware: bytes, sender: bytes, target_hardware: bytes, target: bytes
) -> bytes:
    arp = _ARP.pack(1, 0x0800, 6, 4, operation, hardware, sender, target_hardware, target)
    return _ETHERNET.pack(to, hardware, ETHERTYPE_ARP) + arp


def read_neighbour(frame: bytes) -> tuple[Heard, ...]:
    """What an Ethernet frame with a neighbour solicitation or advertisement says."""
    if len(frame) < _ETHERNET.size + _IPV6.size + _NEIGHBOUR.size:
        return ()
    _, source_hardware, ethertype = _ETHERNET.unpack_from(frame)
    first, length, following, hops, source, destination = _IPV6.unpack_from(frame, _ETHERNET.size)
    packet = frame[_ETHERNET.size + _IPV6.size :][:length]
    if ethertype != ETHERTYPE_IPV6 or first >> 28 != 6 or following != _ICMPV6 or hops != _HOPS:
        return ()
    if len(packet) != length or length < _NEIGHBOUR.size or source_hardware[0] & 1:
        return ()
    kind, code, _, _, target = _NEIGHBOUR.unpack_from(packet)
    if code or kind not in (_SOLICITATION, _ADVERTISEMENT) or target[0] == 0xFF:
        return ()
    options = _options(packet[_NEIGHBOUR.size :])
    if options is None or _checksum(source, destination, packet) != 0:
        return ()
    address = Address(6, int.from_bytes(target))
    if kind == _ADVERTISEMENT:
        return (Heard(Kind.CLAIMS, address, options.get(_TARGET_OPTION, source_hardware)),)
    if source == bytes(16):
        return (Heard(Kind.PROBES, address, source_hardware, source),)
    return (Heard(Kind.ASKS, address, options.get(_SOURCE_OPTION, source_hardware), source),)


def _options(data: bytes) -> dict[int, bytes] | None:
    """The link-layer addresses among the options by their type; None where a length cannot be."""
    found = {}
    while data:
        if len(data) < 8 or not data[1] or data[1] * 8 > len(data):
            return None
        if data[0] in (_SOURCE_OPTION, _TARGET_OPTION) and data[1] == 1 and not data[2] & 1:
            found[data[0]] = data[2:8]
        data = data[data[1] * 8 :]
    return found


def _neighbour(
    kind: int,
    flags: int,
    to: bytes,
    hardware: bytes,
    source: bytes,
    destination: bytes,
    target: bytes,
    option: int,
) -> bytes:
    message = _NEIGHBOUR.pack(kind, 0, 0, flags, target)
    if option:
        message += bytes((option, 1)) + hardware
    checksum = _checksum(source, destination, message)
    message = message[:2] + checksum.to_bytes(2) + message[4:]
    header = _IPV6.pack(6 << 28, len(message), _ICMPV6, _HOPS, source, destination)
    return _ETHERNET.pack(to, hardware, ETHERTYPE_IPV6) + header + message


def _checksum(source: bytes, destination: bytes, message: bytes) -> int:
    """RFC 4443 §2.3; 0 for a message that carries its own."""
    pseudo = source + destination + struct.pack("!II", len(message), _ICMPV6)
    data = pseudo + message + bytes(len(message) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def multicast(address: bytes) -> bytes:
    """The Ethernet address of an IPv6 multicast group (RFC 2464 §7)."""
    return b"\x33\x33" + address[-4:]


def solicited_node(address: Address) -> bytes:
    """The multicast group at which an IPv6 address is asked for (RFC 4291 §2.7.1)."""
    return _SOLICITED_NODE + (address.number & 0xFFFFFF).to_bytes(3)


def packed(address: Address) -> bytes:
    """The address as it stands in packets."""
    return address.number.to_bytes(4 if address.version == 4 else 16)


def answer(heard: Heard, hardware: bytes) -> bytes:
    """The answer to one who asks or probes: `hardware` has the address."""
    own = packed(heard.address)
    if heard.address.version == 4:
        return _arp(2, heard.hardware, hardware, own, heard.hardware, heard.asker)
    if heard.kind is Kind.PROBES:  # RFC 4861 §7.2.4: it cannot be addressed yet
        return gratuitous(heard.address, hardware)[0]
    flags = _SOLICITED | _OVERRIDE
    return _neighbour(_ADVERTISEMENT, flags, heard.hardware, hardware, own, heard.asker, own, _TARGET_OPTION)


def gratuitous(address: Address, hardware: bytes) -> tuple[bytes, ...]:
    """Tells everybody that `hardware` has the address now. In IPv4 as request and as answer: some read only one."""
    own = packed(address)
    if address.version == 4:
        return tuple(
            _arp(operation, BROADCAST, hardware, own, target, own)
            for operation, target in ((1, bytes(6)), (2, BROADCAST))
        )
    to = multicast(_ALL_NODES)
    return (_neighbour(_ADVERTISEMENT, _OVERRIDE, to, hardware, own, _ALL_NODES, own, _TARGET_OPTION),)


def probe(address: Address, hardware: bytes) -> bytes:
    """Asks whether somebody has the address, without claiming it (RFC 5227 §2.1.1, RFC 4862 §5.4.2)."""
    own = packed(address)
    if address.version == 4:
        return _arp(1, BROADCAST, hardware, bytes(4), bytes(6), own)
    group = solicited_node(address)
    return _neighbour(_SOLICITATION, 0, multicast(group), hardware, bytes(16), group, own, 0)
