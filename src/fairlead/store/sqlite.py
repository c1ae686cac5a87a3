"""The embedded store: an SQLite file that holds the history, and the state that follows from it in memory.

Every write is one row in a table that only grows at its end; compaction deletes the rows that later ones replaced. All
writes that are queued while a commit is under way go into the next one (group commit), in a thread of its own.

The file does not grow without bound: rows that are compacted leave pages free, which are used again, and given back to
the file system a few at a time once they are many. What is left is at most a page for each object that is there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

import msgspec

from fairlead.store.ageing import SECONDS, forget_what_is_old
from fairlead.store.cache import Cache
from fairlead.store.history import BYTES, EVENTS, History
from fairlead.store.interface import Change, Closed, Condition, Conflict, Entry, Event, Failed, Page
from fairlead.store.state import State
from fairlead.store.watches import Subscription
from fairlead.store.worker import Worker

log = logging.getLogger("fairlead.store")

CHANGES_BITS = 20
"""A row's id is the revision of its transaction times 2**20, plus its place in the transaction."""

CHUNKS = tuple(1 << n for n in range(10, -1, -1))
"""Rows an INSERT: powers of two, so that few statements are prepared for batches of every size. Many rows a statement
matter: the thread has to get the interpreter's lock back after each, which the event loop holds while it is busy."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS changes (id INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB) STRICT;
CREATE TABLE IF NOT EXISTS compaction (only INTEGER PRIMARY KEY CHECK (only = 1), revision INTEGER NOT NULL) STRICT;
INSERT OR IGNORE INTO compaction VALUES (1, 0);
"""

WHOLE = 64
"""Rows that are inserted by one statement, whatever their number."""


def insertion(rows: int) -> str:
    """The statement that inserts so many rows."""
    return f"INSERT INTO changes VALUES {','.join(['(?,?,?)'] * rows)}"  # noqa: S608


INSERTS = {n: insertion(n) for n in CHUNKS}
ALONE = {n: insertion(n) for n in range(1, WHOLE + 1)}

REPLACED = f"""
DELETE FROM changes WHERE id IN (
    SELECT row.id FROM json_each(?1) AS gone JOIN changes AS row
    ON row.id BETWEEN (gone.value ->> 0) << {CHANGES_BITS} AND ((gone.value ->> 0) + 1 << {CHANGES_BITS}) - 1
    AND row.key = gone.value ->> 1)
"""  # noqa: S608

FORMAT = 1

VACUUM_PAGES = 256
"""Free pages that are given back at a time: 1 MiB, so that no writer waits for long."""

LOG_BYTES = 64 << 20
"""How much of the write-ahead log's file stays when it is empty."""


class Write(msgspec.Struct, gc=False):
    """A transaction that waits for its turn, and what became of it."""

    conditions: Sequence[Condition]
    changes: Sequence[Change]
    done: asyncio.Future[int]
    outcome: int | Conflict = 0


Row = tuple[int, str, bytes | None]


