"""Watches: the events of a collection as a stream of frames, each encoded once for all who watch."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from fairlead.apiserver import answers
from fairlead.apiserver.answers import Form
from fairlead.apiserver.kinds import Kind
from fairlead.apiserver.lists import parse_version, too_large_version
from fairlead.apiserver.requests import Query
from fairlead.apiserver.selection import Selection
from fairlead.objects import protobuf
from fairlead.objects.codec import encode
from fairlead.objects.meta_v1 import ListMeta
from fairlead.objects.status import StatusError, expired, forbidden, unprocessable
from fairlead.store import Closed, Compacted, Entry, Event, Future, Store, TooSlow, Watch

BOOKMARK_SECONDS = 60.0
SHORTEST_SECONDS = 1800
"""How long a watch lasts that names no time: this to twice this, so that clients do not all come back at once."""

INITIAL_END = "k8s.io/initial-events-end"


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
    """Reads and checks the parameters. Raises 400 or 422."""
    revision = parse_version(query.text("resourceVersion")) or 0
    bookmarks = query.flag("allowWatchBookmarks")
    asked = "sendInitialEvents" in query
    match = query.text("resourceVersionMatch")
    if asked and match != "NotOlderThan":
        why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        raise unprocessable("ListOptions", "", [forbidden("resourceVersionMatch", why)], "meta.k8s.io")
    if match and not asked:
        why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        raise unprocessable("ListOptions", "", [forbidden("resourceVersionMatch", why)], "meta.k8s.io")
    streaming = asked and query.flag("sendInitialEvents")
    seconds = query.number("timeoutSeconds") or SHORTEST_SECONDS * (1 + random.random())  # noqa: S311
    return WatchOptions(
        revision,
        bookmarks,
        streaming or (not asked and not revision),
        streaming and bookmarks,
        float(seconds),
    )


class Frames:
    """Recent frames of events in plain form, so that a thousand watchers cost one encoding."""

    def __init__(self, most: int = 4096) -> None:
        self._frames: dict[tuple[Kind, int, str, str, bool], bytes] = {}
        self._most = most

    def frame(self, kind: Kind, event: Event, change: str, how: Form) -> bytes:
        """The frame for an event that a watcher sees as `change`: ADDED, MODIFIED or DELETED."""
        key = (kind, event.revision, event.key, change, how.protobuf)
        frame = self._frames.get(key)
        if frame is None:
            if len(self._frames) >= self._most:
                for old in list(self._frames)[: self._most // 4]:
                    del self._frames[old]
            frame = framed(change, answers.one(kind, state(event, change), event.revision, how), how)
            self._frames[key] = frame
        return frame


def state(event: Event, change: str) -> bytes:
    """The object that goes with an event: the last one that the watcher knew, where it is gone for him."""
    if change == "DELETED" and event.previous is not None:
        return event.previous.value
    return event.value or b""


def line(change: str, obj: bytes) -> bytes:
    """One frame of the stream."""
    return b'{"type":"%b","object":%b}\n' % (change.encode(), obj)


def framed(change: str, obj: bytes, how: Form) -> bytes:
    """One frame in the form of the stream; so is the object."""
    return protobuf.frame(change, obj) if how.protobuf else line(change, obj)


def content_type(how: Form) -> str:
    """The header of a stream."""
    return protobuf.WATCH_CONTENT_TYPE if how.protobuf else "application/json"


def change_of(event: Event, wanted: Selection) -> str:
    """What an event is to who watches a selection; "" where it is nothing to him."""
    if wanted.everything:
        if event.value is None:
            return "DELETED"
        return "ADDED" if event.previous is None else "MODIFIED"
    is_in = event.value is not None and wanted.matches(event.value)
    was_in = event.previous is not None and wanted.matches(event.previous.value)
    if is_in:
        return "MODIFIED" if was_in else "ADDED"
    return "DELETED" if was_in else ""


def failed(error: StatusError, how: Form) -> bytes:
    """The frame that ends a stream with an error."""
    return framed("ERROR", answers.status(error.status, how), how)


class Stream:
    """One client's watch of a collection."""

    def __init__(
        self,
        store: Store,
        namespace: str,
        wanted: Selection,
        how: Form,
        options: WatchOptions,
        frames: Frames,
    ) -> None:
        self._store = store
        self._kind = wanted.kind
        self._namespace = namespace
        self._wanted = wanted
        self._how = how
        self._options = options
        self._frames = frames
        self._columns = True

    async def chunks(
        self, running: dict[Watch, Kind], cut: Callable[[], None]
    ) -> AsyncGenerator[bytes, None]:
        """Chunks of frames, the first one empty, until the time is up or the watch is closed.

        It is in `running` meanwhile; `cut` is called when the client does not keep up. A revision that is compacted
        away ends it with an ERROR frame, as upstream's does. Raises 504 for the future.
        """
        kind, wanted, options, store = self._kind, self._wanted, self._options, self._store
        if options.revision > store.revision:
            raise too_large_version(options.revision, store.revision)
        prefix = kind.list_prefix(self._namespace)
        if wanted.name is not None and (self._namespace or not kind.resource.namespaced):
            prefix = kind.key(self._namespace, wanted.name)
        entries: Sequence[Entry] = ()
        revision = options.revision
        if options.initial:
            page = await store.range(kind.list_prefix(self._namespace))
            entries = [e for e in page.entries if wanted.everything or wanted.matches(e.value)]
            revision = page.revision
        elif not revision:
            revision = store.revision
        try:
            watch = store.watch(prefix, revision, cut)
        except Compacted as error:
            why = f"too old resource version: {revision} ({error.oldest})"
            yield failed(expired(why), self._how)
            return
        except Future as error:
            raise too_large_version(revision, error.current) from None
        running[watch] = kind
        try:
            async for chunk in self._follow(watch, entries, revision):
                yield chunk
        finally:
            watch.close()
            running.pop(watch, None)

    async def _follow(self, watch: Watch, entries: Sequence[Entry], revision: int) -> AsyncIterator[bytes]:
        end = time.monotonic() + self._options.seconds
        yield b""
        for start in range(0, len(entries), 500):
            chunk = entries[start : start + 500]
            yield b"".join([self._frame(Event(e.revision, e.key, e.value, None), "ADDED") for e in chunk])
        if self._options.initial_end:
            yield self._bookmark(revision, {INITIAL_END: "true"})
        # What is still to come before the time is up has a bookmark after it, so that the client can go on from there.
        bookmark = min(time.monotonic() + jittered(BOOKMARK_SECONDS), end - 2)
        while (left := end - time.monotonic()) > 0:
            wait = min(left, max(bookmark - time.monotonic(), 0.0)) if self._options.bookmarks else left
            try:
                async with asyncio.timeout(wait):
                    events = await watch.next()
            except TimeoutError:
                if self._options.bookmarks and time.monotonic() >= bookmark:
                    yield self._bookmark(watch.revision, {})
                    bookmark = time.monotonic() + jittered(BOOKMARK_SECONDS)
                continue
            except (Closed, TooSlow):
                return
            frames = [self._frame(e, change) for e in events if (change := change_of(e, self._wanted))]
            if frames:
                yield b"".join(frames)

    def _frame(self, event: Event, change: str) -> bytes:
        if self._how.plain or self._how.protobuf:
            return self._frames.frame(self._kind, event, change, self._how)
        value = state(event, change)
        if self._how.shape == "Table":
            metadata = ListMeta(resourceVersion=str(event.revision))
            entry = Entry(event.key, value, event.revision)
            body = answers.table(self._kind, [entry], metadata, self._how, columns=self._columns)
            self._columns = False
        elif self._how.shape:
            body = encode(answers.partial(value, event.revision))
        else:
            body = answers.with_version(self._kind, value, event.revision)
        return line(change, body)

    def _bookmark(self, revision: int, annotations: dict[str, str]) -> bytes:
        metadata: dict[str, object] = {"resourceVersion": str(revision), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        kind, version = self._kind.resource.kind, self._kind.resource.api_version
        if self._how.shape == "Table":
            kind, version = "Table", answers.META
        elif self._how.shape:
            kind, version = "PartialObjectMetadata", answers.META
        bookmark = {"kind": kind, "apiVersion": version, "metadata": metadata}
        body = protobuf.encode(bookmark) if self._how.protobuf else encode(bookmark)
        return framed("BOOKMARK", body, self._how)


def jittered(seconds: float) -> float:
    """A time around `seconds`, different for every watch."""
    return seconds * (0.75 + random.random() / 2)  # noqa: S311
