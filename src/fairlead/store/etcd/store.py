"""A `Store` in an etcd cluster, for any number of servers at once.

Reads and watches are answered from memory, which follows etcd by one watch of all keys; a write is one transaction of
etcd's and returns when the watch has told of it. So what is read after a write has it, and all events come in the order
of etcd's revisions, in which every server sees them. At the start the history that etcd still has is read too, so that
the clients of a server that is gone go on with another one without listing again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from types import TracebackType

from fairlead.store.cache import Cache
from fairlead.store.etcd import messages
from fairlead.store.etcd.address import Address
from fairlead.store.etcd.client import RETRY_SECONDS, Broken, Client, Gone
from fairlead.store.etcd.compaction import Compaction
from fairlead.store.etcd.progress import Progress
from fairlead.store.etcd.writes import Refused, Writer
from fairlead.store.history import History
from fairlead.store.interface import (
    Change,
    Closed,
    Compacted,
    Condition,
    Conflict,
    Entry,
    Event,
    Failed,
    Page,
)
from fairlead.store.state import State, end_of
from fairlead.store.watches import Subscription

log = logging.getLogger("fairlead.store")

START_SECONDS = 15.0
"""How long etcd may take to answer when a server starts."""

SILENCE_SECONDS = 2.0
"""How long the watch may lag behind what etcd has said before another member is watched."""

READ_SECONDS = 10.0
"""How long a read may take that has to be as new as the call."""

REPLAYED = 20_000
"""How many revisions of history are read at the start at most: about a tenth of a second for every thousand."""

PAGE = 500
"""Entries that are read at a time: at 1.5 MiB for the largest, that is no message that cannot be."""

SIZE_SECONDS = 30.0

CLOSE_SECONDS = 5.0
"""How long writes under way may take when the store is closed."""


class EtcdStore:
    """A `Store` in etcd."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._prefix = address.prefix.encode()
        self._all = self._prefix + b"/", self._prefix + b"0"
        self._client = Client(address)
        self._writer = Writer(self._client, address.prefix)
        self._cache = Cache(State(), History())
        self._progress = Progress(0, self._write_barrier)
        self._compaction = Compaction(self._client, address.prefix)
        self._tasks: list[asyncio.Task[None]] = []
        self._following: asyncio.Task[None] | None = None
        self._followed = self._client.endpoint
        self._since = 0.0
        self._asking: asyncio.Future[int] | None = None
        self._writes = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._size = 0
        self._closed = False

    @classmethod
    async def open(cls, address: Address) -> EtcdStore:
        """Reads what there is. Raises Failed where etcd cannot be reached or used."""
        store = cls(address)
        try:
            now = await store._load(history=True)
            start = asyncio.get_running_loop().create_task
            store._tasks.append(start(store._follow()))
            try:
                await store._progress.wait(now, START_SECONDS)
            except TimeoutError:
                raise Failed("the watch of etcd does not come to its present revision") from None
            store._tasks.append(start(store._measure()))
            if address.compaction:
                care = store._compaction.run(address.compaction, now, store._forget, store._writer.sweep)
                store._tasks.append(start(care))
        except BaseException as error:
            await store._stop()
            if isinstance(error, Failed):
                raise Failed(f"cannot use the store etcd:{','.join(address.endpoints)}: {error}") from error
            raise
        return store

    @property
    def revision(self) -> int:
        """The revision up to which everything is known here."""
        return self._cache.revision

    @property
    def size(self) -> int:
        """Bytes of the database of the member that is asked, some seconds ago."""
        return self._size

    async def sync(self) -> None:
        """What is read after it is as new as this call. Raises Failed, Closed."""
        # Who comes while the revision is asked for may not take that answer: it may be from before the call.
        if self._asking is not None and not self._asking.done():
            await asyncio.wait([self._asking])
        if self._asking is None or self._asking.done():
            self._asking = asyncio.ensure_future(self._ask_revision())
        now = await asyncio.shield(self._asking)
        await self._reach(now)

    async def get(self, key: str) -> Entry | None:
        """What the key holds, as far as is known here."""
        return self._cache.get(key)

    async def range(self, prefix: str, *, after: str = "", limit: int = 0, revision: int = 0) -> Page:
        """The entries under a prefix, as far as is known here, or at a revision that etcd has."""
        if revision and revision > self.revision:
            await self.sync()
        if revision and revision < self._cache.history.compacted:
            return await self._older(prefix, after, limit, revision)
        return self._cache.range(prefix, after, limit, revision)

    async def commit(self, conditions: Sequence[Condition], changes: Sequence[Change]) -> int:
        """Makes all changes if all conditions hold; a majority of etcd's members has them when it returns."""
        if self._closed:
            raise Closed
        if len({change.key for change in changes}) != len(changes):
            raise ValueError("a transaction may change a key only once")
        self._writes += 1
        self._idle.clear()
        try:
            revision, changed = await self._writer.write(conditions, changes)
            if not changed:
                return self.revision
            # The write is made and will be told. Who cannot wait for that reads with `sync`.
            await self._told(revision, own=True)
            return revision
        except Refused as error:
            await self._told(error.revision, own=False)
            raise Conflict(error.key) from None
        finally:
            self._writes -= 1
            if not self._writes:
                self._idle.set()

    def watch(self, prefix: str, revision: int, cut: Callable[[], None] | None = None) -> Subscription:
        """The events after `revision` under a prefix."""
        return self._cache.watch(prefix, revision, cut)

    async def compact(self, revision: int) -> None:
        """Forgets the history up to `revision`, here and in etcd."""
        self._cache.history.check(max(revision, self._cache.history.compacted))
        self._forget(revision)
        await self._compaction.compact(revision)

    async def close(self) -> None:
        """Waits for writes under way, ends all watches."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._idle.wait()
        self._cache.close()
        try:
            await self._writer.close()
        except Failed as error:
            log.info("etcd is left as it is: %s", error)
        await self._stop()

    async def __aenter__(self) -> EtcdStore:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._progress.close()
        await self._client.close()

    # ---- how new what is known here is ---------------------------------------------------------------------------

    async def _ask_revision(self) -> int:
        """The revision of etcd, which no other answer that anybody has had can exceed."""
        known = self.revision
        asked = await self._ask(messages.range_request(self._all[0], keys_only=True), READ_SECONDS)
        if asked.revision < known:
            log.error("etcd is at revision %d and was at %d: it was restored", asked.revision, known)
            await self._begin_again()
        return asked.revision

    async def _ask(self, request: bytes, seconds: float) -> messages.Found:
        return messages.read_found(await self._client.ask(messages.RANGE, request, seconds))

    async def _reach(self, revision: int, *, own: bool = False) -> None:
        for _ in range(int(READ_SECONDS / SILENCE_SECONDS)):
            try:
                await self._progress.wait(revision, SILENCE_SECONDS, own=own)
                return
            except TimeoutError:
                # A member that is frozen, or cut off, does not say so.
                self._follow_another()
        raise Failed(f"the watch of etcd has not come to revision {revision} within {READ_SECONDS:.0f} s")

    async def _told(self, revision: int, *, own: bool) -> None:
        try:
            await self._reach(revision, own=own)
        except Failed as error:
            log.warning("%s", error)

    async def _write_barrier(self) -> None:
        """Makes a revision that the watch tells of."""
        try:
            await self._client.ask(messages.PUT, messages.put_request(self._all[0], b""), READ_SECONDS)
        except Failed as error:
            log.warning("cannot find out how far the watch is: %s", error)

    # ---- following etcd ------------------------------------------------------------------------------------------

    async def _load(self, *, history: bool) -> int:
        """Takes the state that is in etcd, at a revision before which history is not wanted; gives etcd's present one.

        Raises Failed.
        """
        marked, _ = await self._compaction.known()
        now = (await self._ask(messages.range_request(self._all[0], keys_only=True), START_SECONDS)).revision
        start = max(marked, now - REPLAYED, 1) if history else now
        while True:
            try:
                state = await self._read_state(start)
                break
            except Gone:  # somebody else compacts too
                if start == now:
                    now = (await self._ask(messages.range_request(self._all[0]), START_SECONDS)).revision
                start = now
        self._cache.begin_again(state, History(start))
        self._progress.revision = start
        return now

    async def _read_state(self, revision: int) -> State:
        entries: list[Entry] = []
        start, end = self._all
        while True:
            request = messages.range_request(start, end, limit=PAGE, revision=revision)
            found = await self._ask(request, START_SECONDS)
            entries += [self._entry(kv) for kv in found.entries if kv.key != self._all[0]]
            if len(found.entries) < PAGE:
                break
            start = found.entries[-1].key + b"\0"
        state = State()
        state.load(entries)
        return state

    def _entry(self, kv: messages.KeyValue) -> Entry:
        return Entry(kv.key[len(self._prefix) :].decode(), kv.value, kv.revision)

    async def _older(self, prefix: str, after: str, limit: int, revision: int) -> Page:
        """A range at a revision that is forgotten here and may be known in etcd."""
        start = self._prefix + (after + "\0" if after else prefix).encode()
        end = self._prefix + end_of(prefix).encode()
        request = messages.range_request(start, end, limit=limit, revision=revision)
        try:
            found = await self._ask(request, READ_SECONDS)
        except Gone:
            raise Compacted(revision, self._cache.history.compacted) from None
        entries = [self._entry(kv) for kv in found.entries if kv.key != self._all[0]]
        return Page(entries, revision, found.count - len(found.entries))

    async def _follow(self) -> None:
        """Applies what etcd tells, from one member or another, until it is cancelled."""
        pause = RETRY_SECONDS[0]
        while True:
            before = self.revision
            self._following = asyncio.ensure_future(self._follow_one())
            try:
                await asyncio.wait([self._following])
            finally:
                self._following.cancel()
            why = None if self._following.cancelled() else self._following.exception()
            if isinstance(why, Gone):
                log.error("etcd has compacted away what was not seen yet: all watches start again")
                await self._begin_again()
            elif isinstance(why, Broken | Failed):
                log.warning("watching etcd again: %s", why)
            elif why is not None:
                log.error("the watch of etcd broke", exc_info=why)
            if self.revision > before:
                pause = RETRY_SECONDS[0]
            await asyncio.sleep(pause)
            pause = min(2 * pause, RETRY_SECONDS[1])

    async def _follow_one(self) -> None:
        """Follows one member as long as it tells. Raises Broken, Failed or Gone."""
        endpoint = self._followed = self._client.endpoint
        self._since = time.monotonic()
        request = messages.watch_request(*self._all, self.revision + 1)
        async with contextlib.aclosing(self._client.stream(messages.WATCH, request)) as stream:
            async for answer in stream:
                told = messages.read_told(answer)
                if told.compacted:
                    raise Gone(told.reason)
                if told.canceled:
                    self._client.turn(endpoint)
                    raise Broken(f"etcd at {endpoint} ended the watch: {told.reason or 'without a reason'}")
                if told.events:
                    self._apply(told.events)
                elif not told.created:
                    self._advance([], told.revision)

    def _follow_another(self) -> None:
        if self._following is not None and time.monotonic() - self._since > SILENCE_SECONDS:
            self._client.turn(self._followed)
            self._following.cancel()

    def _apply(self, told: Sequence[tuple[bool, messages.KeyValue]]) -> None:
        """Makes the changes of an answer, which has all of every revision in it."""
        events: list[Event] = []
        ahead: dict[str, Entry | None] = {}
        known, start = self.revision, len(self._prefix)
        get = self._cache.get
        for written, kv in told:
            if kv.revision <= known or kv.key == self._all[0]:
                continue
            key = kv.key[start:].decode()
            previous = ahead[key] if key in ahead else get(key)
            if written:
                events.append(Event(kv.revision, key, kv.value, previous))
                ahead[key] = Entry(key, kv.value, kv.revision)
            elif previous is not None:
                events.append(Event(kv.revision, key, None, previous))
                ahead[key] = None
        self._advance(events, told[-1][1].revision)

    def _advance(self, events: Sequence[Event], revision: int) -> None:
        if revision <= self.revision:
            return
        self._cache.apply(events, revision)
        history = self._cache.history
        while over := history.overfull():
            history.forget(over)
        self._progress.reach(revision)

    async def _begin_again(self) -> None:
        """Takes the present state where it is not known what led to it."""
        try:
            now = await self._load(history=False)
        except Failed as error:
            log.error("cannot read etcd: %s", error)
            return
        self._progress.reach(now)
        if self._following is not None:
            self._following.cancel()

    # ---- care ----------------------------------------------------------------------------------------------------

    def _forget(self, revision: int) -> None:
        self._cache.history.forget(revision)

    async def _measure(self) -> None:
        while True:
            try:
                self._size = messages.read_size(await self._client.ask(messages.STATUS, b"", READ_SECONDS))
            except Failed as error:
                log.debug("cannot measure etcd: %s", error)
            await asyncio.sleep(SIZE_SECONDS)
