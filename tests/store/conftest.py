"""The stores that the suite of the interface runs against."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from fairlead.store import Store
from fairlead.store.sqlite import SQLiteStore

Open = Callable[[], Awaitable[Store]]


@pytest.fixture(params=["sqlite"])
def open_again(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens the same store, again after it was closed."""
    match request.param:
        case "sqlite":
            return lambda: SQLiteStore.open(tmp_path / "store.db")
    raise AssertionError(request.param)
