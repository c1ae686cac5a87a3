"""Ports of the node that pods ask for, and when two cannot have theirs on one node.

Upstream: scheduler/util.GetHostPorts, framework.HostPortInfo.CheckConflict.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from fairlead.objects.core_v1 import Pod

EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 -- as upstream names it


class HostPort(NamedTuple):
    """A port on an address of the node, or on all of them."""

    protocol: str
    port: int
    ip: str


def host_ports(pod: Pod) -> frozenset[HostPort]:
    """The host ports of the pod's containers and sidecars."""
    spec = pod.spec
    running = (*spec.containers, *(c for c in spec.initContainers if c.restartPolicy == "Always"))
    return frozenset(
        HostPort(port.protocol or "TCP", port.hostPort, port.hostIP or EVERY_ADDRESS)
        for container in running
        for port in container.ports
        if port.hostPort
    )


def conflict(one: HostPort, other: HostPort) -> bool:
    """Whether both cannot be had on one node."""
    return one[:2] == other[:2] and (one.ip == other.ip or EVERY_ADDRESS in (one.ip, other.ip))


def conflicts(wanted: Collection[HostPort], used: Collection[HostPort]) -> bool:
    """Whether one of the wanted ports is taken. Cost: their numbers' product, which are small."""
    return any(conflict(one, other) for one in wanted for other in used)
