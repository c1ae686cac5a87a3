"""Transactions that are made once, also where the connection breaks before the answer comes.

Beside its changes every transaction writes a key of this server's own, its slot, on the condition that nobody wrote it
since: what it writes there is different every time. When the outcome is not known, the slot is written once more, again
on that condition. Either this succeeds: then the transaction was not made and cannot be made any more, because its
condition is gone, and it may be tried again. Or it fails: then what stands in the slot says which of the two was first.

Slots lie outside of what is watched. A server takes as many as it has transactions under way at once; they are swept
away after its end (`sweep`), for its name is another one at every start.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections.abc import Sequence

from fairlead.store.etcd.client import RETRY_SECONDS, Broken, Client, NoSpace
from fairlead.store.etcd.messages import (
    DELETE,
    RANGE,
    TXN,
    Outcome,
    compare,
    delete_request,
    range_request,
    read_found,
    read_outcome,
    to_delete,
    to_put,
    to_read,
    txn_request,
)
from fairlead.store.interface import Change, Condition, Conflict, Unknown

AT_ONCE = 256
"""Transactions under way at once."""

OUTCOME_SECONDS = 15.0
"""How long a transaction is tried, and its outcome asked for: several elections of a leader."""

FENCE = b"-"


class Refused(Conflict):
    """A condition did not hold when the whole store was at `revision`."""

    def __init__(self, key: str, revision: int) -> None:
        super().__init__(key)
        self.revision = revision


class Slot:
    """A key that only one transaction at a time writes; `revision` is that of the last one."""

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.revision = 0


class Writer:
    """The transactions of one server."""

    def __init__(self, client: Client, prefix: str) -> None:
        self._client = client
        self._prefix = prefix.encode()
        self._slots = prefix.encode() + b"-writers/" + secrets.token_hex(8).encode() + b"/"
        self._free: list[Slot] = []
        self._numbers = itertools.count(1)
        self._room = asyncio.Semaphore(AT_ONCE)

    async def write(self, conditions: Sequence[Condition], changes: Sequence[Change]) -> tuple[int, bool]:
        """Makes the changes if the conditions hold: the revision, and whether anything changed.

        Raises Refused where a condition does not hold, Failed where etcd refused, Unknown.
        """
        async with self._room:
            slot = self._free.pop() if self._free else Slot(self._slots + b"%d" % next(self._numbers))
            # After an exception it is not known what is in the slot: it is not used again.
            outcome = await self._attempts(slot, conditions, changes)
            self._free.append(slot)
        written = any(change.value is not None for change in changes)
        return outcome.revision, written or outcome.deleted > 0

    async def _attempts(
        self, slot: Slot, conditions: Sequence[Condition], changes: Sequence[Change]
    ) -> Outcome:
        prefix = self._prefix
        compares = [compare(prefix + c.key.encode(), c.revision) for c in conditions]
        writes = [
            to_put(prefix + c.key.encode(), c.value)
            if c.value is not None
            else to_delete(prefix + c.key.encode())
            for c in changes
        ]
        keys = [slot.key, *(prefix + c.key.encode() for c in conditions)]
        reads = [to_read(range_request(key, keys_only=True)) for key in keys]
        end = time.monotonic() + OUTCOME_SECONDS
        while True:
            nonce = secrets.token_bytes(12)
            request = txn_request(
                [compare(slot.key, slot.revision), *compares], [to_put(slot.key, nonce), *writes], reads
            )
            try:
                outcome = read_outcome(await self._client.call(TXN, request))
            except NoSpace:
                if await self._holds(slot, nonce):
                    return Outcome(True, slot.revision, [], deleted=1)
                raise
            except Broken as error:
                made = await self._find_out(slot, nonce, end, error)
                if made is not None:
                    return made
                continue
            if outcome.succeeded:
                slot.revision = outcome.revision
                return outcome
            seen = [found.entries[0].revision if found.entries else 0 for found in outcome.found]
            for condition, revision in zip(conditions, seen[1:], strict=True):
                if revision != condition.revision:
                    self._free.append(slot)
                    raise Refused(condition.key, outcome.revision)
            slot.revision = seen[0]  # it was swept away while nobody used it

    async def _find_out(self, slot: Slot, nonce: bytes, end: float, why: Broken) -> Outcome | None:
        """What became of a transaction: its outcome, or None where it was not made and will not be. Raises Unknown."""
        request = txn_request(
            [compare(slot.key, slot.revision)],
            [to_put(slot.key, FENCE + nonce)],
            [to_read(range_request(slot.key))],
        )
        pause = RETRY_SECONDS[0]
        while time.monotonic() < end:
            try:
                outcome = read_outcome(await self._client.call(TXN, request))
            except Broken:
                await asyncio.sleep(pause)
                pause = min(2 * pause, RETRY_SECONDS[1])
                continue
            if outcome.succeeded:
                slot.revision = outcome.revision
                return None
            entries = outcome.found[0].entries
            slot.revision = entries[0].revision if entries else 0
            if entries and entries[0].value == nonce:
                return Outcome(True, slot.revision, [], deleted=1)
            return None
        raise Unknown(f"it is not known whether the write was made: {why}")

    async def _holds(self, slot: Slot, nonce: bytes) -> bool:
        """Whether the slot was last written by the transaction of the nonce, which is not under way any more."""
        found = read_found(await self._client.ask(RANGE, range_request(slot.key), OUTCOME_SECONDS))
        slot.revision = found.entries[0].revision if found.entries else 0
        return bool(found.entries) and found.entries[0].value == nonce

    async def sweep(self, revision: int) -> None:
        """Removes slots that nobody wrote since a revision, which is minutes ago: those of servers that are gone."""
        start = self._prefix + b"-writers/"
        reading = range_request(start, start[:-1] + b"0", keys_only=True)
        found = read_found(await self._client.ask(RANGE, reading, OUTCOME_SECONDS))
        for old in (entry for entry in found.entries if entry.revision < revision):
            request = txn_request([compare(old.key, old.revision)], [to_delete(old.key)])
            await self._client.ask(TXN, request, OUTCOME_SECONDS)

    async def close(self) -> None:
        """Removes this server's slots."""
        await self._client.ask(DELETE, delete_request(self._slots, self._slots[:-1] + b"0"), 1.0)
