"""The removal of what has lost its owner, or whose namespace goes away.

It runs in the server and follows the store. Several servers on one store may do the same work: every step is
conditional on what it was decided upon, and repeating one changes nothing.
Upstream: pkg/controller/garbagecollector, pkg/controller/namespace.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from msgspec.structs import replace

from fairlead.apiserver import deletion
from fairlead.apiserver.catalog import Catalog, Family
from fairlead.apiserver.kind import Kind
from fairlead.apiserver.kinds import CONFIGMAPS, NAMESPACES, SERVICEACCOUNTS
from fairlead.apiserver.namespacedeletion import NamespaceDeletion
from fairlead.apiserver.namespaces import ROOT_AUTHORITY, furnishing
from fairlead.apiserver.ownership import Facts, Ownership, facts, tied, unowned
from fairlead.apiserver.registry import Registry
from fairlead.objects.meta_v1 import DeleteOptions, OwnerReference, Preconditions
from fairlead.objects.status import StatusError
from fairlead.store import Closed, Compacted, Condition, Conflict, Failed, TooSlow

log = logging.getLogger("fairlead.apiserver")

RETRY_SECONDS = 1.0
AT_ONCE = 100


class Collector:
    """Looks at each object again when what it depends on has changed."""

    def __init__(self, registry: Registry, catalog: Catalog, authority: bytes) -> None:
        self._registry = registry
        self._store = registry.store
        self._catalog = catalog
        self._authority = authority
        self._owners = Ownership()
        self._ending: set[str] = set()
        self._waiting: dict[str, None] = {}
        self._awake = asyncio.Event()
        self._looking: set[asyncio.Task[None]] = set()
        self._namespaces = NamespaceDeletion(registry, catalog, self._look_later)
        catalog.follow(self._changed)

    async def run(self) -> None:
        """Works until it is cancelled or the store is closed."""
        worker = asyncio.ensure_future(self._work())
        try:
            while True:
                try:
                    await self._follow()
                except (TooSlow, Compacted):
                    continue
                except Closed:
                    return
        finally:
            worker.cancel()

    async def _follow(self) -> None:
        page = await self._store.range("/")
        self._owners, self._ending = Ownership(), set()
        known = [(e.key, facts(e.value)) for e in page.entries if self._is_object(e.key)]
        for key, of in known:
            self._owners.put(key, of)
        for key, of in known:
            self._consider(key, of)
        watch = self._store.watch("/", page.revision)
        try:
            while True:
                for event in await watch.next():
                    if not self._is_object(event.key):
                        continue
                    if event.value is None:
                        self._removed(event.key)
                    elif tied(event.value) or self._owners.owned(event.key):
                        of = facts(event.value)
                        self._owners.put(event.key, of)
                        self._consider(event.key, of)
                    elif event.previous is None:
                        self._owners.put(event.key, unowned(event.value))
        finally:
            watch.close()

    def _is_object(self, key: str) -> bool:
        """Whether a key of the store is an object's: all of a group are, even before their definition is known here."""
        return "." in key[: key.find("/", 1)] or self._catalog.keeper(key) is not None

    def _changed(self, before: Family | None, after: Family | None) -> None:
        """What is served from now on may have had objects before, whose owners could not be judged."""
        if before is None and after is not None:
            task = asyncio.ensure_future(self._look_at(after.stored.prefix))
            self._looking.add(task)
            task.add_done_callback(self._looking.discard)

    async def _look_at(self, prefix: str) -> None:
        try:
            page = await self._store.range(prefix)
        except (Closed, Failed) as error:
            log.warning("cannot look for objects without owners under %s: %s", prefix, error)
            return
        for entry in page.entries:
            self._add(entry.key)

    def _add(self, key: str) -> None:
        self._waiting[key] = None
        self._awake.set()

    def _consider(self, key: str, of: Facts.Metadata) -> None:
        if of.deletionTimestamp is not None:
            if key.startswith(NAMESPACES.prefix):
                self._ending.add(key[len(NAMESPACES.prefix) :])
                self._add(key)
            elif deletion.ORPHAN in of.finalizers or deletion.FOREGROUND in of.finalizers:
                self._add(key)
        elif of.ownerReferences and any(self._absent(owner) for owner in of.ownerReferences):
            self._add(key)

    def _removed(self, key: str) -> None:
        uid, owners = self._owners.drop(key)
        for dependent in self._owners.dependents(uid):
            self._add(dependent)
        for owner in owners:
            if (its := self._owners.key(owner)) is not None:
                self._add(its)
        namespace = key.split("/")[2]
        if key.startswith(NAMESPACES.prefix):
            self._ending.discard(namespace)
            self._namespaces.forget(namespace)
        elif namespace in self._ending:
            if self._namespaces.removed(namespace, key):
                self._add(NAMESPACES.key("", namespace))
        elif key in furniture(namespace):
            self._add(NAMESPACES.key("", namespace))

    def _absent(self, owner: OwnerReference) -> bool:
        """Whether an owner is gone for good: a uid never comes back. Kinds that are not served cannot be judged."""
        if self._owners.key(owner.uid) is not None:
            return False
        return self._owners.gone(owner.uid) or self._catalog.named(owner.apiVersion, owner.kind) is not None

    async def _work(self) -> None:
        while True:
            await self._awake.wait()
            self._awake.clear()
            waiting, self._waiting = list(self._waiting), {}
            for start in range(0, len(waiting), AT_ONCE):
                await asyncio.gather(*(self._attempt(key) for key in waiting[start : start + AT_ONCE]))

    async def _attempt(self, key: str) -> None:
        try:
            await self._settle(key)
        except StatusError as error:
            if error.code not in (404, 409):
                self._later(key, error)
        except Failed as error:
            self._later(key, error)
        except Closed:
            return
        except Exception:
            log.exception("cannot settle %s", key)

    def _later(self, key: str, error: Exception) -> None:
        log.warning("cannot settle %s yet: %s", key, error)
        self._look_later(key, RETRY_SECONDS)

    def _look_later(self, key: str, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self._add, key)

    async def _settle(self, key: str) -> None:
        entry = await self._store.get(key)
        kind = self._catalog.keeper(key)
        if entry is None or kind is None:
            return
        of = facts(entry.value)
        if of.deletionTimestamp is not None:
            if deletion.ORPHAN in of.finalizers:
                await self._orphan(key, kind, of)
            elif deletion.FOREGROUND in of.finalizers:
                await self._foreground(key, kind, of)
        if kind is NAMESPACES:
            await self._namespace(key[len(kind.prefix) :], of)
        if kind is NAMESPACES or of.deletionTimestamp is not None:
            return
        absent = {owner.uid for owner in of.ownerReferences if self._absent(owner)}
        if not absent:
            return
        if len(absent) == len(of.ownerReferences):
            options = DeleteOptions(preconditions=Preconditions(uid=of.uid), propagationPolicy="Background")
            await deletion.delete(self._registry, kind, *kind.place(key), options)
        else:
            await self._disown(key, kind, absent)

    async def _disown(self, key: str, kind: Kind, owners: set[str]) -> None:
        """Takes references to these owners out of an object."""

        async def modify(obj: Any) -> Any:
            kept = tuple(o for o in obj.metadata.ownerReferences if o.uid not in owners)
            return replace(obj, metadata=replace(obj.metadata, ownerReferences=kept))

        await self._registry.update(kind, *kind.place(key), modify, subresource="metadata")

    async def _orphan(self, key: str, kind: Kind, of: Facts.Metadata) -> None:
        for dependent in self._owners.dependents(of.uid):
            its = self._catalog.keeper(dependent)
            if its is not None:
                await self._disown(dependent, its, {of.uid})
        await self._let_go(key, kind, deletion.ORPHAN)

    async def _foreground(self, key: str, kind: Kind, of: Facts.Metadata) -> None:
        """Deletes the dependents; the last one's end brings the owner back here."""
        left = False
        for dependent in self._owners.dependents(of.uid):
            entry, its = await self._store.get(dependent), self._catalog.keeper(dependent)
            if entry is None or its is None:
                continue
            seen = facts(entry.value)
            left = left or any(o.uid == of.uid and o.blockOwnerDeletion for o in seen.ownerReferences)
            if seen.deletionTimestamp is None:
                options = DeleteOptions(preconditions=Preconditions(uid=seen.uid))
                await deletion.delete(self._registry, its, *its.place(dependent), options)
        if not left or not self._owners.dependents(of.uid):
            await self._let_go(key, kind, deletion.FOREGROUND)

    async def _let_go(self, key: str, kind: Kind, finalizer: str) -> None:
        async def modify(obj: Any) -> Any:
            kept = tuple(f for f in obj.metadata.finalizers if f != finalizer)
            return replace(obj, metadata=replace(obj.metadata, finalizers=kept))

        await self._registry.update(kind, *kind.place(key), modify, subresource="metadata")

    async def _namespace(self, name: str, of: Facts.Metadata) -> None:
        """Empties a namespace that is being deleted, then lets it go; furnishes one that is not."""
        if of.deletionTimestamp is None:
            await self._furnish(name)
        else:
            await self._namespaces.step(name)

    async def _furnish(self, name: str) -> None:
        """Brings back what every namespace has, where it was deleted."""
        for change in furnishing(name, self._authority):
            if await self._store.get(change.key) is None:
                try:
                    await self._store.commit([Condition(change.key, 0)], [change])
                except Conflict:
                    continue


def furniture(namespace: str) -> tuple[str, str]:
    """The keys of what every namespace has."""
    return SERVICEACCOUNTS.key(namespace, "default"), CONFIGMAPS.key(namespace, ROOT_AUTHORITY)
