"""The catalog: kinds that come and go while the server runs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fairlead.apiserver.catalog import Catalog, Family
from fairlead.apiserver.kind import Kind
from fairlead.apiserver.kinds import CONFIGMAPS, ENDPOINTSLICES, KINDS, SERVICES


def pools(version: str) -> Kind:
    resource = replace(CONFIGMAPS.resource, group="metallb.io", version=version, plural="pools", kind="Pool")
    return Kind(resource, "pool")


V1, OLD, STORED = pools("v1"), pools("v1beta1"), pools("v2alpha1")
FAMILY = Family(STORED, (V1, OLD))


def test_kinds_of_the_table_are_there_from_the_start() -> None:
    catalog = Catalog()
    assert tuple(catalog) == KINDS
    assert catalog.find("", "v1", "services") is SERVICES
    assert catalog.named("v1", "Service") is SERVICES
    assert catalog.keeper("/services/default/web") is SERVICES
    assert catalog.keeper("/allocations/nodeports/30080") is None


def test_a_family_comes_and_goes() -> None:
    catalog = Catalog()
    catalog.put(FAMILY)
    assert tuple(catalog)[-2:] == (V1, OLD)
    assert catalog.find("metallb.io", "v1beta1", "pools") is OLD
    assert catalog.find("metallb.io", "v2alpha1", "pools") is None, "stored, not served"
    assert catalog.keeper("/pools.metallb.io/default/a") is STORED
    assert STORED in catalog.collections()
    assert V1 not in catalog.collections()
    catalog.drop(V1.prefix)
    assert tuple(catalog) == KINDS
    assert catalog.find("metallb.io", "v1", "pools") is None
    assert catalog.named("metallb.io/v1", "Pool") is None
    assert catalog.keeper("/pools.metallb.io/default/a") is None


def test_changes_are_told_with_what_was_before() -> None:
    catalog, told = Catalog(), list[tuple[Family | None, Family | None]]()
    catalog.follow(lambda before, after: told.append((before, after)))
    narrower = Family(STORED, (V1,))
    catalog.put(FAMILY)
    catalog.put(narrower)
    catalog.drop(V1.prefix)
    catalog.drop(V1.prefix)
    assert told == [(None, FAMILY), (FAMILY, narrower), (narrower, None)]
    assert catalog.revision == 3


def test_the_table_cannot_be_replaced() -> None:
    catalog = Catalog()
    with pytest.raises(ValueError, match="/services/"):
        catalog.put(Family(SERVICES, (SERVICES,)))


@pytest.mark.parametrize(
    "kind",
    [kind for kind in KINDS if kind.generation and kind is not ENDPOINTSLICES],
    ids=lambda kind: kind.qualified,
)
def test_what_a_generation_counts_is_there(kind: Kind) -> None:
    """Every update of such a kind looks at it; EndpointSlices have a strategy from the server's configuration."""
    obj = kind.resource.type()
    assert kind.strategy.spec(obj) == kind.strategy.spec(kind.resource.type())
