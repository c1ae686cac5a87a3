"""The constant part of the table as text: sets, maps, chains, rules. Everything that changes is an element of them.

Applying it again changes nothing but rules of an older version: sets keep their elements, and the rules change in one
transaction.
"""

from __future__ import annotations

from fairlead.proxy.family import IPV4, IPV6, Family
from fairlead.proxy.nftables.names import (
    AFFINITY,
    ALIASES,
    CLUSTER_IPS,
    ENDPOINTS,
    EXTERNAL,
    EXTERNAL_LOCAL,
    FRONTENDS,
    GUARDED,
    HAIRPIN,
    INSIDE,
    LEARNERS,
    NODE_ADDRESSES,
    SOURCES,
    SPECIAL,
    SPECIAL_PORTS,
    SPECIALS,
    STICKY,
    STICKY_LOCAL,
    TABLE,
)
from fairlead.proxy.options import PRIMARY, ProxyOptions

AFFINITY_SIZE = 1 << 18
"""Clients that are remembered at a time, 48 MiB of the kernel's memory; others are spread anew."""

CHAINS = (
    "services",
    "node-ports",
    SPECIAL,
    SPECIAL_PORTS,
    "unserved",
    "masquerading",
    "learning",
    "refuse",
    "discard",
    "prerouting",
    "output",
    "input",
    "late-prerouting",
    "late-output",
    "postrouting",
)
"""All chains but for those that draw."""

_ADDRESS = {IPV4: "ipv4_addr", IPV6: "ipv6_addr"}
_ZERO = {family: family.text(bytes(family.size)) for family in (IPV4, IPV6)}
_LOOPBACK = {IPV4: "127.0.0.0/8", IPV6: "::1"}
_MASQUERADE = "masquerade fully-random"


def declarations(endpoints: str, family: Family = IPV4) -> str:
    """The table with its sets, maps and empty chains. `endpoints` is the name of the map of slots."""
    ip, address = family.table, _ADDRESS[family]
    frontend = f"{address} . inet_proto . inet_service"
    return f"""
table {ip} {TABLE} {{
 comment "Kubernetes Services, by fairlead proxy"
 set {CLUSTER_IPS} {{ type {address}; }}
 set {NODE_ADDRESSES} {{ type {address}; }}
 set {HAIRPIN} {{ type {address} . {address}; }}
 set {EXTERNAL} {{ type {frontend}; }}
 set {EXTERNAL_LOCAL} {{ type {frontend}; }}
 set {GUARDED} {{ type {frontend}; }}
 set {SOURCES} {{ type {frontend} . {address}; flags interval; }}
 set {STICKY} {{ type {address} . inet_service . {frontend}; }}
 set {STICKY_LOCAL} {{ type {address} . inet_service . {frontend}; }}
 map {FRONTENDS} {{ type {frontend} : verdict; }}
 map {SPECIALS} {{ type {frontend} : verdict; }}
 map {INSIDE} {{ type {frontend} : verdict; }}
 map {LEARNERS} {{ type {frontend} : verdict; }}
 map {ALIASES} {{ type {frontend} : mark . {frontend}; }}
 map {AFFINITY} {{
  type {frontend} . {address} : inet_proto . {address} . inet_service; size {AFFINITY_SIZE}; flags dynamic, timeout;
 }}
 {_endpoints(endpoints, family)}
 chain refuse {{ }}
 chain discard {{ }}
 chain services {{ }}
 chain node-ports {{ }}
 chain {SPECIAL} {{ }}
 chain {SPECIAL_PORTS} {{ }}
 chain unserved {{ }}
 chain masquerading {{ }}
 chain learning {{ }}
 chain prerouting {{ type nat hook prerouting priority dstnat; }}
 chain output {{ type nat hook output priority -100; }}
 chain late-prerouting {{ type nat hook prerouting priority -90; }}
 chain late-output {{ type nat hook output priority -90; }}
 chain postrouting {{ type nat hook postrouting priority srcnat; }}
 chain input {{ type nat hook input priority 100; }}
}}
"""


