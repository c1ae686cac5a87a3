"""What a speaker tells Prometheus."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

_announced = Gauge(
    "fairlead_speaker_addresses_announced", "Addresses that this node announces", ("protocol",)
)
_alive = Gauge(
    "fairlead_speaker_nodes_alive", "Nodes whose speakers live, this one too, as heard on the network"
)
_conflicts = Counter(
    "fairlead_speaker_conflicts", "Times that an address to be announced was another machine's"
)


def announces(protocol: str, addresses: int) -> None:
    """So many addresses are announced now by layer2 or bgp."""
    _announced.labels(protocol).set(addresses)


def lives(nodes: int) -> None:
    """So many nodes live."""
    _alive.set(nodes)


def conflict() -> None:
    """Another machine has an address."""
    _conflicts.inc()
