"""The deletion of a namespace: it is emptied, says what is left in it, and goes when nothing is.

Upstream: pkg/controller/namespace/deletion.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from fairlead.apiserver import deletion
from fairlead.apiserver.catalog import Catalog
from fairlead.apiserver.kind import Kind
from fairlead.apiserver.kinds import NAMESPACES, PODS
from fairlead.apiserver.metadata import now
from fairlead.apiserver.namespaceconditions import Remains, conditions
from fairlead.apiserver.ownership import facts
from fairlead.apiserver.registry import Registry
from fairlead.objects.meta_v1 import DeleteOptions, Preconditions
from fairlead.objects.status import StatusError

TELL_SECONDS = 1.0
"""Between two writes of what is left: a namespace of thousands of pods does not tell of each that has ended."""


class NamespaceDeletion:
    """Takes the next step for a namespace whenever it is asked to. `later` has it asked again after some seconds."""

    def __init__(self, registry: Registry, catalog: Catalog, later: Callable[[str, float], None]) -> None:
        self._registry = registry
        self._catalog = catalog
        self._later = later
        self._told: dict[str, float] = {}
        """When each namespace was last told what is left in it."""
        self._left: dict[str, set[str]] = {}
        """The keys that were left in each at its last step."""
        self._due: set[str] = set()
        """Those that are asked for again by themselves."""

    async def step(self, name: str) -> None:
        """Deletes what is in the namespace; if nothing is left, lets it go.

        Pods may need their ConfigMaps, Secrets and policies until they have ended, so that those go later (KEP-5080).
        Cost: what the namespace holds. Raises the first StatusError of what could not be deleted, after all else.
        """
        self._due.discard(name)
        self._left.pop(name, None)  # what goes from now on may have been counted already
        remains, refused, left = Remains(), list[StatusError](), set[str]()
        await self._empty(name, PODS, remains, refused, left)
        if not left:
            for kind in self._catalog.collections():
                if kind.resource.namespaced:
                    await self._empty(name, kind, remains, refused, left)
        await self._tell(name, remains)
        if refused:
            raise refused[0]
        if left:
            self._left[name] = left
        else:
            await self._registry.update(NAMESPACES, "", name, _finalized, subresource="finalize")
            self.forget(name)

    def removed(self, name: str, key: str) -> bool:
        """An object of the namespace is gone; whether the next step is due, and not only something else to say."""
        left = self._left.get(name)
        if left is None:
            return True
        left.discard(key)
        if left:
            self._ask_later(name)
        return not left

    def forget(self, name: str) -> None:
        """The namespace is gone."""
        self._told.pop(name, None)
        self._left.pop(name, None)
        self._due.discard(name)

    async def _empty(
        self, name: str, kind: Kind, remains: Remains, refused: list[StatusError], left: set[str]
    ) -> None:
        """Deletes what the namespace has of a kind; notes what is left, waiting for its end."""
        page = await self._registry.store.range(kind.list_prefix(name))
        failures: list[StatusError] = []
        for entry in page.entries:
            seen = facts(entry.value)
            if seen.deletionTimestamp is None:
                options = DeleteOptions(preconditions=Preconditions(uid=seen.uid))
                try:
                    _, gone = await deletion.delete(self._registry, kind, *kind.place(entry.key), options)
                except StatusError as error:
                    gone = error.code == 404
                    if error.code not in (404, 409):
                        failures.append(error)
                if gone:
                    continue
            remains.add(kind.plural, kind.resource.group, seen.finalizers)
            left.add(entry.key)
        if failures:  # one of each kind, as upstream, which asks for the whole collection
            remains.failures.append(str(failures[0]))
            refused.append(failures[0])

    def _ask_later(self, name: str) -> None:
        if name not in self._due:
            self._due.add(name)
            self._later(NAMESPACES.key("", name), TELL_SECONDS)

    async def _tell(self, name: str, remains: Remains) -> None:
        """Writes the conditions, if they say something else than before."""
        moment = time.monotonic()
        if remains.objects and moment - self._told.get(name, float("-inf")) < TELL_SECONDS:
            self._ask_later(name)
            return

        async def modify(obj: Any) -> Any:
            told = conditions(obj.status.conditions, remains, now())
            return replace(obj, status=replace(obj.status, conditions=told))

        self._told[name] = moment
        await self._registry.update(NAMESPACES, "", name, modify, subresource="status")


async def _finalized(obj: Any) -> Any:
    kept = tuple(finalizer for finalizer in obj.spec.finalizers if finalizer != "kubernetes")
    return replace(obj, spec=replace(obj.spec, finalizers=kept))