class SQLiteStore:
    """A `Store` in one file, for one process at a time."""

    def __init__(
        self,
        path: Path,
        database: sqlite3.Connection,
        worker: Worker,
        cache: Cache,
    ) -> None:
        self._path = path
        self._database = database
        self._worker = worker
        self._cache = cache
        self._queue: list[Write] = []
        self._compact: int = 0
        self._writer: asyncio.Task[None] | None = None
        self._ageing: asyncio.Task[None] | None = None
        self._complaint = ""
        self._closed = False

    @classmethod
    async def open(
        cls,
        path: str | os.PathLike[str],
        *,
        events: int = EVENTS,
        history_bytes: int = BYTES,
        seconds: float = SECONDS,
    ) -> SQLiteStore:
        """Opens or makes the file. `events`, `history_bytes` and `seconds` bound the history that is kept.

        Raises Failed where the file cannot be used, or another process has it.
        """
        place = Path(path)
        worker = Worker("fairlead-store")
        try:
            database = await worker.do(connect, place)
            state, history = await worker.do(load, database, events, history_bytes)
        except (sqlite3.Error, OSError) as error:
            worker.close()
            raise Failed(f"cannot use the store {place}: {meaning(error, place)}") from error
        store = cls(place, database, worker, Cache(state, history))
        store._ageing = asyncio.get_running_loop().create_task(forget_what_is_old(store, seconds))
        return store

    @property
    def revision(self) -> int:
        """The revision of the last transaction."""
        return self._cache.revision

    @property
    def size(self) -> int:
        """Bytes of the file and of its write-ahead log."""
        total = 0
        for name in (self._path, self._path.with_name(self._path.name + "-wal")):
            try:
                total += name.stat().st_size
            except OSError:
                continue
        return total

    async def sync(self) -> None:
        """Nothing to do: nobody else writes to the file."""

    async def get(self, key: str) -> Entry | None:
        """What the key holds now."""
        return self._cache.get(key)

    async def range(self, prefix: str, *, after: str = "", limit: int = 0, revision: int = 0) -> Page:
        """The entries under a prefix, now or at a revision that is kept."""
        return self._cache.range(prefix, after, limit, revision)

    async def commit(self, conditions: Sequence[Condition], changes: Sequence[Change]) -> int:
        """Makes all changes if all conditions hold; durable when it returns."""
        if self._closed:
            raise Closed
        if len(changes) > 1 and len({change.key for change in changes}) != len(changes):
            raise ValueError("a transaction may change a key only once")
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._queue.append(Write(conditions, changes, done))
        self._work()
        return await done

    def watch(self, prefix: str, revision: int, cut: Callable[[], None] | None = None) -> Subscription:
        """The events after `revision` under a prefix."""
        return self._cache.watch(prefix, revision, cut)

    async def compact(self, revision: int) -> None:
        """Forgets the history up to `revision`, in steps between which writers have their turn."""
        if self._closed:
            raise Closed
        self._cache.history.check(max(revision, self._cache.history.compacted))
        self._compact = max(self._compact, revision)
        self._work()
        while self._compact >= revision and self._writer is not None:
            await asyncio.shield(self._writer)
        if self._cache.history.compacted < revision:
            raise Failed(f"the history in {self._path} could not be compacted")

    async def close(self) -> None:
        """Waits for writes under way, ends all watches, closes the file."""
        if self._closed:
            return
        self._closed = True
        self._compact = 0
        if self._ageing is not None:
            self._ageing.cancel()
        if self._writer is not None:
            await asyncio.wait([self._writer])
        self._cache.close()
        await self._worker.do(self._database.close)
        self._worker.close()

    async def __aenter__(self) -> SQLiteStore:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _work(self) -> None:
        if self._writer is None:
            self._writer = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        """Commits until nothing waits any more."""
        history = self._cache.history
        try:
            while self._queue or self._compact:
                writes, self._queue = self._queue, []
                events, rows = self._plan(writes)
                forget = history.step(self._compact)
                gone = useless(history.upto(forget)) if forget else []
                try:
                    if rows or forget:
                        await _settled(self._worker.do(store, self._database, rows, forget, gone))
                except sqlite3.Error as error:
                    why = f"the store cannot write to {self._path}: {meaning(error, self._path)}"
                    if why != self._complaint:  # once, not for every write while it lasts
                        log.error("%s", why)
                    self._complaint = why
                    fail(writes, why)
                    self._compact = 0
                    continue
                if self._complaint:
                    log.info("the store can write to %s again", self._path)
                    self._complaint = ""
                if forget:
                    history.forget(forget)
                if history.compacted >= self._compact:
                    self._compact = 0
                if events:
                    self._cache.apply(events, events[-1].revision)
                answer(writes)
        finally:
            self._writer = None

    def _plan(self, writes: Sequence[Write]) -> tuple[list[Event], list[Row]]:
        """Decides on each write as if those before it were made; gives the events and rows of all."""
        revision = self.revision
        ahead: dict[str, Entry | None] = {}
        events: list[Event] = []
        rows: list[Row] = []
        get = self._cache.get

        def now(key: str) -> Entry | None:
            return ahead[key] if key in ahead else get(key)

        for write in writes:
            for condition in write.conditions:
                entry = now(condition.key)
                if (entry.revision if entry is not None else 0) != condition.revision:
                    write.outcome = Conflict(condition.key)
                    break
            else:
                row = revision + 1 << CHANGES_BITS
                for change in write.changes:
                    key, value = change.key, change.value
                    previous = now(key)
                    if value is None and previous is None:
                        continue
                    events.append(Event(revision + 1, key, value, previous))
                    rows.append((row, key, value))
                    ahead[key] = Entry(key, value, revision + 1) if value is not None else None
                    row += 1
                if row & ((1 << CHANGES_BITS) - 1):
                    revision += 1
                write.outcome = revision
        return events, rows


async def _settled(work: asyncio.Future[None]) -> None:
    """Waits for what the thread does, whoever cancels that: a loop that ends cancels the writer, as it does everyone.

    What is in the file then is known here, so that the next write, of those who have still something to write when
    they are cancelled, is planned upon it.
    """
    while not work.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait((work,))
    work.result()


def useless(events: Sequence[Event]) -> list[tuple[int, str]]:
    """The rows, by revision and key, that nobody can ask for once these events are forgotten."""
    replaced = [(e.previous.revision, e.key) for e in events if e.previous is not None]
    deletions = [(e.revision, e.key) for e in events if e.value is None]
    return replaced + deletions


def answer(writes: Sequence[Write]) -> None:
    """Tells the writers of a commit that succeeded."""
    for write in writes:
        if write.done.done():
            continue
        if isinstance(write.outcome, Conflict):
            write.done.set_exception(write.outcome)
        else:
            write.done.set_result(write.outcome)


