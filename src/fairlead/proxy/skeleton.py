"""The constant part of the table as text: sets, maps, chains, rules. Everything that changes is an element of them.

Applying it again changes nothing but rules of an older version: sets keep their elements, and the rules change in one
transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

from fairlead.proxy.elements import CLUSTER_IPS, EXTERNAL, HAIRPIN
from fairlead.proxy.family import IPV4, IPV6, Family

TABLE = "fairlead"
FRONTENDS = "frontends"
ENDPOINTS = "endpoints-"
"""The map of endpoints carries its capacity in its name: a bigger one takes its place when it is full."""
PICK = "pick-"

_TRANSPORT = "meta l4proto { tcp, udp, sctp }"
"""nft wants to be told that there is a transport header before it reads one."""


_CHAINS = (
    "services",
    "unserved",
    "masquerading",
    "refuse",
    "discard",
    "prerouting",
    "output",
    "postrouting",
    "late-prerouting",
    "late-output",
)
_ADDRESS = {IPV4: "ipv4_addr", IPV6: "ipv6_addr"}


def declarations(endpoints: str, family: Family = IPV4) -> str:
    """The table with its sets, maps and empty chains. `endpoints` is the name of the map of endpoints."""
    ip, address = family.table, _ADDRESS[family]
    return f"""
table {ip} {TABLE} {{
 comment "Kubernetes Services, by fairlead proxy"
 set {CLUSTER_IPS} {{ type {address}; }}
 set {EXTERNAL} {{ type {address} . inet_proto . inet_service; }}
 set {HAIRPIN} {{ type {address} . {address}; }}
 map {FRONTENDS} {{ type {address} . inet_proto . inet_service : verdict; }}
 {_endpoints(endpoints, family)}
 chain refuse {{ }}
 chain discard {{ }}
 chain services {{ }}
 chain unserved {{ }}
 chain masquerading {{ }}
 chain prerouting {{ type nat hook prerouting priority dstnat; }}
 chain output {{ type nat hook output priority -100; }}
 chain late-prerouting {{ type nat hook prerouting priority -90; }}
 chain late-output {{ type nat hook output priority -90; }}
 chain postrouting {{ type nat hook postrouting priority srcnat; }}
}}
"""


def rules(
    *, fresh: bool, cluster_cidrs: Sequence[str], service_cidrs: Sequence[str], family: Family = IPV4
) -> str:
    """What stands in the chains. `fresh` says that they are empty; emptying them takes the kernel ten milliseconds.

    Apart from `declarations`, because both in one transaction take nft and the kernel four times as long.

    Only the first packet of a connection meets these rules. Refusing in a chain of type nat is what makes a
    Service without endpoints an element like any other: the same map that picks a chain refuses.
    """
    ip = family.table
    masquerade = "masquerade fully-random"
    original = f"ct original {ip} daddr . meta l4proto . ct original proto-dst"
    outside = ""
    if cluster_cidrs:
        pods = ", ".join(cluster_cidrs)
        outside = f"  ct original {ip} daddr @{CLUSTER_IPS} {ip} saddr != {{ {pods} }} {masquerade}\n"
    unassigned = f"  {ip} daddr {{ {', '.join(service_cidrs)} }} drop\n" if service_cidrs else ""
    flush = "" if fresh else "".join(f"flush chain {ip} {TABLE} {name}\n" for name in _CHAINS)
    return f"""
{flush}
table {ip} {TABLE} {{
 chain refuse {{
  meta l4proto tcp reject with tcp reset
  reject
 }}
 chain discard {{ drop; }}
 chain services {{
  {_TRANSPORT} {ip} daddr . meta l4proto . th dport vmap @{FRONTENDS}
 }}
 # After every other program's translation of destinations: what is still bound for a virtual address has no Service.
 chain unserved {{
  {ip} daddr @{CLUSTER_IPS} goto refuse
{unassigned} }}
 chain masquerading {{
  {ip} saddr . {ip} daddr @{HAIRPIN} {masquerade}
{outside}  {_TRANSPORT} {original} @{EXTERNAL} {masquerade}
 }}
 chain prerouting {{ goto services; }}
 chain output {{ goto services; }}
 chain late-prerouting {{ goto unserved; }}
 chain late-output {{ goto unserved; }}
 chain postrouting {{ ct status dnat goto masquerading; }}
}}
"""


def _endpoints(name: str, family: Family) -> str:
    # A map of known size is a plain hash table, which fills three times as fast as one that grows. Eight octets a
    # bucket, a power of two of at least 4/3 buckets an element.
    ip, size = family.table, name.removeprefix(ENDPOINTS)
    return (
        f"map {name} {{ typeof {ip} daddr . meta l4proto . th dport . numgen random mod 2 : {ip} daddr . th dport; "
        f"size {size}; }}"
    )


def larger(name: str, family: Family = IPV4) -> str:
    """Another map of endpoints, empty, beside the one in use."""
    return f"table {family.table} {TABLE} {{\n {_endpoints(name, family)}\n}}\n"
