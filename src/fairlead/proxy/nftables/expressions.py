"""Expressions of nf_tables rules as netlink attributes: what nft writes as text, and what it has no text for."""

from __future__ import annotations

import struct

from fairlead.proxy.family import Family
from fairlead.proxy.netlink import NESTED, attribute

LIST_ELEM, EXPR_NAME, EXPR_DATA = 1, 1, 2
PAYLOAD_DREG, PAYLOAD_BASE, PAYLOAD_OFFSET, PAYLOAD_LEN = 1, 2, 3, 4
NETWORK_HEADER, TRANSPORT_HEADER = 1, 2
META_DREG, META_KEY, META_L4PROTO = 1, 2, 16
CT_DREG, CT_KEY, CT_DIRECTION, CT_ORIGINAL = 1, 2, 3, 0
CT_PROTO_DST, CT_DST = 12, {4: 20, 16: 22}
NUMGEN_DREG, NUMGEN_MODULUS, NUMGEN_TYPE, NUMGEN_OFFSET, NUMGEN_RANDOM = 1, 2, 3, 4, 1
LOOKUP_SET, LOOKUP_SREG, LOOKUP_DREG = 1, 2, 3
DYNSET_SET, DYNSET_OP, DYNSET_KEY, DYNSET_DATA, DYNSET_TIMEOUT = 1, 3, 4, 5, 6
UPDATE, DELETE = 1, 2
"""What `remember` does with an element."""
NAT_TYPE, NAT_FAMILY, NAT_ADDRESS, NAT_PORT, NAT_DNAT = 1, 2, 3, 5, 1
BITWISE_SREG, BITWISE_DREG, BITWISE_LEN, BITWISE_MASK, BITWISE_XOR = 1, 2, 3, 4, 5
IMMEDIATE_DREG, IMMEDIATE_DATA, DATA_VALUE, DATA_VERDICT, VERDICT_CODE = 1, 2, 1, 2, 1
NF_DROP, NFT_RETURN = 0, -5

REG_VERDICT, REG_FIRST = 0, 8
"""Registers have four octets each, from number 8 on, sixteen of them."""
SOURCE, DESTINATION = {4: 12, 16: 8}, {4: 16, 16: 24}
"""Where the addresses stand in the header, by an address's size."""
DESTINATION_PORT = 2


def source(register: int, family: Family) -> bytes:
    """Loads the address that the packet comes from."""
    return _payload(register, NETWORK_HEADER, SOURCE[family.size], family.size)


def destination(register: int, family: Family) -> bytes:
    """Loads address, protocol and port that the packet is sent to, into consecutive registers."""
    return address(register, family) + protocol(register + family.words) + port(register + family.words + 1)


def original(register: int, family: Family) -> bytes:
    """Loads what the connection's first packet was sent to before its translation, in the same way."""
    return (
        _ct(register, CT_DST[family.size])
        + protocol(register + family.words)
        + _ct(register + family.words + 1, CT_PROTO_DST)
    )


def address(register: int, family: Family) -> bytes:
    """Loads the address that the packet is sent to."""
    return _payload(register, NETWORK_HEADER, DESTINATION[family.size], family.size)


def protocol(register: int) -> bytes:
    """Loads the protocol."""
    return _expression("meta", number(META_DREG, register) + number(META_KEY, META_L4PROTO))


def port(register: int) -> bytes:
    """Loads the port that the packet is sent to."""
    return _payload(register, TRANSPORT_HEADER, DESTINATION_PORT, 2)


def zero_address(register: int, family: Family) -> bytes:
    """Makes zero of the address in the registers."""
    nothing = attribute(DATA_VALUE, bytes(family.size))
    return _expression(
        "bitwise",
        number(BITWISE_SREG, register)
        + number(BITWISE_DREG, register)
        + number(BITWISE_LEN, family.size)
        + attribute(BITWISE_MASK | NESTED, nothing)
        + attribute(BITWISE_XOR | NESTED, nothing),
    )


def lookup(table: str, key: int, data: int | None = None) -> bytes:
    """Goes on if the set has the key in these registers; of a map, loads its datum."""
    into = b"" if data is None else number(LOOKUP_DREG, data)
    return _expression("lookup", text(LOOKUP_SET, table) + number(LOOKUP_SREG, key) + into)


def draw(register: int, count: int, first: int) -> bytes:
    """Loads a random number from `first` on, one of `count`."""
    offset = number(NUMGEN_OFFSET, first) if first else b""
    return _expression(
        "numgen",
        number(NUMGEN_DREG, register)
        + number(NUMGEN_MODULUS, count)
        + number(NUMGEN_TYPE, NUMGEN_RANDOM)
        + offset,
    )


def remember(table: str, operation: int, key: int, data: int, seconds: int = 0) -> bytes:
    """Updates an element of a map from registers, for that time, or deletes it.

    An update of one that is there leaves its datum and starts its time anew. Ends the rule where the map is full.
    """
    timeout = attribute(DYNSET_TIMEOUT, struct.pack("!Q", seconds * 1000)) if seconds else b""
    return _expression(
        "dynset",
        text(DYNSET_SET, table)
        + number(DYNSET_OP, operation)
        + number(DYNSET_KEY, key)
        + number(DYNSET_DATA, data)
        + timeout,
    )


def translate(register: int, family: Family) -> bytes:
    """Translates the destination to the address and port in consecutive registers."""
    return _expression(
        "nat",
        number(NAT_TYPE, NAT_DNAT)
        + number(NAT_FAMILY, family.number)
        + number(NAT_ADDRESS, register)
        + number(NAT_PORT, register + family.words),
    )


def drop() -> bytes:
    """Drops the packet."""
    return _verdict(NF_DROP)


def leave() -> bytes:
    """Goes back to the chain that led here."""
    return _verdict(NFT_RETURN)


def _verdict(code: int) -> bytes:
    verdict = attribute(DATA_VERDICT | NESTED, number(VERDICT_CODE, code & 0xFFFFFFFF))
    return _expression(
        "immediate", number(IMMEDIATE_DREG, REG_VERDICT) + attribute(IMMEDIATE_DATA | NESTED, verdict)
    )


def number(kind: int, value: int) -> bytes:
    """An attribute that is a number."""
    return attribute(kind, struct.pack("!I", value))


def text(kind: int, value: str) -> bytes:
    """An attribute that is a text."""
    return attribute(kind, value.encode() + b"\0")


def _payload(register: int, base: int, offset: int, length: int) -> bytes:
    return _expression(
        "payload",
        number(PAYLOAD_DREG, register)
        + number(PAYLOAD_BASE, base)
        + number(PAYLOAD_OFFSET, offset)
        + number(PAYLOAD_LEN, length),
    )


def _ct(register: int, key: int) -> bytes:
    direction = attribute(CT_DIRECTION, bytes([CT_ORIGINAL]))
    return _expression("ct", number(CT_DREG, register) + number(CT_KEY, key) + direction)


def _expression(name: str, data: bytes) -> bytes:
    return attribute(LIST_ELEM | NESTED, text(EXPR_NAME, name) + attribute(EXPR_DATA | NESTED, data))
