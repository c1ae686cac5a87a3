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
    "check",
    "open_store",
]


def check(address: str) -> None:
    """Raises ValueError with a sentence for an address that `open_store` would not take."""
    scheme, _, place = address.partition(":")
    if scheme == "etcd":
        from fairlead.store.etcd.address import parse

        parse(place)
    elif scheme != "sqlite" or not place:
        raise ValueError("that is no store: write sqlite:PATH or etcd:URL[,URL...]")


async def open_store(address: str) -> Store:
    """Opens the store that `--store` names: `sqlite:PATH` or `etcd:URL[,URL...][?OPTIONS]`.

    Raises ValueError for an address of no known form, Failed where the store cannot be used.
    """
    scheme, _, place = address.partition(":")
    if scheme == "etcd":
        from fairlead.store.etcd.address import parse
        from fairlead.store.etcd.store import EtcdStore

        return await EtcdStore.open(parse(place))
    from fairlead.store.sqlite import SQLiteStore

    check(address)
    return await SQLiteStore.open(place)
