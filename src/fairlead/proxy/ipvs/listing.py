"""What the mode would have in the kernel, in the words of ip, ipset, iptables-restore and ipvsadm. Pure."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence

from fairlead.proxy.dataplane import Selected
from fairlead.proxy.family import Family
from fairlead.proxy.iptables.listing import tables
from fairlead.proxy.iptables.names import Chain
from fairlead.proxy.iptables.settings import Settings
from fairlead.proxy.ipvs.interface import NAME
from fairlead.proxy.ipvs.rendering import View, node_port_addresses, render
from fairlead.proxy.ipvs.rules import JUMPS, Rules
from fairlead.proxy.ipvs.servers import PERSISTENT, PORT_HASHED, Frontend, Server
from fairlead.proxy.ipvs.sets import IPVS_IPS, SETS, Member
from fairlead.proxy.options import PRIMARY, ProxyOptions

_KINDS = {socket.IPPROTO_TCP: "-t", socket.IPPROTO_UDP: "-u", socket.IPPROTO_SCTP: "--sctp-service"}


def listing(
    options: ProxyOptions, family: Family, addresses: tuple[bytes, ...], wanted: Sequence[Selected]
) -> str:
    """One part for each program, which takes it on its standard input.

    Of the node's addresses those are known that its Node has: on more, node ports would be open too.
    """
    own = frozenset(addresses)
    ports = node_port_addresses(set(own), addresses, options.nodeport_addresses or (PRIMARY,), family)
    view = View(family, options.ipvs.scheduler, ports, own)
    members: set[Member] = set()
    servers: dict[Frontend, Server] = {}
    for selected in wanted:
        rendered = render(selected, view)
        members |= rendered.members
        servers |= rendered.servers
    six = "" if family.size == 4 else "6"
    parts = {
        "ip -batch -": _addresses(members, family),
        "ipset restore": _sets(members, family),
        f"ip{six}tables-restore --noflush": _rules(Settings(family, options)),
        "ipvsadm --restore": _servers(servers, family),
    }
    return "\n".join("\n".join((f"# {program}", *lines, "")) for program, lines in parts.items())


def _addresses(members: set[Member], family: Family) -> Iterator[str]:
    yield f"link add {NAME} type dummy"
    length, never_a_source = (32, "") if family.size == 4 else (128, " preferred_lft 0")
    for text in sorted(member.text for member in members if member.held_by is IPVS_IPS):
        yield f"address add {text}/{length} dev {NAME}{never_a_source}"


def _sets(members: set[Member], family: Family) -> Iterator[str]:
    for each in SETS:
        yield each.creation(family)
    for member in sorted(members):
        yield f"add {member.held_by.name(family)} {member.text}"


def _rules(settings: Settings) -> Iterator[str]:
    jumps: dict[Chain, list[str]] = {}
    for chain, rule in JUMPS:
        jumps.setdefault(chain, []).insert(0, rule)
    return iter(tables(jumps, Rules(settings).chains()).splitlines())


def _servers(servers: dict[Frontend, Server], family: Family) -> Iterator[str]:
    for frontend, server in sorted(servers.items(), key=lambda item: item[0]):
        at = f"{_KINDS[frontend.protocol]} {_at(frontend.address, frontend.port, family)}"
        persistent = f" -p {server.traits.timeout}" if server.traits.flags & PERSISTENT else ""
        hashed = " -b mh-port" if server.traits.flags & PORT_HASHED else ""
        yield f"-A {at} -s {server.traits.scheduler}{persistent}{hashed}"
        for target in sorted(server.targets):
            size = family.size
            port = int.from_bytes(target[size : size + 2], "big")
            yield f"-a {at} -r {_at(target[:size], port, family)} -m -w 1"


def _at(address: bytes, port: int, family: Family) -> str:
    text = family.text(address)
    return f"{f'[{text}]' if ':' in text else text}:{port}"
