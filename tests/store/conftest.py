"""The stores that the suite of the interface runs against."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from fairlead.store import Store, open_store
from tests.store.etcd import Cluster, needs_etcd

Open = Callable[[], Awaitable[Store]]


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One member without TLS, for all tests that do not break it."""
    cluster = Cluster(tmp_path_factory.mktemp("etcd"))
    yield cluster
    cluster.stop()


NUMBERS = itertools.count()


@pytest.fixture(params=["sqlite", pytest.param("etcd", marks=needs_etcd)])
def open_again(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens the same store, again after it was closed."""
    match request.param:
        case "sqlite":
            address = f"sqlite:{tmp_path / 'store.db'}"
        case "etcd":
            address = request.getfixturevalue("etcd").address(f"/test-{next(NUMBERS)}")
    return lambda: open_store(address)
