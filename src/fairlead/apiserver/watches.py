"""Watches: what a client asks for, the frames it gets, and its stream from the first to the last of them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from fairlead.apiserver import answers
from fairlead.apiserver.feeds import Audience, Feeds, Watcher, change_of
from fairlead.apiserver.kind import Kind
from fairlead.apiserver.lists import parse_version, reach
from fairlead.apiserver.negotiation import Form
from fairlead.apiserver.requests import Query
from fairlead.objects import protobuf
from fairlead.objects.codec import encode
from fairlead.objects.meta_v1 import ListMeta
from fairlead.objects.status import FieldError, StatusError, expired, forbidden, not_supported, unprocessable
from fairlead.store import Compacted, Entry, Event, Store

BOOKMARK_SECONDS = 60.0
SHORTEST_SECONDS = 1800
"""How long a watch lasts that names no time: this to twice this, so that clients do not all come back at once."""

LONGEST_SECONDS = 1e9

INITIAL_END = "k8s.io/initial-events-end"
NOT_OLDER = "NotOlderThan"


@dataclass(frozen=True)
class WatchOptions:
    """What a watch asks for. `revision` 0 starts with the objects that there are."""

    revision: int = 0
    bookmarks: bool = False
    initial: bool = True
    initial_end: bool = False
    """Whether a bookmark says that all objects of the beginning were sent."""
    seconds: float = 0.0


def watch_options(query: Query) -> WatchOptions:
    """Reads and checks the parameters. Raises 400 or 422. Upstream: SetListOptionsDefaults, ValidateListOptions."""
    version = query.text("resourceVersion")
    revision = parse_version(version) or 0
    bookmarks = query.flag("allowWatchBookmarks")
    asked = "sendInitialEvents" in query
    match = query.text("resourceVersionMatch")
    errors: list[FieldError] = []
    if asked and match != NOT_OLDER:
        why = f"sendInitialEvents requires setting resourceVersionMatch to {NOT_OLDER}"
        errors.append(forbidden("resourceVersionMatch", why))
    if match and not asked:
        why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        errors.append(forbidden("resourceVersionMatch", why))
    if match and match != NOT_OLDER:
        errors.append(not_supported("resourceVersionMatch", match, (NOT_OLDER,)))
    if match and query.text("continue"):
        why = "resourceVersionMatch is forbidden when continue is provided"
        errors.append(forbidden("resourceVersionMatch", why))
    if errors:
        raise unprocessable("ListOptions", "", errors, "meta.k8s.io")
    # A watch that names neither begins as if it had asked for the beginning.
    initial = query.flag("sendInitialEvents") if asked else version in ("", "0")
    seconds = max(query.number("timeoutSeconds") or 0, 0) or SHORTEST_SECONDS * (1 + random.random())  # noqa: S311
    return WatchOptions(
        revision, bookmarks, initial, initial and bookmarks, min(float(seconds), LONGEST_SECONDS)
    )


class Frames:
    """Recent frames, so that a thousand watchers cost one encoding. They are few, and bounded in bytes."""

    def __init__(self, most: int = 1024, most_bytes: int = 8 << 20) -> None:
        self._frames: dict[tuple[Kind, int, str, str, Form], bytes] = {}
        self._bytes = 0
        self._most = most
        self._most_bytes = most_bytes

    def frame(self, kind: Kind, event: Event, change: str, how: Form) -> bytes:
        """The frame for an event that a watcher sees as `change`: ADDED, MODIFIED or DELETED."""
        key = (kind, event.revision, event.key, change, how)
        frame = self._frames.get(key)
        if frame is None:
            frame = framed(change, shown(kind, event, change, how), how)
            self._frames[key] = frame
            self._bytes += len(frame)
            while len(self._frames) > self._most or self._bytes > self._most_bytes:
                self._bytes -= len(self._frames.pop(next(iter(self._frames))))
        return frame


def shown(kind: Kind, event: Event, change: str, how: Form, columns: bool = False) -> bytes:
    """The object of an event, in the form that the watcher wants."""
    value = state(event, change)
    if how.shape == "Table":
        metadata = ListMeta(resourceVersion=str(event.revision))
        return answers.table(kind, [Entry(event.key, value, event.revision)], metadata, how, columns=columns)
    return answers.one(kind, value, event.revision, how)


def state(event: Event, change: str) -> bytes:
    """The object that goes with an event: the last one that the watcher knew, where it is gone for him."""
    if change == "DELETED" and event.previous is not None:
        return event.previous.value
    return event.value or b""


def framed(change: str, obj: bytes, how: Form) -> bytes:
    """One frame in the form of the stream; so is the object."""
    if how.protobuf:
        return protobuf.frame(change, obj)
    return b'{"type":"%b","object":%b}\n' % (change.encode(), obj)


def content_type(how: Form) -> str:
    """The header of a stream."""
    return protobuf.WATCH_CONTENT_TYPE if how.protobuf else "application/json"


def failed(error: StatusError, how: Form) -> bytes:
    """The frame that ends a stream with an error."""
    return framed("ERROR", answers.status(error.status, how), how)


class Stream:
    """One client's watch of a collection: the objects that there are, if it asks for them, then every change."""

    def __init__(
        self,
        store: Store,
        feeds: Feeds,
        frames: Frames,
        audience: Audience,
        options: WatchOptions,
        turn: asyncio.Lock,
    ) -> None:
        self._store = store
        self._turn = turn
        self._feeds = feeds
        self._frames = frames
        self._kind = audience.wanted.kind
        self._audience = audience
        self._options = options
        self._columns = audience.how.shape == "Table"

    async def follow(
        self, watcher: Watcher, drain: Callable[[], Awaitable[None]]
    ) -> AsyncGenerator[bytes, None]:
        """Chunks of the beginning, the first one empty; then all goes through the watcher, until it is done.

        `drain` waits until the client has read. A revision that is compacted away ends the stream with an ERROR frame,
        as upstream's does. Raises 504 where a revision to start from does not come to exist.
        """
        options, how = self._options, self._audience.how
        entries: Sequence[Entry] = ()
        revision = options.revision
        if options.initial:
            await reach(self._store, revision)
            page = await self._store.range(self._kind.list_prefix(self._audience.namespace))
            entries, revision = page.entries, page.revision
        elif not revision:
            revision = self._store.revision
        try:
            feed = self._feeds.at(self._kind, min(revision, self._store.revision))
        except Compacted as error:
            yield failed(expired(f"too old resource version: {revision} ({error.oldest})"), how)
            return
        missed = feed.join(watcher, self._audience, revision)
        try:
            yield b""
            async for chunk in self._beginning(entries, missed, revision):
                yield chunk
                await drain()
                await asyncio.sleep(0)
            if self._columns:
                watcher.first = self._with_columns
            watcher.release()
            with timed(watcher, options, lambda: self._bookmark(feed.revision, {})):
                await watcher.done
        finally:
            self._feeds.leave(feed, watcher, self._audience)

    async def _beginning(
        self, entries: Sequence[Entry], missed: Sequence[Event], revision: int
    ) -> AsyncIterator[bytes]:
        """What comes before the changes that are still to happen, in chunks of a size that keeps nobody waiting."""
        wanted, kind = self._audience.wanted, self._kind
        size = answers.slice_of(self._audience.how)
        for start in range(0, len(entries), size):
            async with self._turn:
                chunk = [
                    Event(e.revision, e.key, e.value, None)
                    for e in entries[start : start + size]
                    if wanted.everything or wanted.matches(e.value)
                ]
                frames = b"".join([self._frame(event, "ADDED") for event in chunk])
            yield frames
        if self._options.initial_end:
            yield self._bookmark(revision, {INITIAL_END: "true"})
        prefix = kind.list_prefix(self._audience.namespace)
        for start in range(0, len(missed), size):
            async with self._turn:
                changes = [
                    (event, change_of(event, wanted, {}))
                    for event in missed[start : start + size]
                    if event.key.startswith(prefix)
                ]
                frames = b"".join([self._frame(event, change) for event, change in changes if change])
            yield frames

    def _frame(self, event: Event, change: str) -> bytes:
        how = self._audience.how
        if self._columns:
            self._columns = False
            return framed(change, shown(self._kind, event, change, how, columns=True), how)
        if event.previous is None and change == "ADDED":
            # Of the beginning: it is not shared, and would only push out what is.
            return framed(change, shown(self._kind, event, change, how), how)
        return self._frames.frame(self._kind, event, change, how)

    def _with_columns(self, event: Event, change: str) -> bytes:
        how = self._audience.how
        return framed(change, shown(self._kind, event, change, how, columns=True), how)

    def _bookmark(self, revision: int, annotations: dict[str, str]) -> bytes:
        how = self._audience.how
        metadata: dict[str, object] = {"resourceVersion": str(revision), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        kind, version = self._kind.resource.kind, self._kind.resource.api_version
        if how.shape:
            kind, version = "PartialObjectMetadata", answers.META
        bookmark: dict[str, object] = {"kind": kind, "apiVersion": version, "metadata": metadata}
        if how.shape == "Table":
            bookmark = {
                "kind": "Table",
                "apiVersion": answers.META,
                "metadata": {"resourceVersion": str(revision)},
                "columnDefinitions": None,
                "rows": [{"cells": [], "object": bookmark}],
            }
        body = protobuf.encode(bookmark) if how.protobuf else encode(bookmark)
        return framed("BOOKMARK", body, how)


@contextmanager
def timed(watcher: Watcher, options: WatchOptions, bookmark: Callable[[], bytes]) -> Iterator[None]:
    """Ends the watch when its time is up; now and then it gets a bookmark, and one shortly before the end."""
    loop = asyncio.get_running_loop()
    end = loop.time() + options.seconds
    timer: asyncio.TimerHandle

    def at(when: float) -> None:
        nonlocal timer
        timer = loop.call_at(min(when, end), ring)

    def ring() -> None:
        now = loop.time()
        if now >= end:
            watcher.end()
            return
        watcher.send(bookmark())
        at(max(min(now + jittered(BOOKMARK_SECONDS), end - 2), now + 0.01) if now < end - 2 else end)

    at(min(loop.time() + jittered(BOOKMARK_SECONDS), max(end - 2, loop.time())) if options.bookmarks else end)
    try:
        yield
    finally:
        timer.cancel()


def jittered(seconds: float) -> float:
    """A time around `seconds`, different for every watch."""
    return seconds * (0.75 + random.random() / 2)  # noqa: S311
