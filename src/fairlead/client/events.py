"""What happened to an object, told to its users as Events (`kubectl describe`)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol

from msgspec import structs

from fairlead.client.api import Api
from fairlead.client.retry import Backoff
from fairlead.objects.core_v1 import Event, EventSource, ObjectReference
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.resources import EVENTS, Stored
from fairlead.objects.scalars import timestamp
from fairlead.objects.status import StatusError

log = logging.getLogger("fairlead.client")

REMEMBERED = 4096
"""Events whose repetition is counted instead of written anew; client-go/tools/record does the same."""

WAITING = 1000
"""Events that may wait for the server; later ones are dropped, for Events must never hold up the work.

Upstream: client-go/tools/record, maxQueuedEvents with DropIfChannelFull.
"""

CLOSING = 1.0
"""Seconds in which the end of a component waits for its Events to be written."""

ATTEMPTS = 6

BURST, REFILL = 25, 300.0
"""Events about one object that are written at once, and the seconds after which there may be one more.

What fails again and again must not fill the server. Upstream: client-go/tools/record, EventSourceObjectSpamFilter.
"""


class Described(Stored, Protocol):
    """An object that knows its kind."""

    @property
    def kind(self) -> str:
        """The kind's name."""

    @property
    def apiVersion(self) -> str:
        """The API's group and version."""


def reference(obj: Described) -> ObjectReference:
    """What an Event, or an endpoint, says of the object that it is about."""
    meta = obj.metadata
    return ObjectReference(
        kind=obj.kind,
        apiVersion=obj.apiVersion,
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        resourceVersion=meta.resourceVersion,
    )


@dataclass(frozen=True, slots=True)
class _Told:
    """What waits to be written as an Event, in some 300 bytes; `at` is the time of day, in ns."""

    about: ObjectReference
    type: str
    reason: str
    message: str
    at: int


class Recorder:
    """Writes Events in the background, in order; the same Event again raises the count of the first.

    `close` writes out what waits. `waiting` is how many may wait.
    """

    def __init__(self, api: Api, component: str, host: str = "", *, waiting: int = WAITING) -> None:
        self._api = api
        self._source = EventSource(component=component, host=host)
        self._waiting: asyncio.Queue[_Told] = asyncio.Queue(waiting)
        self._written: OrderedDict[tuple[ObjectReference | str, ...], Event] = OrderedDict()
        self._left: OrderedDict[tuple[str, str, str, str], tuple[float, float]] = OrderedDict()
        self._task: asyncio.Task[None] | None = None

    def event(self, about: Described | ObjectReference, type: str, reason: str, message: str) -> None:
        """Tells what happened to `about`. `type`: Normal or Warning; `reason`: one CamelCase word."""
        involved = about if isinstance(about, ObjectReference) else reference(about)
        if not self._may_tell(involved):
            log.debug("an Event is not written, there were many: %s %s: %s", involved.name, reason, message)
            return
        try:
            self._waiting.put_nowait(_Told(involved, type, reason, message[:1024], time.time_ns()))
        except asyncio.QueueFull:
            log.warning("an Event is dropped, too many wait: %s %s: %s", involved.name, reason, message)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def _may_tell(self, about: ObjectReference) -> bool:
        """Takes one of the Events that may be written about the object; whether there was one left."""
        key = (about.kind, about.namespace, about.name, about.uid)
        now = time.monotonic()
        left, since = self._left.pop(key, (float(BURST), now))
        left = min(left + (now - since) / REFILL, BURST)
        self._left[key] = (left - 1 if left >= 1 else left, now)
        if len(self._left) > REMEMBERED:
            self._left.popitem(last=False)
        return left >= 1

    async def close(self) -> None:
        """Waits up to `CLOSING` seconds until all is written, then stops."""
        if self._task is not None:
            try:
                await asyncio.wait_for(self._waiting.join(), CLOSING)
            except TimeoutError:
                log.warning("%d Events were not written", self._waiting.qsize())
            self._task.cancel()
            self._task = None

    async def _run(self) -> None:
        while True:
            event = self._event(await self._waiting.get())
            backoff = Backoff()
            for _ in range(ATTEMPTS):
                try:
                    await self._write(event)
                    break
                except StatusError as error:
                    # a namespace that goes away takes no Events; nobody is there to read them
                    log.debug("an Event was refused: %s", error)
                    break
                except OSError:
                    await backoff.wait()
                except Exception:
                    log.exception("an Event could not be written")
                    break
            self._waiting.task_done()

    def _event(self, told: _Told) -> Event:
        about, moment = told.about, timestamp(told.at / 1e9)
        return Event(
            metadata=ObjectMeta(name=f"{about.name}.{told.at:x}", namespace=about.namespace or "default"),
            involvedObject=about,
            reason=told.reason,
            message=told.message,
            source=self._source,
            firstTimestamp=moment,
            lastTimestamp=moment,
            count=1,
            type=told.type,
            reportingComponent=self._source.component,
            reportingInstance=self._source.host,
        )

    async def _write(self, event: Event) -> None:
        same = (
            structs.replace(event.involvedObject, resourceVersion=""),
            event.type,
            event.reason,
            event.message,
        )
        first = self._written.get(same)
        if first is not None:
            try:
                again = {"count": first.count + 1, "lastTimestamp": event.lastTimestamp}
                meta = first.metadata
                self._written[same] = await self._api.patch(EVENTS, meta.name, meta.namespace, again)
                self._written.move_to_end(same)
                return
            except StatusError as error:
                if error.code != 404:  # Events expire
                    raise
        self._written[same] = await self._api.create(EVENTS, event)
        self._written.move_to_end(same)
        if len(self._written) > REMEMBERED:
            self._written.popitem(last=False)
