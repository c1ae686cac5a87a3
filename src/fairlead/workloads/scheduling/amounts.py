"""What a pod asks of a node's resources, in whole numbers: cpu in thousandths of a core, all else in its own unit.

Upstream: component-helpers/resource.PodRequests, scheduler/framework.Resource; KEP-753 (sidecars), KEP-2837 (requests
of the whole pod).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache

from fairlead.objects import quantities
from fairlead.objects.core_v1 import Container, Pod
from fairlead.objects.scalars import Quantity

Amounts = dict[str, int]
"""By resource name. What is zero may be left out."""

LEAST_CPU, LEAST_MEMORY = 100, 200 * 1024 * 1024
"""What a container without requests counts as where nodes are compared.

Upstream: util.DefaultMilliCPURequest, DefaultMemoryRequest.
"""


@lru_cache(maxsize=4096)
def amount(resource: str, quantity: Quantity) -> int:
    """The quantity in the resource's unit, rounded up; 0 where it is none."""
    try:
        exact = quantities.parse(quantity)
    except ValueError:
        return 0
    scaled = exact * 1000 if resource == "cpu" else exact
    return int(min(scaled, Decimal(2**63 - 1)).to_integral_value(ROUND_CEILING))


def amounts(listed: Mapping[str, Quantity]) -> Amounts:
    """A list of resources, as a Node's allocatable, in whole numbers."""
    return {name: amount(name, quantity) for name, quantity in listed.items()}


def requests(pod: Pod, *, least: bool = False) -> Amounts:
    """What the pod needs at its most: containers and sidecars together, or an init container with the sidecars
    that were started before it, if that is more; then the pod's overhead.

    With `least`, containers that ask for no cpu or memory count as if they asked for a little.
    """
    spec = pod.spec
    total: Amounts = {}
    for container in spec.containers:
        _add(total, _asked(container, least))
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.initContainers:
        own = _asked(container, least)
        if container.restartPolicy == "Always":
            _add(total, own)
            _add(sidecars, own)
            _raise(peak, sidecars)
        else:
            _add(own, sidecars)
            _raise(peak, own)
    _raise(total, peak)
    if spec.resources is not None:
        total.update(amounts(spec.resources.requests))
    _add(total, amounts(spec.overhead))
    return {name: number for name, number in total.items() if number}


def _asked(container: Container, least: bool) -> Amounts:
    asked = amounts(container.resources.requests)
    if least:
        asked.setdefault("cpu", LEAST_CPU)
        asked.setdefault("memory", LEAST_MEMORY)
    return asked


def _add(total: Amounts, more: Mapping[str, int]) -> None:
    for name, number in more.items():
        total[name] = total.get(name, 0) + number


def _raise(total: Amounts, other: Mapping[str, int]) -> None:
    for name, number in other.items():
        total[name] = max(total.get(name, 0), number)
