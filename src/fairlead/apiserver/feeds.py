"""The events of each kind, read from the store once and handed to all who watch it.

Watchers who ask for the same selection in the same form are a group, which gets the same bytes: an event is matched
and encoded once for each group that it may concern. Groups are found by what their selection fixes (the name, a field
such as `spec.nodeName`, the namespace), so that of a thousand kubelets an event of a pod meets one. Upstream:
storage/cacher.
"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from fairlead.apiserver.kind import Kind
from fairlead.apiserver.negotiation import Form
from fairlead.apiserver.selection import METADATA_FIELDS, Seen, Selection
from fairlead.store import Closed, Event, Failed, Store, TooSlow, Watch

log = logging.getLogger("fairlead.apiserver")

WINDOW_EVENTS = 10_000
WINDOW_BYTES = 8 << 20
"""How much of the past a feed keeps for those who come back to it, at most; for older revisions the store is asked."""

LINGER_SECONDS = 60.0
"""How long a feed without watchers goes on."""

AT_ONCE = 100
"""Watchers that are written to before other requests have their turn; one costs some 15 us."""

WAITING_BYTES = 16 << 20
WAITING_CHUNKS = 20_000
"""What may wait for a watcher that does not read before it is cut off. Those who wait for the same bytes share them."""

Route = tuple[str, str]
"""What a selection fixes: a field with its value; ("", "") where it fixes none."""

EVERYTHING: Route = ("", "")


class Change(NamedTuple):
    """What an event is to a group: ADDED, MODIFIED or DELETED, with its frame."""

    event: Event
    type: str
    frame: bytes


class Audience(NamedTuple):
    """What watchers have in common who get the same bytes."""

    namespace: str
    wanted: Selection
    how: Form

    @property
    def route(self) -> Route:
        """Where an event looks for it."""
        if (name := self.wanted.name) is not None:
            return "metadata.name", name
        for term in self.wanted.fields.terms:
            if term.equal and term.field not in METADATA_FIELDS:
                return term.field, term.value
        return ("metadata.namespace", self.namespace) if self.namespace else EVERYTHING


Frame = Callable[[Kind, Event, str, Form], bytes]
"""Encodes an event as a change."""

Sent = Callable[[Kind, int, int], None]
"""Is told how many events of how many bytes went out."""


class Watcher:
    """One client's watch, as its feed sees it: chunks go out at once, or wait while the client is slow.

    `write` sends bytes; `blocked` says whether it had better not; `cut` ends the client's connection. Until `release`
    is called everything waits: the beginning has to go out first.
    """

    def __init__(
        self, write: Callable[[bytes], None], blocked: Callable[[], bool], cut: Callable[[], None]
    ) -> None:
        self.revision = 0
        """Events up to it are no news."""
        self.first: Callable[[Event, str], bytes] | None = None
        """Encodes the next event in another way than the rest of the group gets it."""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._write = write
        self._blocked = blocked
        self._cut = cut
        self._held = True
        self._waiting: deque[bytes] = deque()
        self._bytes = 0

    def send(self, chunk: bytes) -> None:
        """Sends frames, when the client takes them. One that lets too much wait is cut off."""
        if self.done.done():
            return
        if not (self._held or self._waiting or self._blocked()):
            self._write(chunk)
            return
        self._waiting.append(chunk)
        self._bytes += len(chunk)
        if self._bytes > WAITING_BYTES or len(self._waiting) > WAITING_CHUNKS:
            self.end()
            self._cut()

    def send_from(self, changes: Sequence[Change]) -> None:
        """Sends those frames that are news to the client, the first one in its own form where it has one."""
        news = [change for change in changes if change.event.revision > self.revision]
        frames = [change.frame for change in news]
        if self.first is not None:
            frames[0] = self.first(news[0].event, news[0].type)
            self.first = None
        self.send(b"".join(frames))

    def release(self) -> None:
        """What waits may go out."""
        self._held = False
        self.drain()

    def drain(self) -> None:
        """The client has read: sends what waits for as long as it goes on doing so."""
        while self._waiting and not (self._held or self._blocked() or self.done.done()):
            chunk = self._waiting.popleft()
            self._bytes -= len(chunk)
            self._write(chunk)

    def end(self) -> None:
        """The watch is over."""
        if not self.done.done():
            self.done.set_result(None)
            self._waiting.clear()


class Group:
    """Watchers of one audience, and the changes of the events that are being handed out."""

    def __init__(self, audience: Audience, prefix: str) -> None:
        self.audience = audience
        self.prefix = prefix
        self.watchers: dict[Watcher, None] = {}
        self.changes: list[Change] = []


class Feed:
    """The events of one kind after a revision."""

    def __init__(self, store: Store, kind: Kind, revision: int, frame: Frame, sent: Sent) -> None:
        self.oldest = revision
        self.watchers = 0
        self.kind = kind
        self._frame = frame
        self._sent = sent
        self._watch: Watch = store.watch(kind.prefix, revision)
        self._handed = revision
        self._busy = False
        self._window: deque[Event] = deque()
        self._bytes = 0
        self._groups: dict[Audience, Group] = {}
        self._routes: dict[Route, dict[Group, None]] = {}
        self._fields: Counter[str] = Counter()
        self._task = asyncio.get_running_loop().create_task(self._run())

    @property
    def running(self) -> bool:
        """Whether events still come."""
        return not self._task.done()

    @property
    def revision(self) -> int:
        """Every event up to this revision has been handed out."""
        return self._handed if self._busy else self._watch.revision

    def join(self, watcher: Watcher, audience: Audience, revision: int) -> list[Event]:
        """From now on the watcher gets what comes after a revision, which is not before `oldest`.

        Gives the events after it that have been read already, those that do not concern him too.
        """
        watcher.revision = revision
        group = self._groups.get(audience)
        if group is None:
            group = self._groups[audience] = Group(audience, self.kind.list_prefix(audience.namespace))
            route = audience.route
            self._routes.setdefault(route, {})[group] = None
            if route[0] in self.kind.selectable_fields:
                self._fields[route[0]] += 1
        group.watchers[watcher] = None
        self.watchers += 1
        start = bisect_right(self._window, revision, key=lambda event: event.revision)
        return list(islice(self._window, start, None))

    def leave(self, watcher: Watcher, audience: Audience) -> None:
        """The watcher gets nothing any more."""
        group = self._groups.get(audience)
        if group is None or watcher not in group.watchers:
            return
        self.watchers -= 1
        del group.watchers[watcher]
        if group.watchers:
            return
        del self._groups[audience]
        route = audience.route
        del self._routes[route][group]
        if not self._routes[route]:
            del self._routes[route]
        if route[0] in self._fields:
            self._fields[route[0]] -= 1
            self._fields += Counter()  # drops what has come to zero

    def close(self) -> None:
        """Ends the feed, and the watches of it."""
        self._watch.close()

    async def _run(self) -> None:
        try:
            while True:
                events = await self._watch.next()
                self._busy = True
                self._remember(events)
                await self._hand_out(events)
                self._handed = events[-1].revision
                self._busy = False
        except (Closed, TooSlow, Failed):
            return
        except Exception:
            log.exception("the watches of %s are ended", self.kind.qualified)
        finally:
            self._watch.close()
            for group in list(self._groups.values()):
                for watcher in list(group.watchers):
                    watcher.end()

    def _remember(self, events: Sequence[Event]) -> None:
        for event in events:
            self._window.append(event)
            self._bytes += weight(event)
        while len(self._window) > WINDOW_EVENTS or self._bytes > WINDOW_BYTES:
            gone = self._window.popleft()
            self._bytes -= weight(gone)
            self.oldest = gone.revision

    async def _hand_out(self, events: Sequence[Event]) -> None:
        touched: dict[Group, None] = {}
        for event in events:
            seen: dict[bool, Seen] = {}
            for group in self._concerned(event, seen):
                change = self._change(event, group.audience, group.prefix, seen)
                if change is not None:
                    group.changes.append(change)
                    touched[group] = None
        # Who joins while this goes on has had these events from the window.
        sending = [(group.changes, list(group.watchers)) for group in touched]
        for group in touched:
            group.changes = []
        count = 0
        for changes, watchers in sending:
            whole = b"".join([change.frame for change in changes])
            self._sent(self.kind, len(changes) * len(watchers), len(whole) * len(watchers))
            first, last = changes[0].event.revision, changes[-1].event.revision
            for watcher in watchers:
                if watcher.revision < first and watcher.first is None:
                    watcher.send(whole)
                elif watcher.revision < last:
                    watcher.send_from(changes)
                count += 1
                if not count % AT_ONCE:
                    await asyncio.sleep(0)

    def _concerned(self, event: Event, seen: dict[bool, Seen]) -> Iterator[Group]:
        """The groups that the event may be for. Costs a lookup a field that somebody selects by."""
        routes = self._routes
        namespace, _, name = event.key[len(self.kind.prefix) :].rpartition("/")
        places = {EVERYTHING, ("metadata.namespace", namespace), ("metadata.name", name)}
        for field in self._fields:
            for side in sides(self.kind, event, seen):
                places.add((field, side.field(field)))
        for place in places:
            if (groups := routes.get(place)) is not None:
                yield from groups

    def _change(self, event: Event, audience: Audience, prefix: str, seen: dict[bool, Seen]) -> Change | None:
        if not event.key.startswith(prefix):
            return None
        kind = change_of(event, audience.wanted, seen)
        return Change(event, kind, self._frame(self.kind, event, kind, audience.how)) if kind else None


def weight(event: Event) -> int:
    """Bytes that may be in memory for an event that is remembered."""
    return 200 + len(event.value or b"") + (len(event.previous.value) if event.previous else 0)


def sides(kind: Kind, event: Event, seen: dict[bool, Seen]) -> Iterator[Seen]:
    """The object before the event and after it, each decoded once for all who ask."""
    if event.value is not None:
        if True not in seen:
            seen[True] = Seen(kind, event.value)
        yield seen[True]
    if event.previous is not None:
        if False not in seen:
            seen[False] = Seen(kind, event.previous.value)
        yield seen[False]


def change_of(event: Event, wanted: Selection, seen: dict[bool, Seen]) -> str:
    """What an event is to who watches a selection; "" where it is nothing to him."""
    if wanted.everything:
        if event.value is None:
            return "DELETED"
        return "ADDED" if event.previous is None else "MODIFIED"
    for _ in sides(wanted.kind, event, seen):
        pass
    is_in = event.value is not None and wanted.holds(seen[True])
    was_in = event.previous is not None and wanted.holds(seen[False])
    if is_in:
        return "MODIFIED" if was_in else "ADDED"
    return "DELETED" if was_in else ""


class Feeds:
    """A feed for each kind that is watched."""

    def __init__(self, store: Store, frame: Frame, sent: Sent) -> None:
        self._store = store
        self._frame = frame
        self._sent = sent
        self._feeds: dict[Kind, Feed] = {}
        self._others: set[Feed] = set()

    def at(self, kind: Kind, revision: int) -> Feed:
        """A feed that has what comes after the revision. Raises Compacted or Future where there can be none."""
        feed = self._feeds.get(kind)
        if feed is not None and feed.running and feed.oldest <= revision:
            return feed
        if feed is not None and feed.running:
            self._others.add(feed)
        feed = self._feeds[kind] = Feed(self._store, kind, revision, self._frame, self._sent)
        return feed

    def leave(self, feed: Feed, watcher: Watcher, audience: Audience) -> None:
        """A watcher leaves. A feed without watchers goes on for a while, in case that they come back."""
        feed.leave(watcher, audience)
        if not feed.watchers:
            asyncio.get_running_loop().call_later(LINGER_SECONDS, self._close_idle, feed)

    def drop(self, kinds: Iterable[Kind]) -> None:
        """Ends the watches of kinds that are served no more, or in another way."""
        gone = set(kinds)
        for feed in (*self._feeds.values(), *self._others):
            if feed.kind in gone:
                feed.close()
        for kind in gone:
            self._feeds.pop(kind, None)
        self._others = {feed for feed in self._others if feed.kind not in gone}

    def close(self) -> None:
        """Ends all feeds, and the watches of them."""
        for feed in (*self._feeds.values(), *self._others):
            feed.close()

    def _close_idle(self, feed: Feed) -> None:
        if feed.watchers:
            return
        feed.close()
        self._others.discard(feed)
        for kind, known in list(self._feeds.items()):
            if known is feed:
                del self._feeds[kind]
