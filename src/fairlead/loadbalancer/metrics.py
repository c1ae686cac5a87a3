"""What the provider tells Prometheus."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping

from prometheus_client import Counter, Gauge

_in_use = Gauge("fairlead_loadbalancer_addresses_in_use", "Addresses of a pool that Services have", ("pool",))
_capacity = Gauge("fairlead_loadbalancer_addresses", "Addresses of a pool", ("pool",))
_waiting = Gauge("fairlead_loadbalancer_services_waiting", "Services that lack an address that they ask for")
_decisions = Counter(
    "fairlead_loadbalancer_decisions", "Times that a Service was looked at, by what came of it", ("reason",)
)


def holds(pool: str, counts: Mapping[str, int]) -> None:
    """How many addresses of a pool are taken and free, as its status has them."""
    taken = counts["assignedIPv4"] + counts["assignedIPv6"]
    _in_use.labels(pool).set(taken)
    _capacity.labels(pool).set(taken + counts["availableIPv4"] + counts["availableIPv6"])


def gone(pools: Iterable[str]) -> None:
    """There are no such pools any more."""
    for pool in pools:
        for gauge in (_in_use, _capacity):
            with contextlib.suppress(KeyError):
                gauge.remove(pool)


def reset() -> None:
    """Another replica does the work now, or we begin it."""
    _in_use.clear()
    _capacity.clear()
    _waiting.set(0)


def decided(reason: str, waiting: int) -> None:
    """A Service was looked at; so many lack an address now."""
    _decisions.labels(reason).inc()
    _waiting.set(waiting)
