"""Definitions of custom resources at work: names accepted, kinds served, instances removed at the end.

Every server follows the store, so that all that share one serve the same kinds, and any of them may do the work: a
decision about names is written on the condition that no definition of the group has changed since, and repeating a
step changes nothing. Upstream: pkg/controller/{status,establish,finalizer} of apiextensions-apiserver.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from fairlead.apiserver import deletion
from fairlead.apiserver.answers import decoded
from fairlead.apiserver.catalog import Catalog
from fairlead.apiserver.customkinds import family
from fairlead.apiserver.kinds import CUSTOMRESOURCEDEFINITIONS
from fairlead.apiserver.metadata import now
from fairlead.apiserver.registry import Registry
from fairlead.apiserver.strategies import CLEANUP, with_condition
from fairlead.objects.apiextensions_v1 import (
    CustomResourceDefinition,
    CustomResourceDefinitionCondition,
    CustomResourceDefinitionNames,
)
from fairlead.objects.definitions import APPROVED, approval, condition, protected
from fairlead.objects.meta_v1 import DeleteOptions
from fairlead.objects.status import StatusError
from fairlead.store import Change, Closed, Compacted, Condition, Conflict, Entry, Failed, TooSlow

log = logging.getLogger("fairlead.apiserver")

AT_ONCE = 100
RETRY_SECONDS = 1.0

CONFORMANT = "KubernetesAPIApprovalPolicyConformant"
"""The condition of definitions in the groups of Kubernetes."""


class Known:
    """A definition as it stands in the store, and the part of it that its kinds were made of."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.obj: CustomResourceDefinition = decoded(CUSTOMRESOURCEDEFINITIONS, entry.value, entry.revision)

    @property
    def collection(self) -> str:
        """The prefix of its instances in the store."""
        return f"/{self.obj.metadata.name}/"


class Definitions:
    """All definitions of a store, kept in the catalog."""

    def __init__(self, registry: Registry, catalog: Catalog) -> None:
        self._registry = registry
        self._store = registry.store
        self._catalog = catalog
        self._known: dict[str, Known] = {}
        self._served: dict[str, Any] = {}
        self._ending: dict[str, asyncio.Task[None]] = {}
        self._revision = 0

    async def load(self) -> None:
        """Serves what the store has definitions of."""
        page = await self._store.range(CUSTOMRESOURCEDEFINITIONS.prefix)
        self._revision = page.revision
        there = {entry.key for entry in page.entries}
        for key in [key for key in self._known if key not in there]:
            self._forget(key)
        for entry in page.entries:
            self._learn(entry)

    async def run(self) -> None:
        """Follows the store until it is cancelled or the store is closed."""
        try:
            while True:
                try:
                    await self._follow()
                except (TooSlow, Compacted):
                    await self.load()
                except Failed as error:
                    log.warning("cannot follow the definitions of custom resources: %s", error)
                    await asyncio.sleep(RETRY_SECONDS)
                except Closed:
                    return
        finally:
            for task in self._ending.values():
                task.cancel()

    async def _follow(self) -> None:
        await self._settle(self._known)
        watch = self._store.watch(CUSTOMRESOURCEDEFINITIONS.prefix, self._revision)
        try:
            while True:
                events = await watch.next()
                for event in events:
                    known = self._known.get(event.key)
                    if known is not None and event.revision <= known.entry.revision:
                        # It is older than what this server has written itself since.
                        continue
                    if event.value is None:
                        self._forget(event.key)
                    else:
                        self._learn(Entry(event.key, event.value, event.revision))
                self._revision = watch.revision
                groups = {group_of(event.key) for event in events}
                await self._settle([key for key in self._known if group_of(key) in groups])
        finally:
            watch.close()

    def _learn(self, entry: Entry) -> None:
        """Takes note of a definition. One that cannot be read or served harms no other."""
        try:
            known = self._known[entry.key] = Known(entry)
            self._serve(known)
        except Exception:
            log.exception("cannot serve %s", entry.key)

    def _forget(self, key: str) -> None:
        known = self._known.pop(key, None)
        self._served.pop(key, None)
        if known is not None and not self._catalog.built_in(known.collection):
            self._catalog.drop(known.collection)

    def _serve(self, known: Known) -> None:
        """Serves an established definition, as it is now; what was served is left alone where nothing has changed."""
        obj, key = known.obj, known.entry.key
        if self._catalog.built_in(known.collection):
            return
        if condition(obj, "Established") != "True":
            # Served in advance, when this server lost the race to say so.
            if self._served.pop(key, None) is not None:
                self._catalog.drop(known.collection)
            return
        made_of = (obj.spec, obj.status.acceptedNames)
        if self._served.get(key) != made_of:
            self._served[key] = made_of
            self._catalog.put(family(obj, key))

    async def _settle(self, keys: Iterable[str]) -> None:
        for key in list(keys):
            known = self._known.get(key)
            if known is None:
                continue
            try:
                if known.obj.metadata.deletionTimestamp is not None:
                    self._end(known)
                else:
                    await self._accept(known)
            except (Closed, Failed):
                raise
            except Exception:
                log.exception("cannot decide upon %s", key)

    async def _accept(self, known: Known) -> None:
        """Decides upon names and writes what was decided; a lost race comes back as an event."""
        group = [one for one in self._known.values() if one.obj.spec.group == known.obj.spec.group]
        new = accepted(known.obj, [one.obj for one in group], self._catalog.built_in(known.collection))
        if new == known.obj:
            return
        # Whoever hears that it is established may ask for it at once.
        self._serve(Known(replace_value(known.entry, new)))
        conditions = [Condition(one.entry.key, one.entry.revision) for one in group]
        value = CUSTOMRESOURCEDEFINITIONS.model.stored(new)
        try:
            revision = await self._store.commit(conditions, [Change(known.entry.key, value)])
        except Conflict:
            return
        self._known[known.entry.key] = Known(Entry(known.entry.key, value, revision))

    def _end(self, known: Known) -> None:
        key = known.entry.key
        if CLEANUP not in known.obj.metadata.finalizers or key in self._ending:
            return
        task = asyncio.ensure_future(self._clean_up(known))
        self._ending[key] = task
        task.add_done_callback(lambda _: self._ending.pop(key, None))

    async def _clean_up(self, known: Known) -> None:
        """Deletes all instances, waits until they are gone, and lets the definition go."""
        name = known.obj.metadata.name
        while True:
            try:
                if condition(known.obj, "Established") == "True":
                    await self._remove_instances(known.collection)
                await self._registry.update(
                    CUSTOMRESOURCEDEFINITIONS, "", name, _let_go, subresource="metadata"
                )
                return
            except StatusError as error:
                if error.code == 404:
                    return
                log.warning("cannot remove the instances of %s yet: %s", name, error)
            except Failed as error:
                log.warning("cannot remove the instances of %s yet: %s", name, error)
            except Closed:
                return
            await asyncio.sleep(RETRY_SECONDS)

    async def _remove_instances(self, prefix: str) -> None:
        while True:
            page = await self._store.range(prefix)
            if not page.entries:
                return
            for start in range(0, len(page.entries), AT_ONCE):
                some = page.entries[start : start + AT_ONCE]
                await asyncio.gather(*(self._remove(entry.key) for entry in some))
            try:
                watch = self._store.watch(prefix, page.revision)
            except Compacted:  # there were so many that the first deletions are history, or forgotten
                continue
            try:
                await watch.next()
            except TooSlow:
                continue
            finally:
                watch.close()

    async def _remove(self, key: str) -> None:
        kind = self._catalog.keeper(key)
        if kind is None:
            return
        namespace, _, name = key[len(kind.prefix) :].rpartition("/")
        try:
            await deletion.delete(self._registry, kind, namespace, name, DeleteOptions())
        except StatusError as error:
            if error.code != 404:
                raise


