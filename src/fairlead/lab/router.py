"""The lab's router as a speaker of BGP: it learns from the nodes where the addresses of load balancers lead."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from fairlead.lab.addressing import IPV4, Family
from fairlead.loadbalancer.bgp.bird import program
from fairlead.loadbalancer.bgp.configuration import BgpConfig, Peer, bfd

ASN, NODES_ASN = 64512, 64513
"""Of the router and of the nodes: RFC 6996, for private use."""


def node_config(families: Sequence[Family] = (IPV4,)) -> BgpConfig:
    """How each node speaks to the router: in the cluster's first family, of addresses of both."""
    return BgpConfig(NODES_ASN, (Peer(families[0].router, ASN),), bfd=True)


def render(families: Sequence[Family] = (IPV4,)) -> str:
    """BIRD's configuration on the router: routes to one address of a load balancer each, shared by the nodes. Pure.

    Every node of the underlay may come, so that those that are added need nothing new here.
    """
    first = families[0]
    channels = "".join(
        f"\n  ipv{family.version} {{ import where net ~ [ {family.load_balancers}{{{family.bits},{family.bits}}} ]; "
        "export none; };"
        for family in families
    )
    lines = [
        "log stderr { info, remote, warning, error, auth, fatal, bug };",
        f"router id {IPV4.router};",
        "protocol device { }",
        *(
            f"protocol kernel {{ persist off; merge paths on; "
            f"ipv{family.version} {{ import none; export where source = RTS_BGP; }}; }}"
            for family in families
        ),
        bfd(),
        "protocol bgp nodes {\n"
        f"  local {first.router} as {ASN};\n"
        f"  neighbor range {first.underlay} as {NODES_ASN};\n"
        '  dynamic name "node";\n'
        f"  passive on; bfd on; hold time 9; error wait time 1, 2;{channels}\n}}",
    ]
    return "\n".join(lines) + "\n"


def run(directory: Path, families: Sequence[Family] = (IPV4,)) -> int:
    """Becomes BIRD, in the namespace that the process is in. Raises OSError."""
    directory.mkdir(exist_ok=True)
    file = directory / "bird.conf"
    file.write_text(render(families))
    found = program()
    os.execv(found, [found, "-f", "-c", str(file), "-s", str(directory / "bird.ctl")])  # noqa: S606
