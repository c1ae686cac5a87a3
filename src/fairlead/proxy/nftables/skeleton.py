"""The constant part of the table: sets, maps, chains, rules. Everything that changes is an element of them. Pure.

Applying it again changes nothing but rules of an older version: sets keep their elements, and the rules change in one
transaction. It is told in two ways: as nft's `table` block, for people (`listing`), and as commands, for the kernel. A
block would also set the table's flags, which are not nft's to set (`ownership`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

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

_HOOKS = {
    "prerouting": "prerouting priority dstnat",
    "output": "output priority -100",
    "input": "input priority 100",
    "late-prerouting": "prerouting priority -90",
    "late-output": "output priority -90",
    "postrouting": "postrouting priority srcnat",
}

COMMENT = "Kubernetes Services, by fairlead proxy"

Declaration = tuple[str, str, str]
"""A set, map or chain: which of them, its name, and what stands between its braces."""

Rules = Mapping[str, Iterable[str]]
"""What stands in each chain, a rule an item."""

_ADDRESS = {IPV4: "ipv4_addr", IPV6: "ipv6_addr"}
_ZERO = {family: family.text(bytes(family.size)) for family in (IPV4, IPV6)}
_LOOPBACK = {IPV4: "127.0.0.0/8", IPV6: "::1"}
_MASQUERADE = "masquerade fully-random"


def declarations(endpoints: str, family: Family = IPV4) -> list[Declaration]:
    """Sets, maps and empty chains. `endpoints` is the name of the map of slots."""
    address = _ADDRESS[family]
    frontend = f"{address} . inet_proto . inet_service"
    sticky = f"type {address} . inet_service . {frontend};"
    client = f"{frontend} . {address} : inet_proto . {address} . inet_service"
    return [
        ("set", CLUSTER_IPS, f"type {address};"),
        ("set", NODE_ADDRESSES, f"type {address};"),
        ("set", HAIRPIN, f"type {address} . {address};"),
        ("set", EXTERNAL, f"type {frontend};"),
        ("set", EXTERNAL_LOCAL, f"type {frontend};"),
        ("set", GUARDED, f"type {frontend};"),
        ("set", SOURCES, f"type {frontend} . {address}; flags interval;"),
        ("set", STICKY, sticky),
        ("set", STICKY_LOCAL, sticky),
        *(("map", name, f"type {frontend} : verdict;") for name in (FRONTENDS, SPECIALS, INSIDE, LEARNERS)),
        ("map", ALIASES, f"type {frontend} : mark . {frontend};"),
        ("map", AFFINITY, f"type {client}; size {AFFINITY_SIZE}; flags dynamic, timeout;"),
        slots_map(endpoints, family),
        *(("chain", name, f"type nat hook {_HOOKS[name]};" if name in _HOOKS else "") for name in CHAINS),
    ]


def slots_map(name: str, family: Family = IPV4) -> Declaration:
    """A map of slots, empty."""
    # A map of known size is a plain hash table, which fills three times as fast as one that grows. Eight octets a
    # bucket, a power of two of at least 4/3 buckets an element.
    ip, size = family.table, name.removeprefix(ENDPOINTS)
    key = f"{ip} daddr . meta l4proto . th dport . numgen random mod 2"
    return ("map", name, f"typeof {key} : {ip} daddr . th dport; size {size};")


def rules(options: ProxyOptions, family: Family = IPV4) -> dict[str, list[str]]:
    """What stands in the chains.

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
    return {
        "refuse": ["meta l4proto tcp reject with tcp reset", "reject"],
        "discard": ["drop"],
        "services": [
            *_marking_outsiders(options, family),
            f"{frontend} vmap @{FRONTENDS}",
            f"{_to_node(options, family)} goto node-ports",
        ],
        "node-ports": [*_marking_ports(options, port), f"{port} vmap @{FRONTENDS}"],
        SPECIAL: [
            f"{frontend} @{GUARDED} {ip} daddr . meta l4proto . th dport . {ip} saddr != @{SOURCES} drop",
            *_short_cut(options, frontend, family),
            f"{frontend} vmap @{SPECIALS}",
        ],
        SPECIAL_PORTS: [*_short_cut(options, port, family), f"{port} vmap @{SPECIALS}"],
        # After every other program's translation of destinations: what is still bound for a virtual address has
        # no Service.
        "unserved": [f"{ip} daddr @{CLUSTER_IPS} goto refuse", *_unassigned(options, family)],
        "masquerading": [
            "jump learning",
            f"{ip} saddr . {ip} daddr @{HAIRPIN} {_MASQUERADE}",
            *_masquerading_cluster(options, family),
            *_masquerading_external(options, transport, original, original_port, family),
        ],
        # One that is not ours may be taken for a node port; nobody believes what is noted then.
        "learning": [f"{transport} {each} vmap @{LEARNERS}" for each in (original, original_port)],
        "prerouting": ["goto services"],
        "output": ["goto services"],
        "late-prerouting": ["goto unserved"],
        "late-output": ["goto unserved"],
        "postrouting": ["ct status dnat goto masquerading"],
        "input": ["ct status dnat goto learning"],
    }


