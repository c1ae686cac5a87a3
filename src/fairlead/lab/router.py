"""The lab's router as a speaker of BGP: it learns from the nodes where the addresses of load balancers lead."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from fairlead.lab import topology
from fairlead.loadbalancer.bgp.bird import program
from fairlead.loadbalancer.bgp.configuration import BgpConfig, Peer, bfd

ASN, NODES_ASN = 64512, 64513
"""Of the router and of the nodes: RFC 6996, for private use."""


def node_config() -> BgpConfig:
    """How each node speaks to the router."""
    return BgpConfig(NODES_ASN, (Peer(topology.ROUTER, ASN),), bfd=True)


def render(nodes: Iterable[topology.Node]) -> str:
    """BIRD's configuration on the router: routes to one address of a load balancer each, shared by the nodes. Pure."""
    lines = [
        "log stderr { info, remote, warning, error, auth, fatal, bug };",
        f"router id {topology.ROUTER};",
        "protocol device { }",
        "protocol kernel { persist off; merge paths on; ipv4 { import none; export where source = RTS_BGP; }; }",
        bfd(),
    ]
    lines += [
        f"protocol bgp {node.name} {{\n"
        f"  local {topology.ROUTER} as {ASN};\n"
        f"  neighbor {node.address} as {NODES_ASN};\n"
        "  passive on; bfd on; hold time 9; error wait time 1, 2;\n"
        f"  ipv4 {{ import where net ~ [ {topology.LOAD_BALANCERS}{{32,32}} ]; export none; }};\n}}"
        for node in nodes
    ]
    return "\n".join(lines) + "\n"


def run(directory: Path, nodes: Iterable[topology.Node]) -> int:
    """Becomes BIRD, in the namespace that the process is in. Raises OSError."""
    directory.mkdir(exist_ok=True)
    file = directory / "bird.conf"
    file.write_text(render(nodes))
    found = program()
    os.execv(found, [found, "-f", "-c", str(file), "-s", str(directory / "bird.ctl")])  # noqa: S606
