"""Compaction of etcd's history, by one of the servers at a time.

As kube-apiserver does it: at every interval each server tries to write a key at the version that it knows of it. Who
succeeds compacts what was there an interval ago, the others learn the version and wait.
Upstream: apiserver/pkg/storage/etcd3/compact.go.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable

from fairlead.store.etcd.client import Client, Gone
from fairlead.store.etcd.messages import (
    COMPACT,
    PUT,
    RANGE,
    TXN,
    VERSION,
    compact_request,
    compare,
    put_request,
    range_request,
    read_found,
    read_outcome,
    to_put,
    to_read,
    txn_request,
)
from fairlead.store.interface import Failed

log = logging.getLogger("fairlead.store")

SECONDS = 10.0
"""How long etcd may take for it."""

SWEEP_SECONDS = 60.0
"""How old a slot is at least that is swept away: several times as long as anybody tries to find out an outcome."""


class Compaction:
    """The key that says up to where history was compacted."""

    def __init__(self, client: Client, prefix: str) -> None:
        self._client = client
        self._key = prefix.encode() + b"-compacted"

    async def known(self) -> tuple[int, int]:
        """The revision up to which one of the servers compacted history (0: none did), and how often that was said.

        Raises Failed.
        """
        found = read_found(await self._client.ask(RANGE, range_request(self._key), SECONDS))
        return (int(found.entries[0].value), found.entries[0].version) if found.entries else (0, 0)

    async def compact(self, revision: int) -> None:
        """Forgets history up to a revision. Raises Failed."""
        written = put_request(self._key, b"%d" % revision)
        await self._client.ask(PUT, written, SECONDS)
        with contextlib.suppress(Gone):  # somebody was here before
            await self._client.ask(COMPACT, compact_request(revision), SECONDS)

    async def attempt(self, version: int, revision: int) -> tuple[int, int, bool]:
        """Tries to be the one that compacts: the version that the key has now, etcd's revision, and whether it was.

        Raises Failed.
        """
        request = txn_request(
            [compare(self._key, version, VERSION)],
            [to_put(self._key, b"%d" % revision)],
            [to_read(range_request(self._key))],
        )
        outcome = read_outcome(await self._client.ask(TXN, request, SECONDS))
        if not outcome.succeeded:
            entries = outcome.found[0].entries
            return (entries[0].version if entries else 0), outcome.revision, False
        with contextlib.suppress(Gone):
            await self._client.ask(COMPACT, compact_request(revision), SECONDS)
        return version + 1, outcome.revision, True

    async def run(
        self,
        seconds: float,
        before: int,
        forget: Callable[[int], None],
        sweep: Callable[[int], Awaitable[None]],
    ) -> None:
        """At every interval forgets here what was history at the one before, and in etcd if it is this one's turn.

        `before` is the present revision.
        """
        version = -1
        swept, used = time.monotonic(), before
        while True:
            await asyncio.sleep(seconds)
            try:
                if version < 0:
                    _, version = await self.known()
                version, now, ours = await self.attempt(version, before)
                forget(before)
                if time.monotonic() - swept >= SWEEP_SECONDS:
                    if ours:
                        await sweep(used)
                    swept, used = time.monotonic(), before
                before = now
            except Failed as error:
                log.warning("etcd is not compacted, which is tried again in %g s: %s", seconds, error)