async def _let_go(obj: Any) -> Any:
    kept = tuple(one for one in obj.metadata.finalizers if one != CLEANUP)
    return replace(obj, metadata=replace(obj.metadata, finalizers=kept))


def group_of(key: str) -> str:
    """The group in the key of a definition."""
    return key.rpartition("/")[2].partition(".")[2]


def replace_value(entry: Entry, obj: CustomResourceDefinition) -> Entry:
    """The entry with another object."""
    return Entry(entry.key, CUSTOMRESOURCEDEFINITIONS.model.stored(obj), entry.revision)


def accepted(
    obj: CustomResourceDefinition, group: Iterable[CustomResourceDefinition], taken: bool
) -> CustomResourceDefinition:
    """The definition with what is decided of its names, among those of its group. `taken`: a built-in kind has them.

    Upstream: calculateNamesAndConditions of naming_controller.go, and the establishing controller.
    """
    spec, own = obj.spec.names, obj.status.acceptedNames
    others = [one.status.acceptedNames for one in group if one.metadata.name != obj.metadata.name]
    resources = {name for one in others for name in (one.plural, one.singular, *one.shortNames)}
    kinds = {name for one in others for name in (one.kind, one.listKind)}
    names, conflicts = CustomResourceDefinitionNames(categories=spec.categories), list[tuple[str, str]]()
    for field, used in (("plural", resources), ("singular", resources), ("kind", kinds), ("listKind", kinds)):
        wanted = getattr(spec, field)
        if wanted in used or (taken and field == "plural"):
            conflicts.append((f"{field[0].upper()}{field[1:]}Conflict", f'"{wanted}" is already in use'))
            wanted = getattr(own, field)
        names = replace(names, **{field: wanted})
    if in_use := [name for name in spec.shortNames if name in resources]:
        said = ", ".join(f'"{name}" is already in use' for name in in_use)
        conflicts.append(("ShortNamesConflict", said if not in_use[1:] else f"[{said}]"))
        names = replace(names, shortNames=own.shortNames)
    else:
        names = replace(names, shortNames=spec.shortNames)
    reason, message = conflicts[-1] if conflicts else ("NoConflicts", "no conflicts found")
    new = replace(obj, status=replace(obj.status, acceptedNames=names))
    new = with_condition(new, _condition("NamesAccepted", not conflicts, reason, message))
    if protected(obj.spec.group):
        said_of, why = approval(obj)
        new = with_condition(new, _condition(CONFORMANT, said_of == APPROVED, said_of, why))
    if condition(obj, "Established") == "True":
        return new
    if conflicts:
        said = "not all names are accepted"
        return with_condition(new, _condition("Established", False, "NotAccepted", said))
    said = "the initial names have been accepted"
    return with_condition(new, _condition("Established", True, "InitialNamesAccepted", said))


def _condition(kind: str, holds: bool, reason: str, message: str) -> CustomResourceDefinitionCondition:
    return CustomResourceDefinitionCondition(
        type=kind,
        status="True" if holds else "False",
        lastTransitionTime=now(),
        reason=reason,
        message=message,
    )
