"""A revisioned key-value store with watches: one interface, a store for each place to keep the data."""

from fairlead.store.interface import (
    Change,
    Closed,
    Compacted,
    Condition,
    Conflict,
    Entry,
    Event,
    Failed,
    Future,
    Page,
    Store,
    TooSlow,
    Unknown,
    Watch,
)

__all__ = [
    "Change",
    "Closed",
    "Compacted",
    "Condition",
    "Conflict",
    "Entry",
    "Event",
    "Failed",
    "Future",
    "Page",
    "Store",
    "TooSlow",
    "Unknown",
    "Watch",
    "open_store",
]


async def open_store(address: str) -> Store:
    """Opens the store that `--store` names: `sqlite:PATH`. Raises ValueError for an address of no known form."""
    from fairlead.store.sqlite import SQLiteStore

    scheme, _, place = address.partition(":")
    if scheme != "sqlite" or not place:
        raise ValueError(f"{address!r} is no store: write sqlite:PATH")
    return await SQLiteStore.open(place)
