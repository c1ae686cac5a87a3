"""The host ports in the kernel, as text for nft: a table for each family, whose rules stand and whose elements change.

A packet to one of the node's addresses is looked up once, however many ports are open. Every chain stands behind the
proxy's of the same hook, in each of its modes, so that a node port or an address of a Service is the proxy's where both
mean the same packet; the kernel asks no more chains once one has translated it. (In the mode ipvs the proxy balances
after that hook: what is sent to its Services' addresses is none of the node's own, but a node port of the same number
loses there, as with kube-proxy.)
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

from fairlead.node.hostports.mappings import Key, Ports, Target

TABLE = "fairlead-hostports"
FAMILIES = (4, 6)

_BEHIND = 5
"""How far behind the usual priorities: the proxy's nftables and iptables chains have these themselves."""

_NAME = {4: "ip", 6: "ip6"}
_ADDRESS = {4: "ipv4_addr", 6: "ipv6_addr"}
_TRANSPORT = "meta l4proto { tcp, udp, sctp }"


def skeleton(family: int, addresses: Iterable[str]) -> str:
    """The table of the family anew, without a port, whatever there was. `addresses` are all of the node's own."""
    ip, address, table = _NAME[family], _ADDRESS[family], _table(family)
    own = [a for a in addresses if ipaddress.ip_address(a).version == family]
    if family == 4:
        own.append("127.0.0.0/8")
    elements = f"elements = {{ {', '.join(own)} }};" if own else ""
    # Nobody but the node itself may send to its loopback addresses, though a pod's link now would let it.
    guard = """
 chain guard {
  type filter hook input priority 0;
  ct status dnat accept
  iifname != "lo" ip daddr 127.0.0.0/8 ct direction original drop
 }"""
    # An answer to a loopback address would stay in the pod.
    loopback = '  ip saddr 127.0.0.0/8 oifname != "lo" ct status dnat masquerade\n'
    return f"""{removal(family)}table {table} {{
 comment "host ports of pods, by fairlead node"
 set addresses {{ type {address}; flags interval; {elements} }}
 map ports {{ type {address} . inet_proto . inet_service : {address} . inet_service; }}
 map anywhere {{ type inet_proto . inet_service : {address} . inet_service; }}
 set hairpin {{ type {address} . {address}; }}
 chain translate {{
  {_TRANSPORT} dnat {ip} to {ip} daddr . meta l4proto . th dport map @ports
  {ip} daddr @addresses {_TRANSPORT} dnat {ip} to meta l4proto . th dport map @anywhere
 }}
 chain prerouting {{ type nat hook prerouting priority dstnat + {_BEHIND}; fib daddr type local goto translate; }}
 chain output {{ type nat hook output priority {-100 + _BEHIND}; fib daddr type local goto translate; }}
 chain postrouting {{
  type nat hook postrouting priority srcnat + {_BEHIND};
{loopback if family == 4 else ""}  ct status dnat {ip} saddr . {ip} daddr @hairpin masquerade
 }}{guard if family == 4 else ""}
}}
"""


def removal(family: int) -> str:
    """The table goes, if it is there."""
    return f"add table {_table(family)}\ndelete table {_table(family)}\n"


def additions(ports: Ports) -> str:
    """The elements of one pod's ports."""
    elements = "".join(
        f"add element {name} {{ {key} : {target.ip} . {target.port} }}\n"
        for name, key, target in _elements(ports)
    )
    return elements + "".join(
        f"add element {_table(family)} hairpin {{ {ip} . {ip} }}\n" for family, ip in _pods(ports)
    )


def removals(ports: Ports) -> str:
    """The same elements go."""
    elements = "".join(f"delete element {name} {{ {key} }}\n" for name, key, _ in _elements(ports))
    return elements + "".join(
        f"delete element {_table(family)} hairpin {{ {ip} . {ip} }}\n" for family, ip in _pods(ports)
    )


def _elements(ports: Ports) -> Iterator[tuple[str, str, Target]]:
    """The map, the key in it, and the target."""
    for key, target in ports.items():
        frontend = f"{key.protocol.lower()} . {key.port}"
        if key.ip:
            yield f"{_table(key.family)} ports", f"{key.ip} . {frontend}", target
        else:
            yield f"{_table(key.family)} anywhere", frontend, target


def _pods(ports: Ports) -> list[tuple[int, str]]:
    return sorted({(key.family, target.ip) for key, target in ports.items()})


def families(ports: Iterable[Key]) -> list[int]:
    """The families of the keys."""
    return sorted({key.family for key in ports})


def _table(family: int) -> str:
    return f"{_NAME[family]} {TABLE}"
