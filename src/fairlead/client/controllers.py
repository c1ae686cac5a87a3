"""Several controllers at work on one set of informers."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any, Protocol

from fairlead.client.informer import Informer
from fairlead.client.queue import WorkQueue


class Controller(Protocol):
    """Keys that are to be looked at, and what to do with one."""

    @property
    def queue(self) -> WorkQueue[str]:
        """The keys."""

    @property
    def workers(self) -> int:
        """How many keys are looked at at a time."""

    async def sync(self, key: str) -> None:
        """Looks at one; what it raises has the key looked at again later."""


def serve(
    group: asyncio.TaskGroup, controllers: Collection[Controller], informers: Collection[Informer[Any]]
) -> None:
    """Has the controllers work in the group.

    Whatever waits for the server to come back does so no longer once one informer has found it.
    """
    for each in controllers:
        for informer in informers:
            informer.on_return(each.queue.hurry)
        group.create_task(each.queue.serve(each.sync, workers=each.workers))