def block(declared: Iterable[Declaration], wanted: Rules, family: Family = IPV4) -> str:
    """The table as people write it."""
    lines = [f"table {family.table} {TABLE} {{", f' comment "{COMMENT}"']
    for kind, name, body in declared:
        inside = [body] if body else []
        if kind == "chain":
            inside += wanted.get(name, ())
        if len(inside) < 2:
            lines.append(f" {kind} {name} {{ {' '.join(inside)} }}")
        else:
            lines += [f" {kind} {name} {{", *(f"  {line}" for line in inside), " }"]
    return "\n".join((*lines, "}"))


def declaring(declared: Iterable[Declaration], family: Family = IPV4) -> str:
    """The commands that declare, in a table that is there; what is there already stays as it is."""
    return "".join(
        f"add {kind} {family.table} {TABLE} {name} {{ {body} }}\n" for kind, name, body in declared
    )


def ruling(wanted: Rules, *, fresh: bool, family: Family = IPV4) -> str:
    """The commands that put the rules into the chains. `fresh` says that those are empty: emptying takes 10 ms.

    Apart from `declaring`, because both in one transaction take nft and the kernel four times as long.
    """
    there = f"{family.table} {TABLE}"
    flush = [] if fresh else [f"flush chain {there} {name}\n" for name in wanted]
    rules_ = [f"add rule {there} {name} {rule}\n" for name, lines in wanted.items() for rule in lines]
    return "".join(flush + rules_)


def _pods(options: ProxyOptions, family: Family, *, others: bool = False) -> str:
    """What nft says for a packet from pods of this node, or from anybody else; "" where that cannot be said."""
    relation = "!= " if others else ""
    if options.local_pods.interface:
        return f'iifname {relation}"{options.local_pods.interface}"'
    networks = options.local_pods.networks(family)
    return f"{family.table} saddr {relation}{{ {', '.join(networks)} }}" if networks else ""


def _short_cut(options: ProxyOptions, key: str, family: Family) -> list[str]:
    """To an address from outside, under externalTrafficPolicy Local: the node and its pods may go to any endpoint."""
    pods = _pods(options, family)
    return [f"{source} {key} vmap @{INSIDE}" for source in (pods, "fib saddr type local") if source]


def _to_node(options: ProxyOptions, family: Family) -> str:
    """What is sent to an address where node ports are open."""
    if options.nodeport_addresses in ((), (PRIMARY,)):
        return f"{family.table} daddr @{NODE_ADDRESSES}"
    networks = ", ".join(family.only(options.nodeport_addresses)) or _ZERO[family]
    # What is sent to the loopback address stays there: its answers could not come back from a pod.
    return f"{family.table} daddr {{ {networks} }} {family.table} daddr != {_LOOPBACK[family]} fib daddr type local"


def _unassigned(options: ProxyOptions, family: Family) -> list[str]:
    networks = family.only(options.service_cidrs)
    return [f"{family.table} daddr {{ {', '.join(networks)} }} drop"] if networks else []


def _marking_outsiders(options: ProxyOptions, family: Family) -> list[str]:
    # The interface that a packet came in on is not known any more when it goes out.
    if options.masquerade_all or not options.local_pods.interface:
        return []
    others = _pods(options, family, others=True)
    return [f"{family.table} daddr @{CLUSTER_IPS} {others} {_mark(options)}"]


def _marking_ports(options: ProxyOptions, port: str) -> list[str]:
    # Whether an address is the node's own can be asked only of what a packet is sent to, not of what it was sent to.
    if options.nodeport_addresses in ((), (PRIMARY,)):
        return []
    return [
        f"{port} @{EXTERNAL} {_mark(options)}",
        f"fib saddr type local {port} @{EXTERNAL_LOCAL} {_mark(options)}",
    ]


def _mark(options: ProxyOptions) -> str:
    return f"meta mark set meta mark or {options.masquerade_mark:#x}"


def _masquerading_cluster(options: ProxyOptions, family: Family) -> list[str]:
    """What others than pods of this node send to a ClusterIP."""
    to_cluster_ip = f"ct original {family.table} daddr @{CLUSTER_IPS}"
    if options.masquerade_all:
        return [f"{to_cluster_ip} {_MASQUERADE}"]
    if options.local_pods.interface:
        return [_masquerading_marked(options)]
    others = _pods(options, family, others=True)
    return [f"{to_cluster_ip} {others} {_MASQUERADE}"] if others else []


def _masquerading_marked(options: ProxyOptions) -> str:
    mark = f"{options.masquerade_mark:#x}"
    return f"meta mark and {mark} == {mark} meta mark set meta mark xor {mark} {_MASQUERADE}"


def _masquerading_external(
    options: ProxyOptions, transport: str, original: str, original_port: str, family: Family
) -> list[str]:
    lines = [
        f"{transport} {original} @{EXTERNAL} {_MASQUERADE}",
        f"{transport} {original} @{EXTERNAL_LOCAL} fib saddr type local {_MASQUERADE}",
    ]
    if options.nodeport_addresses in ((), (PRIMARY,)):
        to_node = f"ct original {family.table} daddr @{NODE_ADDRESSES} {transport} {original_port}"
        lines += [
            f"{to_node} @{EXTERNAL} {_MASQUERADE}",
            f"{to_node} @{EXTERNAL_LOCAL} fib saddr type local {_MASQUERADE}",
        ]
    elif options.masquerade_all or not options.local_pods.interface:
        lines.append(_masquerading_marked(options))
    return lines
