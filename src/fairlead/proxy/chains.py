"""The chains that draw a slot, as netlink messages, so that one comes in the same transaction as its first frontend.

`pick-3` of IPv4 reads, in nft's words:
`dnat ip to ip daddr . meta l4proto . th dport . numgen random mod 3 map @endpoints-65536`, then `drop`.
"""

from __future__ import annotations

import struct

from fairlead.proxy.family import Family
from fairlead.proxy.netlink import (
    DELCHAIN,
    DELRULE,
    DELSET,
    NESTED,
    NEWCHAIN,
    NEWRULE,
    NLM_F_APPEND,
    NLM_F_CREATE,
    Request,
    Step,
    attribute,
)
from fairlead.proxy.skeleton import PICK, TABLE

CHAIN_TABLE, CHAIN_NAME = 1, 3
RULE_TABLE, RULE_CHAIN, RULE_EXPRESSIONS = 1, 2, 4
SET_TABLE, SET_NAME = 1, 2
LIST_ELEM, EXPR_NAME, EXPR_DATA = 1, 1, 2

PAYLOAD_DREG, PAYLOAD_BASE, PAYLOAD_OFFSET, PAYLOAD_LEN = 1, 2, 3, 4
NETWORK_HEADER, TRANSPORT_HEADER = 1, 2
META_DREG, META_KEY, META_L4PROTO = 1, 2, 16
NUMGEN_DREG, NUMGEN_MODULUS, NUMGEN_TYPE, NUMGEN_RANDOM = 1, 2, 3, 1
LOOKUP_SET, LOOKUP_SREG, LOOKUP_DREG = 1, 2, 3
NAT_TYPE, NAT_FAMILY, NAT_ADDRESS, NAT_PORT, NAT_DNAT = 1, 2, 3, 5, 1
IMMEDIATE_DREG, IMMEDIATE_DATA, DATA_VERDICT, VERDICT_CODE = 1, 2, 2, 1
NF_DROP = 0

REG_VERDICT, REG_FIRST = 0, 8
"""Registers have four octets each, from number 8 on; number 1 is another name of the first."""
DESTINATION = {4: 16, 16: 24}
"""Where the destination stands in the header, by an address's size."""
DESTINATION_PORT = 2


def pick_made(count: int, endpoints: str, family: Family) -> Step:
    """A new chain that draws one of `count` slots."""
    name = f"{PICK}{count}"
    payload = _text(CHAIN_TABLE, TABLE) + _text(CHAIN_NAME, name)
    return (
        Request(NEWCHAIN, payload, f"adding chain {name}", NLM_F_CREATE),
        *_rules(name, count, endpoints, family),
    )


def pick_remade(count: int, endpoints: str, family: Family) -> Step:
    """The same chain with its rules written anew, for another map of endpoints."""
    name = f"{PICK}{count}"
    payload = _text(RULE_TABLE, TABLE) + _text(RULE_CHAIN, name)
    return (
        Request(DELRULE, payload, f"emptying chain {name}"),
        *_rules(name, count, endpoints, family),
    )


def chain_removed(name: str) -> Step:
    """The removal of a chain that nothing leads to any more."""
    payload = _text(CHAIN_TABLE, TABLE) + _text(CHAIN_NAME, name)
    return (Request(DELCHAIN, payload, f"removing chain {name}"),)


def map_removed(name: str) -> Step:
    """The removal of a map that no rule looks into any more."""
    payload = _text(SET_TABLE, TABLE) + _text(SET_NAME, name)
    return (Request(DELSET, payload, f"removing map {name}"),)


def _rules(name: str, count: int, endpoints: str, family: Family) -> Step:
    # The key's parts in consecutive registers; what the map gives is read from the first on again.
    after_address = REG_FIRST + family.size // 4
    picking = (
        _payload(REG_FIRST, NETWORK_HEADER, DESTINATION[family.size], family.size),
        _expression("meta", _number(META_DREG, after_address) + _number(META_KEY, META_L4PROTO)),
        _payload(after_address + 1, TRANSPORT_HEADER, DESTINATION_PORT, 2),
        _expression(
            "numgen",
            _number(NUMGEN_DREG, after_address + 2)
            + _number(NUMGEN_MODULUS, count)
            + _number(NUMGEN_TYPE, NUMGEN_RANDOM),
        ),
        _expression(
            "lookup",
            _text(LOOKUP_SET, endpoints) + _number(LOOKUP_SREG, REG_FIRST) + _number(LOOKUP_DREG, REG_FIRST),
        ),
        _expression(
            "nat",
            _number(NAT_TYPE, NAT_DNAT)
            + _number(NAT_FAMILY, family.number)
            + _number(NAT_ADDRESS, REG_FIRST)
            + _number(NAT_PORT, after_address),
        ),
    )
    # No packet gets there while slots and chains agree; one that does must not leave for the virtual address.
    verdict = attribute(DATA_VERDICT | NESTED, _number(VERDICT_CODE, NF_DROP))
    dropping = (
        _expression(
            "immediate", _number(IMMEDIATE_DREG, REG_VERDICT) + attribute(IMMEDIATE_DATA | NESTED, verdict)
        ),
    )
    where = _text(RULE_TABLE, TABLE) + _text(RULE_CHAIN, name)
    return tuple(
        Request(
            NEWRULE,
            where + attribute(RULE_EXPRESSIONS | NESTED, b"".join(expressions)),
            f"adding a rule to chain {name}",
            NLM_F_CREATE | NLM_F_APPEND,
        )
        for expressions in (picking, dropping)
    )


def _payload(register: int, base: int, offset: int, length: int) -> bytes:
    return _expression(
        "payload",
        _number(PAYLOAD_DREG, register)
        + _number(PAYLOAD_BASE, base)
        + _number(PAYLOAD_OFFSET, offset)
        + _number(PAYLOAD_LEN, length),
    )


def _expression(name: str, data: bytes) -> bytes:
    return attribute(LIST_ELEM | NESTED, _text(EXPR_NAME, name) + attribute(EXPR_DATA | NESTED, data))


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("!I", value))


def _text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")
