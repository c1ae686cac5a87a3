"""Events that the API server itself has to tell, about objects that it found in disorder.

An Event has a name that follows from what it says, so several servers on one store write one, whose count rises.
"""

from __future__ import annotations

import hashlib
import logging
from typing import Any

from msgspec.structs import replace

from fairlead.apiserver.kinds import EVENTS
from fairlead.apiserver.metadata import now
from fairlead.apiserver.registry import Registry
from fairlead.objects.core_v1 import Event, EventSource, ObjectReference
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.status import StatusError
from fairlead.store import Failed

log = logging.getLogger("fairlead.apiserver")


class Happenings:
    """Writes Events as one component; never fails."""

    def __init__(self, registry: Registry, component: str) -> None:
        self._registry = registry
        self._component = component

    async def warn(self, obj: Any, reason: str, message: str) -> None:
        """Tells a Warning about an object, or that it is so still."""
        log.warning("%s %s/%s: %s", obj.kind, obj.metadata.namespace or "-", obj.metadata.name, message)
        event = self._event(obj, reason, message)
        namespace, name = event.metadata.namespace, event.metadata.name

        async def again(old: Any | None) -> Any:
            if old is None:
                return event
            return replace(old, count=old.count + 1, lastTimestamp=event.lastTimestamp)

        try:
            await self._registry.update(EVENTS, namespace, name, again, creates=True)
        except (StatusError, Failed) as error:
            log.debug("an Event cannot be written: %s", error)

    def _event(self, obj: Any, reason: str, message: str) -> Event:
        metadata, moment = obj.metadata, now()
        said = f"{metadata.uid}/{reason}/{message}"
        mark = hashlib.blake2b(said.encode(), digest_size=8).hexdigest()
        return Event(
            metadata=ObjectMeta(name=f"{metadata.name}.{mark}", namespace=metadata.namespace or "default"),
            involvedObject=ObjectReference(
                kind=obj.kind,
                apiVersion=obj.apiVersion,
                namespace=metadata.namespace,
                name=metadata.name,
                uid=metadata.uid,
                resourceVersion=metadata.resourceVersion,
            ),
            reason=reason,
            message=message,
            source=EventSource(component=self._component),
            firstTimestamp=moment,
            lastTimestamp=moment,
            count=1,
            type="Warning",
            reportingComponent=self._component,
        )
