"""What the load balancer provider is to do, as a value; its pools from a file of YAML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import yaml

from fairlead.loadbalancer.ipaddresspools import GROUP, METALLB, RESOURCES
from fairlead.loadbalancer.pools import NO_PRIORITY, Pool, clashes, merged, parse_range
from fairlead.loadbalancer.requests import CLASS
from fairlead.objects.labels import from_selector
from fairlead.objects.meta_v1 import LabelSelector


@dataclass(frozen=True)
class LoadBalancerConfig:
    """`pools` are where addresses come from, besides the IPAddressPools of the API groups in `pool_groups`.

    Services with `load_balancer_class` as their class are ours; those without a class are if we are the `default`.
    """

    pools: tuple[Pool, ...] = ()
    default: bool = True
    load_balancer_class: str = CLASS
    pool_groups: tuple[str, ...] = (GROUP,)


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


class _Pools(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    pools: tuple[_Named, ...] = ()


class _Metadata(msgspec.Struct, frozen=True):
    name: str


class _Manifest(msgspec.Struct, frozen=True):
    metadata: _Metadata
    spec: Any = None


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


def chosen(text: str) -> tuple[str, ...]:
    """The API groups that `--pool-groups` names. Raises ValueError."""
    found = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    for group in found:
        if group not in RESOURCES:
            raise ValueError(f"--pool-groups {group}: there are IPAddressPools of {' and '.join(RESOURCES)}")
    return found


def spec_of(value: Any) -> PoolSpec:
    """The spec of an IPAddressPool. Raises ValueError where it is none; a field that is not known is an error, too."""
    return msgspec.convert(value, PoolSpec)


def read(path: Path) -> tuple[Pool, ...]:
    """The pools of a file: `pools: [...]`, or manifests of IPAddressPools, ours or MetalLB's.

    Raises ValueError with the file's name and a sentence.
    """
    try:
        documents = [each for each in yaml.safe_load_all(path.read_text()) if each is not None]
        return checked([pool for each in documents for pool in _pools(each)])
    except OSError as error:
        raise ValueError(f"cannot read the pools {path}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from error


def _pools(document: Any) -> list[Pool]:
    if not isinstance(document, dict) or "kind" not in document:
        return [_made(each.name, each) for each in msgspec.convert(document, _Pools).pools]
    kind, version = document["kind"], document.get("apiVersion")
    if version not in {each.api_version for each in RESOURCES.values()}:
        raise ValueError(f"{kind} of {version} is no pool of {GROUP} or {METALLB}")
    if kind != "IPAddressPool":
        raise ValueError(f"{kind} is not read here, only IPAddressPool is")
    manifest = msgspec.convert(document, _Manifest)
    return [_made(manifest.metadata.name, manifest.spec)]


def _made(name: str, spec: Any) -> Pool:
    try:
        return pool(name, spec if isinstance(spec, PoolSpec) else spec_of(spec))
    except ValueError as error:
        raise ValueError(f"pool {name!r}: {error}") from error


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
