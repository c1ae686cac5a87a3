"""Routes that are told to the kernel many at once."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from fairlead.lab import routes, topology
from fairlead.lab.addressing import IPV4, IPV6
from fairlead.lab.network import Network

BOTH = (IPV4, IPV6)


@pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
def test_the_kernel_has_the_routes_that_the_plan_has() -> None:
    plan = topology.plan(topology.plan_nodes(2, families=BOTH), BOTH)
    network = Network(f"routes{os.getpid()}", Path("/run/netns"))
    many = [(f"10.{n >> 8}.{n & 255}.0/24", "192.168.1.1") for n in range(2 * routes.AT_ONCE + 1)]
    try:
        network.make(plan)
        with network.entered("node1"):
            routes.install(many)
            routes.install(many)  # again: they are replaced
            found = [*_routes("-4"), *_routes("-6")]
            with pytest.raises(OSError, match=r"the route to 10\.9\.0\.0/24 by 192\.0\.2\.1"):
                routes.install([many[0], ("10.9.0.0/24", "192.0.2.1")])
    finally:
        network.remove()
    of_node = [(route.destination, route.gateway) for route in plan.routes if route.namespace == "node1"]
    named = {"0.0.0.0/0": "default", "::/0": "default"}
    assert sorted(found) == sorted([*((named.get(dst, dst), gateway) for dst, gateway in of_node), *many])


def _routes(family: str) -> list[tuple[str, str]]:
    said = subprocess.run(["ip", family, "-json", "route"], capture_output=True, check=True).stdout
    return [(route["dst"], route["gateway"]) for route in json.loads(said) if "gateway" in route]


@pytest.mark.parametrize("data", [b"", b"\0" * 3, b"\0" * 64])
def test_what_answers_nothing_has_no_answers(data: bytes) -> None:
    assert routes.answers(data) == []
