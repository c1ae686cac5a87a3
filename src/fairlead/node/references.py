"""The ConfigMaps and Secrets that pods of this node refer to: each followed once, for as long as a pod holds it.

A node may read only what its pods name, and only by name (the Node authorizer), so each is a watch of its own, as the
kubelet's (pkg/kubelet/util/manager, watch_based_manager.go).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fairlead.client.api import Api
from fairlead.client.informer import Informer
from fairlead.objects.core_v1 import ConfigMap, Secret
from fairlead.objects.resources import CONFIGMAPS, SECRETS

Key = tuple[str, str, str]
"""Plural, namespace and name."""


@dataclass
class _Followed:
    informer: Informer[Any]
    task: asyncio.Task[None]
    holders: set[Callable[[], None]] = field(default_factory=set)


class References:
    """What is held, by key. Belongs to one event loop. Cost: one connection for each object, not for each pod."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._followed: dict[Key, _Followed] = {}

    def hold(self, key: Key, changed: Callable[[], None]) -> None:
        """Follows the object from now on; `changed` is called at each change, and when it is known at first."""
        followed = self._followed.get(key)
        if followed is None:
            followed = self._followed[key] = self._follow(key)
        followed.holders.add(changed)

    def let_go(self, key: Key, changed: Callable[[], None]) -> None:
        """Undoes one `hold`; the last one ends the watch."""
        followed = self._followed.get(key)
        if followed is not None:
            followed.holders.discard(changed)
            if not followed.holders:
                followed.task.cancel()
                del self._followed[key]

    def is_known(self, key: Key) -> bool:
        """Whether the API has been asked for a held object, so that `get` tells the truth."""
        followed = self._followed.get(key)
        return followed is not None and followed.informer.is_synced

    def get(self, key: Key) -> ConfigMap | Secret | None:
        """A held object; None where there is none."""
        followed = self._followed.get(key)
        return followed.informer.items.get(f"{key[1]}/{key[2]}") if followed else None

    def _follow(self, key: Key) -> _Followed:
        plural, namespace, name = key
        resource: Any = CONFIGMAPS if plural == "configmaps" else SECRETS
        informer = Informer(self._api, resource, namespace=namespace, fields=f"metadata.name={name}")

        def tell(*_: object) -> None:
            for changed in tuple(followed.holders):
                changed()

        async def run() -> None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(informer.run())
                await informer.synced()
                tell()

        followed = _Followed(informer, asyncio.create_task(run()))
        informer.subscribe(tell)
        return followed
