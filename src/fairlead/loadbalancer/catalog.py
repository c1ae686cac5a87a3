"""Which pools there are: those of the configuration and the IPAddressPools of the API that can be used. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fairlead.loadbalancer.config import pool, spec_of
from fairlead.loadbalancer.ipaddresspools import IPAddressPool
from fairlead.loadbalancer.pools import Pool, clashes

USABLE = "Usable"


@dataclass(frozen=True)
class Verdict:
    """Whether an IPAddressPool can be used: `reason` is one CamelCase word, `pool` is None where it cannot."""

    reason: str
    message: str
    pool: Pool | None = None


@dataclass(frozen=True)
class Catalog:
    """`pools` can be used, by name; `unusable` says of others why not; `verdicts` are by the objects' `identity`."""

    pools: Mapping[str, Pool] = field(default_factory=dict)
    unusable: Mapping[str, str] = field(default_factory=dict)
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)


def identity(obj: IPAddressPool) -> str:
    """What tells an object from those of other groups and namespaces."""
    meta = obj.metadata
    return f"{obj.apiVersion.partition('/')[0]}/{meta.namespace}/{meta.name}"


def judge(configured: Sequence[Pool], objects: Iterable[IPAddressPool]) -> Catalog:
    """Who comes first keeps name and addresses: those configured, then the older object.

    So a pool that is added later can take nothing from those that are in use. Cost: the pools.
    """
    verdicts: dict[str, Verdict] = {}
    pools = {each.name: each for each in configured}
    by_name: dict[str, str] = {}
    for obj in sorted(objects, key=_age):
        who, name = identity(obj), obj.metadata.name
        try:
            made = pool(name, spec_of(obj.spec))
        except ValueError as error:
            verdicts[who] = Verdict("Malformed", " ".join(str(error).split()))
            continue
        if name in pools:
            verdicts[who] = Verdict("NameTaken", f"another pool is called {name!r}")
            continue
        pools[name] = made
        by_name[name] = who
        verdicts[who] = Verdict(USABLE, f"{_said(made)} can be given to Services", made)
    for name, why in clashes(pools.values()).items():
        del pools[name]
        verdicts[by_name[name]] = Verdict("Overlapping", why)
    unusable = {
        who.rpartition("/")[2]: verdict.message for who, verdict in verdicts.items() if verdict.pool is None
    }
    return Catalog(pools, {name: why for name, why in unusable.items() if name not in pools}, verdicts)


def _age(obj: IPAddressPool) -> tuple[str, bool, str, str]:
    """Of those made in the same second, one that is in use is the older one."""
    status = obj.status if isinstance(obj.status, dict) else {}
    unused = not (status.get("assignedIPv4") or status.get("assignedIPv6"))
    return obj.metadata.creationTimestamp or "", unused, obj.metadata.name, identity(obj)


def _said(made: Pool) -> str:
    counts = [(made.capacity(version), version) for version in sorted(made.versions)]
    return " and ".join(
        f"{count} address{'es' if count > 1 else ''} of IPv{version}" for count, version in counts
    )