def fail(writes: Sequence[Write], why: str) -> None:
    """Tells the writers of a commit that failed; what was decided upon it holds no longer."""
    for write in writes:
        if not write.done.done():
            write.done.set_exception(Failed(why))


def connect(path: Path) -> sqlite3.Connection:
    """Opens the file for this process alone, durable at every commit. In the store's thread.

    A process that is killed gives its lock back at once, so a lock that stays for seconds is another server's.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory, not a file")
    if not path.parent.is_dir():
        raise NotADirectoryError(f"there is no directory {path.parent}")
    with contextlib.suppress(OSError):  # which SQLite has better words for
        # SQLite gives the log and its index the mode of the file, so that nobody else reads them at any moment.
        os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    database = sqlite3.connect(
        path, isolation_level=None, timeout=3, check_same_thread=False, cached_statements=128
    )
    try:
        # First of all: the log's index is in memory then, and a full disk is no obstacle to opening the file.
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("PRAGMA auto_vacuum = INCREMENTAL")  # of a new file
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA wal_autocheckpoint = 4000")
        database.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
        form = database.execute("PRAGMA user_version").fetchone()[0]
        if form not in (0, FORMAT):
            raise WrongFormat(
                f"it was written in format {form}, this version of Fairlead knows {FORMAT}: use the version that wrote "
                "it, or another file"
            )
        if form and (said := database.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(said)
        if not form:
            if database.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
                raise WrongFormat("it is an SQLite file of another program")
            database.executescript(f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = {FORMAT}; COMMIT")
        for file in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
            with contextlib.suppress(FileNotFoundError):
                file.chmod(0o600)  # where an earlier version or somebody's umask left more
    except BaseException:
        database.close()
        raise
    return database


class WrongFormat(sqlite3.DatabaseError):
    """The file is in order, and not ours to use."""


def meaning(error: sqlite3.Error | OSError, path: Path) -> str:
    """What is wrong with the file and what to do, in the words of who has to do it."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return "another process has it open, an API server most likely: a file is for one server alone"
    if code == sqlite3.SQLITE_FULL:
        return "the disk is full; writes are taken again as soon as there is room"
    if (
        code == sqlite3.SQLITE_READONLY
        or code == sqlite3.SQLITE_CANTOPEN
        or isinstance(error, PermissionError)
    ):
        return f"{error}: is it a file, in a directory, that this user may write?"
    if isinstance(error, WrongFormat | OSError):
        return str(error)
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or type(error) is sqlite3.DatabaseError:
        return f"it is damaged, or no store ({error}): put a copy in its place, or move {path.name}* away to begin anew"
    return str(error)


def load(database: sqlite3.Connection, events: int, history_bytes: int) -> tuple[State, History]:
    """Reads what was committed."""
    compacted: int = database.execute("SELECT revision FROM compaction").fetchone()[0]
    current: dict[str, Entry] = {}
    history = History(compacted, events, history_bytes)
    for row, key, value in database.execute("SELECT id, key, value FROM changes ORDER BY id"):
        revision = row >> CHANGES_BITS
        if revision > compacted:
            history.add(Event(revision, key, value, current.get(key)))
        if value is not None:
            current[key] = Entry(key, value, revision)
        else:
            current.pop(key, None)
    state = State()
    state.load(current.values())
    return state, history


def give_back(database: sqlite3.Connection) -> None:
    """Shortens the file by some of its free pages, where they are more than a third."""
    free: int = database.execute("PRAGMA freelist_count").fetchone()[0]
    pages: int = database.execute("PRAGMA page_count").fetchone()[0]
    if free > 2 * VACUUM_PAGES and free > pages // 3:
        # A page a step: `execute` would take one step only.
        database.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")


def store(
    database: sqlite3.Connection, rows: Sequence[Row], forget: int, gone: Sequence[tuple[int, str]]
) -> None:
    """One transaction: new rows, compaction up to the revision `forget`. In the store's thread.

    Raises sqlite3.Error with nothing changed.
    """
    if not forget and len(rows) <= WHOLE:
        # A transaction of its own. The fewer statements, the fewer times this thread waits for the interpreter.
        database.execute(ALONE[len(rows)], [cell for row in rows for cell in row])
        return
    try:
        database.execute("BEGIN IMMEDIATE")
        start = 0
        for size in CHUNKS:
            while len(rows) - start >= size:
                database.execute(INSERTS[size], [cell for row in rows[start : start + size] for cell in row])
                start += size
        if forget:
            database.execute(REPLACED, (msgspec.json.encode(gone).decode(),))
            database.execute("UPDATE compaction SET revision = ?", (forget,))
        database.execute("COMMIT")
        if forget:
            give_back(database)
    except sqlite3.Error:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise
