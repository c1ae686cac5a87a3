"""What a pod's host ports lead to, and which of them another pod has already. Pure.

Upstream: PodPortMappings of the CRI and the CNI plugin portmap. A port without hostIP is open on all of the node's own
addresses, in each family in which the pod has one, and on the loopback address in IPv4; the kernel cannot lead what is
sent to ::1 out of the loopback interface.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from fairlead.objects.core_v1 import Pod

ANY = ("", "0.0.0.0", "::")  # noqa: S104 -- as users write them
PROTOCOLS = ("TCP", "UDP", "SCTP")


class Key(msgspec.Struct, frozen=True):
    """What is sent to the node: in the family (4 or 6), to the address `ip`, "" for any of its own."""

    family: int
    protocol: str
    port: int
    ip: str = ""

    def __str__(self) -> str:
        host = f"[{self.ip}]" if self.family == 6 and self.ip else self.ip or "any address"
        return f"{self.protocol} {host}:{self.port}"


class Target(msgspec.Struct, frozen=True):
    """Where it goes: the pod's address, and the port of its container."""

    ip: str
    port: int


Ports = Mapping[Key, Target]


def host_ports(pod: Pod, addresses: Sequence[str]) -> dict[Key, Target]:
    """What the pod's host ports lead to, given its addresses. None for a pod in the node's own network.

    A hostIP of a family in which the pod has no address leads nowhere; so does one that is no address.
    """
    if pod.spec.hostNetwork:
        return {}
    own = {ipaddress.ip_address(address).version: address for address in reversed(addresses)}
    spec = pod.spec
    running = (*spec.containers, *(c for c in spec.initContainers if c.restartPolicy == "Always"))
    found: dict[Key, Target] = {}
    for port in (port for container in running for port in container.ports if port.hostPort):
        protocol = port.protocol or "TCP"
        if protocol in PROTOCOLS:
            for family, ip in _places(port.hostIP):
                if family in own:
                    found.setdefault(
                        Key(family, protocol, port.hostPort, ip), Target(own[family], port.containerPort)
                    )
    return found


def _places(host_ip: str) -> Iterable[tuple[int, str]]:
    """The families and addresses that a hostIP means."""
    if host_ip == "":
        return ((4, ""), (6, ""))
    try:
        address = ipaddress.ip_address(host_ip)
    except ValueError:
        return ()
    return ((address.version, "" if host_ip in ANY else str(address)),)


def taken(wanted: Iterable[Key], held: Mapping[Key, str], own: str) -> dict[Key, str]:
    """Which of the keys another than `own` holds, and who it is. `held` gives the holder's uid.

    Two pods may have one port on different addresses; on all of them and on a certain one, the certain one wins.
    """
    return {key: held[key] for key in wanted if held.get(key, own) != own}


def on_loopback(ports: Ports) -> bool:
    """Whether one of the ports is open on the loopback address."""
    return any(key.family == 4 and (not key.ip or ipaddress.ip_address(key.ip).is_loopback) for key in ports)
