"""Every test of the suite runs in each mode and family, and is skipped, with the reason, where the kernel lacks it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fairlead.proxy.dataplane import Unusable
from fairlead.proxy.family import IPV4, IPV6, Family
from tests.proxy.chosen import CHOSEN
from tests.proxy.conformance.cluster import Cluster, Frontends
from tests.proxy.topology import Topology, topology


@pytest.fixture(scope="session")
def network() -> Iterator[Topology]:
    if os.geteuid() != 0:
        pytest.skip("needs root: makes network namespaces")
    with topology() as made:
        yield made


@pytest.fixture(scope="module", params=CHOSEN)
def mode(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture(scope="module", params=[IPV4, IPV6], ids=["IPv4", "IPv6"])
def family(request: pytest.FixtureRequest) -> Family:
    chosen: Family = request.param
    return chosen


Install = Callable[..., Cluster]


@pytest.fixture(scope="module")
def install(network: Topology, mode: str, family: Family) -> Iterator[Install]:
    """Makes proxies on both nodes with these options, until the end of the module."""
    with contextlib.ExitStack() as stack:

        def make(**options: Any) -> Cluster:
            try:
                made = Cluster(network, mode, family, **options)
            except Unusable as error:
                pytest.skip(f"{mode}: {error}")
            stack.callback(made.cleanup)
            return made

        yield make


@pytest.fixture(scope="module")
def installed(install: Install) -> Cluster:
    return install()


@pytest.fixture
def cluster(installed: Cluster) -> Iterator[Cluster]:
    """Proxies on both nodes, without any Service yet."""
    yield installed
    installed.clear()


@pytest.fixture
def at(family: Family) -> Frontends:
    """The addresses of the Service under test."""
    return Frontends(family)
