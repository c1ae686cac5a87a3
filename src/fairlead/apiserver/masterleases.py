"""Which API servers are alive, so that `kubernetes.default` points at them and at no other.

Each writes a key of its address again and again; one whose key has stood still for the time of a lease is taken to be
gone, and its key is deleted by whoever sees that first. Time is measured by who looks, since clocks of servers differ.
Upstream: pkg/controlplane/reconcilers/lease.go.
"""

from __future__ import annotations

import contextlib
import time

from fairlead.store import Change, Condition, Conflict, Store

PREFIX = "/masterleases/"

LEASE_SECONDS = 15.0
"""kube-apiserver's --apiserver-lease time to live."""


class MasterLeases:
    """The servers on one store, as one of them sees them. `address` is its own."""

    def __init__(self, store: Store, address: str, seconds: float = LEASE_SECONDS) -> None:
        self._store = store
        self._address = address
        self._seconds = seconds
        self._seen: dict[str, tuple[int, float]] = {}

    @property
    def interval(self) -> float:
        """Seconds between two renewals."""
        return self._seconds * 2 / 3

    async def renew(self) -> tuple[str, ...]:
        """Says that this server is alive; gives the addresses of all that are, sorted. Raises Failed."""
        own = PREFIX + self._address
        await self._store.commit([], [Change(own, b"%d" % time.time())])
        now = time.monotonic()
        page = await self._store.range(PREFIX)
        there = {entry.key: entry.revision for entry in page.entries}
        self._seen = {key: seen for key, seen in self._seen.items() if key in there}
        alive = []
        for key, revision in there.items():
            seen, since = self._seen.get(key, (0, now))
            if seen != revision:
                since = now
                self._seen[key] = revision, now
            if key != own and now - since > self._seconds:
                with contextlib.suppress(Conflict):
                    await self._store.commit([Condition(key, revision)], [Change(key, None)])
                continue
            alive.append(key[len(PREFIX) :])
        return tuple(sorted(alive))

    async def leave(self) -> tuple[str, ...]:
        """Says that this server ends; gives the addresses of the others. Raises Failed."""
        await self._store.commit([], [Change(PREFIX + self._address, None)])
        page = await self._store.range(PREFIX)
        return tuple(sorted(entry.key[len(PREFIX) :] for entry in page.entries))
