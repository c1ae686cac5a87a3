"""What BIRD is told, as its configuration file. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from fairlead.loadbalancer.pools import Address

FAMILIES = {4: ("ipv4", 32), 6: ("ipv6", 128)}
MAX_ASN = (1 << 32) - 1
BFD_INTERVAL, BFD_MULTIPLIER = 200, 3
"""Milliseconds between two packets of BFD (RFC 5880), and how many may be missed until a neighbour is dead."""


@dataclass(frozen=True)
class Peer:
    """A router to announce to: its address and the number of its autonomous system."""

    address: str
    asn: int


@dataclass(frozen=True)
class BgpConfig:
    """How a node speaks BGP: its autonomous system's number, its routers, and whether they speak BFD as well."""

    asn: int
    peers: tuple[Peer, ...]
    bfd: bool = False


def parse_peer(text: str) -> Peer:
    """Reads `ASN@ADDRESS`, such as 64512@192.168.1.1. Raises ValueError with a sentence."""
    number, separator, address = text.partition("@")
    try:
        found = ipaddress.ip_address(address)
        asn = parse_asn(number)
    except ValueError:
        raise ValueError(f"{text!r} is no router with its AS number, such as 64512@192.168.1.1") from None
    if not separator or "%" in address:
        raise ValueError(f"{text!r} is no router with its AS number, such as 64512@192.168.1.1")
    return Peer(str(found), asn)


def parse_asn(text: str) -> int:
    """Reads the number of an autonomous system. Raises ValueError."""
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) <= MAX_ASN:
        raise ValueError(f"{text!r} is no AS number: they go from 1 to {MAX_ASN}")
    return int(text)


def render(config: BgpConfig, router_id: str, addresses: Iterable[Address]) -> str:
    """The file for a node that announces `addresses`; `router_id` is in the form of an IPv4 address.

    The routes are BIRD's alone: nothing of them comes into the kernel. Cost: linear in the addresses.
    """
    lines = [
        "log stderr { info, remote, warning, error, auth, fatal, bug };",
        f"router id {router_id};",
        "protocol device { }",
    ]
    if config.bfd:
        lines.append(bfd())
    known = sorted(addresses)
    for version, (family, length) in FAMILIES.items():
        routes = "".join(
            f"\n  route {address}/{length} blackhole;" for address in known if address.version == version
        )
        lines.append(f"protocol static addresses{version} {{\n  {family};{routes}\n}}")
    for number, peer in enumerate(config.peers, 1):
        lines.append(_peer(config, peer, f"router{number}"))
    return "\n".join(lines) + "\n"


def bfd() -> str:
    """The protocol that finds out soon that a neighbour is dead."""
    times = (
        f"min rx interval {BFD_INTERVAL} ms; min tx interval {BFD_INTERVAL} ms; multiplier {BFD_MULTIPLIER};"
    )
    return f'protocol bfd {{ interface "*" {{ {times} }}; }}'


def _peer(config: BgpConfig, peer: Peer, name: str) -> str:
    channels = "".join(
        f"\n  {family} {{ import none; export where source = RTS_STATIC; next hop self; }};"
        for family, _ in FAMILIES.values()
    )
    return (
        f"protocol bgp {name} {{\n"
        f"  local as {config.asn};\n"
        f"  neighbor {peer.address} as {peer.asn};\n"
        "  connect delay time 1; connect retry time 5; error wait time 1, 30;\n"
        f"  hold time 9; bfd {'on' if config.bfd else 'off'};{channels}\n}}"
    )
