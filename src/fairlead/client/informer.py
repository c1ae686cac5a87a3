"""A copy of a collection of the API, kept true by list and watch, that tells of each change in order."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from http import HTTPStatus
from typing import Any, Generic, TypeVar

import msgspec
from msgspec.structs import replace

from fairlead.client.api import Api
from fairlead.client.retry import Backoff
from fairlead.objects.resources import Resource, Stored
from fairlead.objects.status import StatusError
from fairlead.process import Health

log = logging.getLogger("fairlead.client")

T = TypeVar("T", bound=Stored)

_HISTORY_LOST = (HTTPStatus.GONE, HTTPStatus.BAD_REQUEST, HTTPStatus.GATEWAY_TIMEOUT)
"""How servers say that they know no way from our version to now: too old, not theirs, in the future."""

_OUTAGE = 2
"""Failures in a row that are worth a warning."""

PAGE = 2000
"""Objects asked for at a time: few round trips, and a page's bytes are gone before the next is read."""

SILENCE = 30.0
"""Seconds after which a server that sends nothing more of the objects there are is asked for a list instead."""

_CANNOT_STREAM = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)
"""How servers before Kubernetes 1.32, and others, say that they do not begin a watch with a list."""

_HINTS: Mapping[int, str] = {
    HTTPStatus.UNAUTHORIZED: "it does not know us: the kubeconfig's credentials are not, or no longer, valid",
    HTTPStatus.FORBIDDEN: "give this user the right to list and watch {0}",
    HTTPStatus.NOT_FOUND: "this server has no {0}: use Kubernetes 1.21 or later, and the address of its whole API",
}