def rules(options: ProxyOptions, *, fresh: bool, family: Family = IPV4) -> str:
    """What stands in the chains. `fresh` says that they are empty; emptying them takes the kernel ten milliseconds.

    Apart from `declarations`, because both in one transaction take nft and the kernel four times as long.

    Only the first packet of a connection meets these rules. Refusing in a chain of type nat is what makes a
    Service without endpoints an element like any other: the same map that picks a chain refuses.
    """
    ip = family.table
    # nft wants to be told that there is a transport header before it reads one.
    transport = "meta l4proto { tcp, udp, sctp }"
    frontend = f"{transport} {ip} daddr . meta l4proto . th dport"
    # The key of a node port has address zero.
    port = f"{transport} {ip} daddr and {_ZERO[family]} . meta l4proto . th dport"
    # What a packet was sent to before its translation.
    original = f"ct original {ip} daddr . meta l4proto . ct original proto-dst"
    original_port = f"ct original {ip} daddr and {_ZERO[family]} . meta l4proto . ct original proto-dst"
    flush = "" if fresh else "".join(f"flush chain {ip} {TABLE} {name}\n" for name in CHAINS)
    return f"""
{flush}
table {ip} {TABLE} {{
 chain refuse {{
  meta l4proto tcp reject with tcp reset
  reject
 }}
 chain discard {{ drop; }}
 chain services {{
{_marking_outsiders(options, family)}  {frontend} vmap @{FRONTENDS}
  {_to_node(options, family)} goto node-ports
 }}
 chain node-ports {{
{_marking_ports(options, port)}  {port} vmap @{FRONTENDS}
 }}
 chain {SPECIAL} {{
  {frontend} @{GUARDED} {ip} daddr . meta l4proto . th dport . {ip} saddr != @{SOURCES} drop
{_short_cut(options, frontend, family)}  {frontend} vmap @{SPECIALS}
 }}
 chain {SPECIAL_PORTS} {{
{_short_cut(options, port, family)}  {port} vmap @{SPECIALS}
 }}
 # After every other program's translation of destinations: what is still bound for a virtual address has no Service.
 chain unserved {{
  {ip} daddr @{CLUSTER_IPS} goto refuse
{_unassigned(options, family)} }}
 chain masquerading {{
  jump learning
  {ip} saddr . {ip} daddr @{HAIRPIN} {_MASQUERADE}
{_masquerading_cluster(options, family)}{_masquerading_external(options, transport, original, original_port, family)} }}
 # One that is not ours may be taken for a node port; nobody believes what is noted then.
 chain learning {{
  {transport} {original} vmap @{LEARNERS}
  {transport} {original_port} vmap @{LEARNERS}
 }}
 chain prerouting {{ goto services; }}
 chain output {{ goto services; }}
 chain late-prerouting {{ goto unserved; }}
 chain late-output {{ goto unserved; }}
 chain postrouting {{ ct status dnat goto masquerading; }}
 chain input {{ ct status dnat goto learning; }}
}}
"""


def _pods(options: ProxyOptions, family: Family, *, others: bool = False) -> str:
    """What nft says for a packet from pods of this node, or from anybody else; "" where that cannot be said."""
    relation = "!= " if others else ""
    if options.local_pods.interface:
        return f'iifname {relation}"{options.local_pods.interface}"'
    networks = options.local_pods.networks(family)
    return f"{family.table} saddr {relation}{{ {', '.join(networks)} }}" if networks else ""


def _short_cut(options: ProxyOptions, key: str, family: Family) -> str:
    """To an address from outside, under externalTrafficPolicy Local: the node and its pods may go to any endpoint."""
    pods = _pods(options, family)
    from_pods = f"  {pods} {key} vmap @{INSIDE}\n" if pods else ""
    return f"{from_pods}  fib saddr type local {key} vmap @{INSIDE}\n"


