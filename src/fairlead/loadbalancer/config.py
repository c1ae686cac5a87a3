"""What the load balancer provider is to do, as a value; its pools from a file of YAML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import yaml

from fairlead.loadbalancer.pools import NO_PRIORITY, Pool, clashes, merged, parse_range
from fairlead.objects.labels import from_selector
from fairlead.objects.meta_v1 import LabelSelector


@dataclass(frozen=True)
class LoadBalancerConfig:
    """`pools` are where addresses come from; `default`: Services without a class are ours too."""

    pools: tuple[Pool, ...] = ()
    default: bool = True


class Allocation(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which Services a pool is for, as MetalLB's `serviceAllocation`."""

    priority: int = 0
    namespaces: tuple[str, ...] = ()
    namespaceSelectors: tuple[LabelSelector, ...] = ()
    serviceSelectors: tuple[LabelSelector, ...] = ()


class PoolSpec(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A pool as it is written, as MetalLB's IPAddressPool.spec."""

    addresses: tuple[str, ...]
    autoAssign: bool = True
    avoidBuggyIPs: bool = False
    serviceAllocation: Allocation = Allocation()


class _Named(PoolSpec, frozen=True, kw_only=True):
    name: str


class _File(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    pools: tuple[_Named, ...] = ()


def pool(name: str, spec: PoolSpec) -> Pool:
    """The pool that a spec describes. Raises ValueError with a sentence."""
    if not spec.addresses:
        raise ValueError("a pool needs addresses")
    allocation = spec.serviceAllocation
    return Pool(
        name,
        merged(map(parse_range, spec.addresses)),
        spec.autoAssign,
        spec.avoidBuggyIPs,
        allocation.priority or NO_PRIORITY,
        frozenset(allocation.namespaces),
        tuple(map(from_selector, allocation.namespaceSelectors)),
        tuple(map(from_selector, allocation.serviceSelectors)),
    )


def read(path: Path) -> tuple[Pool, ...]:
    """The pools of a file. Raises ValueError with its name and a sentence."""
    try:
        document = yaml.safe_load(path.read_text())
        file = msgspec.convert(document if document is not None else {}, _File)
        return checked([_made(each) for each in file.pools])
    except OSError as error:
        raise ValueError(f"cannot read the pools {path}: {error.strerror}") from error
    except (yaml.YAMLError, msgspec.ValidationError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from error


def _made(spec: _Named) -> Pool:
    try:
        return pool(spec.name, spec)
    except ValueError as error:
        raise ValueError(f"pool {spec.name!r}: {error}") from error


def parse_pool(text: str) -> Pool:
    """Reads `RANGE[,RANGE]` or `NAME=RANGE[,RANGE]`; a pool without a name is called `default`. Raises ValueError."""
    name, separator, ranges = text.rpartition("=")
    return pool(name if separator else "default", PoolSpec(tuple(ranges.split(","))))


def checked(pools: Sequence[Pool]) -> tuple[Pool, ...]:
    """The pools. Raises ValueError where two have one name or one address."""
    names = [each.name for each in pools]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two pools are called {name!r}")
    for name, why in clashes(pools).items():
        raise ValueError(f"pool {name!r}: {why}")
    return tuple(pools)