class Change(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """What became of one object: `old` is None when it appears, `new` is None when it goes.

    An object that was deleted and made again while the connection was away is one change with two uids.
    """

    key: str
    old: T | None
    new: T | None


def key_of(obj: Stored) -> str:
    """`namespace/name`, or `name` of an object that is in no namespace."""
    meta = obj.metadata
    return f"{meta.namespace}/{meta.name}" if meta.namespace else meta.name


def version_of(obj: Stored) -> int:
    """The object's resourceVersion as a number; 0 if it is none."""
    version = obj.metadata.resourceVersion
    return int(version) if version.isdecimal() else 0


def trimmed(obj: T) -> T:
    """The object without its managedFields: nobody here reads them, and they would keep the bytes of a page alive.

    Writing it back is safe: a server that is sent none keeps those that it has.
    Upstream: cache.TransformStripManagedFields.
    """
    if not getattr(obj.metadata, "managedFields", ()):
        return obj
    value: Any = obj
    trimmed: T = replace(value, metadata=replace(value.metadata, managedFields=()))
    return trimmed


class Informer(Generic[T]):
    """The objects of one resource, as far as the selectors pick them.

    `run` keeps it going through everything that can happen to a server or a connection: nothing is lost and
    nothing told twice. Cost is in proportion to the changes, but for a relist, which reads everything and
    tells only the differences.
    """

    def __init__(
        self,
        api: Api,
        resource: Resource[T],
        *,
        namespace: str = "",
        labels: str = "",
        fields: str = "",
        optional: bool = False,
        keep: Callable[[T], T] = trimmed,
    ) -> None:
        """`optional`: a server that does not know the resource has none of it; it is asked again in case it learns.

        `keep` makes of an object what is kept and told of it; upstream: cache.TransformFunc.
        """
        self._api = api
        self._optional = optional
        self._keep = keep
        self.resource = resource
        self._namespace = namespace
        self._labels = labels
        self._fields = fields
        self._items: dict[str, T] = {}
        self._indexes: dict[str, _Index[T]] = {}
        self._handlers: list[Callable[[Change[T]], None]] = []
        self._returns: list[Callable[[], None]] = []
        self._synced = asyncio.Event()
        self._version = ""
        self._failures = 0
        self._complaint = ""
        self._listed = False
        self._streams = True

    @property
    def items(self) -> Mapping[str, T]:
        """All objects by key. A live view: copy it before an await."""
        return self._items

    @property
    def version(self) -> int:
        """The resourceVersion up to which the collection has been followed; 0 at first, or if it is no number."""
        return int(self._version) if self._version.isdecimal() else 0

    @property
    def is_synced(self) -> bool:
        """Whether the first list has been read."""
        return self._synced.is_set()

    @property
    def is_away(self) -> bool:
        """Whether the server could not be reached the last time."""
        return self._failures > 0

    def has_seen(self, obj: Stored) -> bool:
        """Whether the collection has been followed to where this object, an answer to a write, was in it.

        It shows the object in that version or a later one then, or not at all if it has been deleted since.
        resourceVersions order the versions of a collection (KEP-5504).
        """
        seen = self._items.get(key_of(obj))
        version = version_of(obj)
        return self.version >= version or (
            seen is not None and seen.metadata.uid == obj.metadata.uid and version_of(seen) >= version
        )

    async def synced(self) -> None:
        """Returns when the first list has been read, and its objects told to every handler."""
        await self._synced.wait()

    def subscribe(self, handler: Callable[[Change[T]], None]) -> None:
        """Calls `handler` for each object there is, then for each change, after `items` has it.

        A handler that raises is logged and does not keep the change from the others.
        """
        for key, obj in self._items.items():
            self._tell(handler, Change(key, None, obj))
        self._handlers.append(handler)

    def on_return(self, handler: Callable[[], None]) -> None:
        """Calls `handler` whenever the server is in touch again after it was not."""
        self._returns.append(handler)

    def index(self, name: str, func: Callable[[T], Iterable[str]]) -> None:
        """Keeps the objects by the values that `func` gives of each."""
        index = self._indexes[name] = _Index(func)
        for key, obj in self._items.items():
            index.change(key, None, obj)

    def by_index(self, name: str, value: str) -> Collection[T]:
        """The objects with this value in that index, in the order in which they came. Cost: their number."""
        items = self._items
        return tuple(items[key] for key in self._indexes[name].keys.get(value, ()))

    def count(self, name: str, value: str) -> int:
        """The number of objects with this value in that index."""
        return len(self._indexes[name].keys.get(value, ()))

    async def run(self) -> None:
        """Lists, then watches, and recovers from everything, until cancelled."""
        backoff = Backoff()
        while True:
            started = time.monotonic()
            before = self._version
            away = False
            try:
                if not self._listed and not self._streams:
                    await self._list()
                await self._watch()
            except StatusError as error:
                if not self._listed and self._streams and error.code in _CANNOT_STREAM:
                    self._streams = False
                    continue
                if error.code == HTTPStatus.NOT_FOUND and self._optional:
                    self._lack()
                else:
                    self._complain(error)
                if error.code in _HISTORY_LOST:
                    self._listed, self._version = False, ""
            except OSError as error:
                self._failures += 1
                # One broken connection is a restart of the server; the second in a row is an outage, told once.
                if self._failures <= _OUTAGE:
                    level = logging.WARNING if self._failures == _OUTAGE else logging.INFO
                    log.log(level, "%s: %s", self.resource.plural, error)
                away = True
            except Exception:
                # A defect of ours: a fresh list is the best chance to get past it.
                self._listed = False
                log.exception("%s: watching failed", self.resource.plural)
            if self._version not in ("", before) or time.monotonic() - started > backoff.limit:
                backoff.reset()
            if away:
                await self._api.pause(backoff.next())
            else:
                await backoff.wait()

    async def _list(self) -> None:
        """Reads all pages and tells the differences to what we have."""
        token = ""
        seen: set[str] = set()
        while True:
            page = await self._api.list(
                self.resource,
                self._namespace,
                labels=self._labels,
                fields=self._fields,
                limit=PAGE,
                continue_=token,
                # A copy that the server has at hand will do at first; later none that is older than ours.
                resource_version="" if token else self._list_version(),
            )
            for obj in page.items:
                key = key_of(obj)
                seen.add(key)
                self._apply(key, obj)
            token = page.continue_
            if not token:
                break
        self._all_are(seen, page.resourceVersion)

    def _list_version(self) -> str:
        return self._version if self._synced.is_set() else "0"

    async def _watch(self) -> None:
        """Tells the changes from our version on, until the stream ends; before the first list, that list, too."""
        there: set[str] | None = None if self._listed else set()
        stream = self._api.watch(
            self.resource,
            self._namespace,
            resource_version=self._version,
            labels=self._labels,
            fields=self._fields,
            initial=there is not None,
            begun=self._reached,
        )
        loop = asyncio.get_running_loop()
        try:
            async with aclosing(stream) as events, asyncio.timeout(None) as silence:
                if there is not None:
                    silence.reschedule(loop.time() + SILENCE)
                async for event in events:
                    obj = event.object
                    if event.type == "SYNCED" and there is not None:
                        silence.reschedule(None)
                        self._all_are(there, obj.metadata.resourceVersion)
                        there = None
                    elif event.type not in ("BOOKMARK", "SYNCED"):
                        key, gone = key_of(obj), event.type == "DELETED"
                        self._apply(key, None if gone else obj)
                        if there is not None:
                            (there.discard if gone else there.add)(key)
                            if len(there) % 256 == 0:
                                silence.reschedule(loop.time() + SILENCE)
                            continue
                    if there is None:
                        self._version = obj.metadata.resourceVersion
        except TimeoutError:
            log.info("%s: %s does not end its list, asked for pages", self.resource.plural, self._api.server)
            self._streams = False

    def _all_are(self, keys: Collection[str], version: str) -> None:
        """These are all the objects that there are at this version."""
        for key in [key for key in self._items if key not in keys]:
            self._apply(key, None)
        self._version = version
        self._listed = True
        self._complaint = ""
        self._synced.set()
        self._reached()

    def _lack(self) -> None:
        """There are none, since the server does not know the resource; said once."""
        text = f"{self.resource.full_name}: {self._api.server} does not know them, so there are none yet"
        log.log(logging.DEBUG if text == self._complaint else logging.INFO, "%s", text)
        self._all_are((), "")
        self._listed, self._complaint = False, text

    def _complain(self, error: StatusError) -> None:
        """Says what the server refused, and what to do; the same again is for debugging."""
        text = f"{self.resource.plural}: {self._api.server} refused: {error}"
        if hint := _HINTS.get(error.code, ""):
            text += f"; {hint.format(self.resource.plural)}"
        level = logging.INFO if error.code == HTTPStatus.GONE else logging.WARNING
        log.log(logging.DEBUG if text == self._complaint else level, "%s", text)
        self._complaint = text

    def _reached(self) -> None:
        if self._failures >= _OUTAGE:
            log.info("%s: in touch with %s again", self.resource.plural, self._api.server)
        if self._failures:
            self._failures = 0
            for handler in self._returns:
                handler()

    def _apply(self, key: str, new: T | None) -> None:
        old = self._items.get(key)
        if new is not None:
            new = self._keep(new)
            if old is not None and old.metadata.resourceVersion == new.metadata.resourceVersion:
                return
            self._items[key] = new
        elif old is not None:
            del self._items[key]
        else:
            return
        for index in self._indexes.values():
            index.change(key, old, new)
        change = Change(key, old, new)
        for handler in self._handlers:
            self._tell(handler, change)

    def _tell(self, handler: Callable[[Change[T]], None], change: Change[T]) -> None:
        try:
            handler(change)
        except Exception:
            log.exception("%s %s: a handler failed", self.resource.plural, change.key)


@asynccontextmanager
async def all_synced(
    informers: Sequence[Informer[Any]], health: Health, component: str
) -> AsyncIterator[asyncio.TaskGroup]:
    """Keeps informers going; the block begins when all have read their first list, and they end with it.

    Gives the group that they run in, for tasks of the block's own. `health` says which ones it waits for, as
    COMPONENT/RESOURCE; none any more when the block has ended, whatever ended it.
    """
    names = {each: f"{component}/{each.resource.full_name}" for each in informers}
    for name in names.values():
        health.waits_for(name)
    try:
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(informer.run()) for informer in informers]
            for informer, name in names.items():
                await informer.synced()
                health.has(name)
            yield group
            for task in running:
                task.cancel()
    finally:
        for name in names.values():
            health.has(name)


class _Index(Generic[T]):
    """Keys by value. Only keys, so that an object whose values stay costs nothing here."""

    def __init__(self, func: Callable[[T], Iterable[str]]) -> None:
        self._func = func
        self.keys: defaultdict[str, dict[str, None]] = defaultdict(dict)

    def change(self, key: str, old: T | None, new: T | None) -> None:
        before = set(self._func(old)) if old is not None else set()
        after = set(self._func(new)) if new is not None else set()
        for value in before - after:
            held = self.keys[value]
            del held[key]
            if not held:
                del self.keys[value]
        for value in after - before:
            self.keys[value][key] = None