def _to_node(options: ProxyOptions, family: Family) -> str:
    """What is sent to an address where node ports are open."""
    if options.nodeport_addresses in ((), (PRIMARY,)):
        return f"{family.table} daddr @{NODE_ADDRESSES}"
    networks = ", ".join(family.only(options.nodeport_addresses)) or _ZERO[family]
    # What is sent to the loopback address stays there: its answers could not come back from a pod.
    return f"{family.table} daddr {{ {networks} }} {family.table} daddr != {_LOOPBACK[family]} fib daddr type local"


def _unassigned(options: ProxyOptions, family: Family) -> str:
    networks = family.only(options.service_cidrs)
    return f"  {family.table} daddr {{ {', '.join(networks)} }} drop\n" if networks else ""


def _marking_outsiders(options: ProxyOptions, family: Family) -> str:
    # The interface that a packet came in on is not known any more when it goes out.
    if options.masquerade_all or not options.local_pods.interface:
        return ""
    others = _pods(options, family, others=True)
    return f"  {family.table} daddr @{CLUSTER_IPS} {others} {_mark(options)}\n"


def _marking_ports(options: ProxyOptions, port: str) -> str:
    # Whether an address is the node's own can be asked only of what a packet is sent to, not of what it was sent to.
    if options.nodeport_addresses in ((), (PRIMARY,)):
        return ""
    return (
        f"  {port} @{EXTERNAL} {_mark(options)}\n"
        f"  fib saddr type local {port} @{EXTERNAL_LOCAL} {_mark(options)}\n"
    )


def _mark(options: ProxyOptions) -> str:
    return f"meta mark set meta mark or {options.masquerade_mark:#x}"


def _masquerading_cluster(options: ProxyOptions, family: Family) -> str:
    """What others than pods of this node send to a ClusterIP."""
    to_cluster_ip = f"ct original {family.table} daddr @{CLUSTER_IPS}"
    if options.masquerade_all:
        return f"  {to_cluster_ip} {_MASQUERADE}\n"
    if options.local_pods.interface:
        return _masquerading_marked(options)
    others = _pods(options, family, others=True)
    return f"  {to_cluster_ip} {others} {_MASQUERADE}\n" if others else ""


def _masquerading_marked(options: ProxyOptions) -> str:
    mark = f"{options.masquerade_mark:#x}"
    return f"  meta mark and {mark} == {mark} meta mark set meta mark xor {mark} {_MASQUERADE}\n"


def _masquerading_external(
    options: ProxyOptions, transport: str, original: str, original_port: str, family: Family
) -> str:
    lines = (
        f"  {transport} {original} @{EXTERNAL} {_MASQUERADE}\n"
        f"  {transport} {original} @{EXTERNAL_LOCAL} fib saddr type local {_MASQUERADE}\n"
    )
    if options.nodeport_addresses in ((), (PRIMARY,)):
        to_node = f"ct original {family.table} daddr @{NODE_ADDRESSES} {transport} {original_port}"
        lines += (
            f"  {to_node} @{EXTERNAL} {_MASQUERADE}\n"
            f"  {to_node} @{EXTERNAL_LOCAL} fib saddr type local {_MASQUERADE}\n"
        )
    elif options.masquerade_all or not options.local_pods.interface:
        lines += _masquerading_marked(options)
    return lines


def _endpoints(name: str, family: Family) -> str:
    # A map of known size is a plain hash table, which fills three times as fast as one that grows. Eight octets a
    # bucket, a power of two of at least 4/3 buckets an element.
    ip, size = family.table, name.removeprefix(ENDPOINTS)
    return (
        f"map {name} {{ typeof {ip} daddr . meta l4proto . th dport . numgen random mod 2 : {ip} daddr . th dport; "
        f"size {size}; }}"
    )


def larger(name: str, family: Family = IPV4) -> str:
    """Another map of slots, empty, beside the one in use."""
    return f"table {family.table} {TABLE} {{\n {_endpoints(name, family)}\n}}\n"
