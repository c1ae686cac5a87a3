"""Objects in the store: created, changed, read, each write a transaction on what it was decided upon.

Upstream: apiserver/pkg/registry/generic/registry/store.go.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from fairlead.apiserver.answers import decoded
from fairlead.apiserver.aside import aside
from fairlead.apiserver.kind import Kind
from fairlead.apiserver.kinds import NAMESPACES
from fairlead.apiserver.managed.entries import Entries, timeless, validate_entries
from fairlead.apiserver.metadata import created, generate_name
from fairlead.apiserver.strategies import Claim, Strategy
from fairlead.apiserver.writers import Writer
from fairlead.objects.core_v1 import Namespace
from fairlead.objects.meta_v1 import Preconditions, StatusCause, StatusDetails
from fairlead.objects.metadata import inherit
from fairlead.objects.status import (
    FieldError,
    StatusError,
    already_exists,
    bad_request,
    conflict,
    failure,
    invalid,
    not_found,
    unprocessable,
)
from fairlead.store import Change, Condition, Conflict, Entry, Store

MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"
GENERATED_TRIES = 8

Modify = Callable[[Any | None], Awaitable[Any]]
"""Makes the new object of the one that stands in the store (None: there is none); called again after a lost race."""


class Written(msgspec.Struct, gc=False):
    """An object after a write."""

    value: bytes
    revision: int
    made: bool = False
    warnings: Sequence[str] = ()
    """What its writer should know."""


class Admission(Protocol):
    """Who may write what is asked for; both raise 403."""

    def may_create(self, kind: Kind, namespace: str, name: str) -> None:
        """Of a PUT or an apply that finds no object."""

    def admit(
        self, operation: str, kind: Kind, subresource: str, name: str, obj: Any | None, old: Any | None
    ) -> None:
        """Of every write: what was sent (None: a deletion), and what stands (None: a creation).

        Of the creation of a part: what was sent, and the pod that it is about.
        """


class Registry:
    """The objects of all kinds in one store.

    `admission` is asked before anything is written for somebody.
    """

    def __init__(
        self,
        store: Store,
        strategies: Mapping[Kind, Strategy],
        admission: Admission | None = None,
    ) -> None:
        self.store = store
        self._strategies = strategies
        self.admission = admission

    def strategy(self, kind: Kind) -> Strategy:
        """How objects of a kind are written."""
        return self._strategies.get(kind, kind.strategy)

    async def get(self, kind: Kind, namespace: str, name: str) -> Entry:
        """A stored object. Raises 404."""
        entry = await self.store.get(kind.key(namespace, name))
        if entry is None:
            raise not_found(kind.plural, name, kind.resource.group)
        return entry

    async def create(
        self, kind: Kind, namespace: str, obj: Any, *, writer: Writer | None = None, dry_run: bool = False
    ) -> Written:
        """Stores a new object. Raises 404, 403, 409 or 422."""
        metadata = obj.metadata
        if metadata.resourceVersion:
            raise bad_request("resourceVersion should not be set on objects to be created")
        generated = not metadata.name and bool(metadata.generateName)
        for attempt in range(GENERATED_TRIES):
            name = generate_name(metadata.generateName) if generated else metadata.name
            filled = created(
                replace(
                    metadata,
                    name=name,
                    namespace=namespace if kind.resource.namespaced else metadata.namespace,
                ),
                generation=1 if kind.generation else 0,
            )
            try:
                return await self._insert(kind, replace(obj, metadata=filled), writer, dry_run)
            except StatusError as error:
                if error.reason != "AlreadyExists" or not generated or attempt == GENERATED_TRIES - 1:
                    raise
        raise AssertionError("unreachable")

    async def _insert(self, kind: Kind, given: Any, writer: Writer | None, dry_run: bool) -> Written:
        strategy, rules, resource = self.strategy(kind), kind.model.rules, kind.resource
        name, namespace = given.metadata.name, given.metadata.namespace
        if self.admission is not None:
            self.admission.admit("CREATE", kind, "", name, given, None)
        key = kind.key(namespace, name)
        obj = rules.default(strategy.prepare_create(given))
        if writer is not None:
            obj = with_entries(obj, writer.made(kind, strategy, obj, given))
        while True:
            conditions = [Condition(key, 0)]
            if resource.namespaced:
                conditions.append(await self._namespace(kind, namespace, name))
            if name and (existing := await self.store.get(key)) is not None:
                raise exists(kind, name, existing)
            claim = await strategy.claim(self.store, obj, None, dry_run=dry_run)
            if errors := await judged(kind, claim.obj, rules.validate, claim.obj):
                raise unprocessable(resource.kind, name, errors, resource.group)
            value, warnings = kind.model.stored(claim.obj), rules.warnings(claim.obj)
            if dry_run:
                return Written(value, 0, True, warnings)
            try:
                revision = await self.store.commit(
                    [*conditions, *claim.conditions], [Change(key, value), *claim.changes]
                )
            except Conflict:
                continue
            return Written(value, revision, True, warnings)

    @staticmethod
    def _changed(kind: Kind, entry: Entry, new: Any, entries: Entries) -> bytes:
        """What is to be stored: what there is already, where only the times of entries differ."""
        kept = new.metadata.managedFields
        if entries is kept:
            return kind.model.stored(new)
        alike = len(entries) == len(kept) and timeless(entries) == timeless(kept)
        if alike and kind.model.stored(new) == entry.value:
            return entry.value
        return kind.model.stored(with_entries(new, entries))

    async def _namespace(self, kind: Kind, namespace: str, name: str) -> Condition:
        """The condition that the namespace is still as it is now. Raises 404 without one, 403 if it is going away."""
        entry = await self.store.get(NAMESPACES.key("", namespace))
        if entry is None:
            raise not_found("namespaces", namespace)
        if b'"deletionTimestamp"' in entry.value:
            found = decoded(NAMESPACES, entry.value, entry.revision)
            if found.metadata.deletionTimestamp is not None:
                raise terminating(kind, namespace, name)
        return Condition(entry.key, entry.revision)

    async def update(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        modify: Modify,
        *,
        writer: Writer | None = None,
        subresource: str = "",
        dry_run: bool = False,
        creates: bool = False,
    ) -> Written:
        """Stores what `modify` makes of an object. Raises 404, 409 or 422; lost races are run again.

        A change that changes nothing is not written. `creates` makes an object where there was none. Subresources
        without rules answer for what they make of the object: it is neither defaulted nor validated.
        """
        strategy, rules, resource = self.strategy(kind), kind.model.rules, kind.resource
        key = kind.key(namespace, name)
        while True:
            entry = await self.store.get(key)
            if entry is None:
                if not creates:
                    raise not_found(kind.plural, name, resource.group)
                new = await modify(None)
                check_uid(kind, name, new.metadata.uid, "")
                if new.metadata.resourceVersion not in ("", "0"):
                    raise not_found(kind.plural, name, resource.group)
                new = replace(new, metadata=replace(new.metadata, resourceVersion=""))
                if self.admission is not None:
                    self.admission.may_create(kind, namespace, name)
                try:
                    return await self.create(kind, namespace, new, writer=writer, dry_run=dry_run)
                except StatusError as error:
                    if error.reason != "AlreadyExists":
                        raise
                    continue
            old = decoded(kind, entry.value, entry.revision)
            new = await modify(old)
            if self.admission is not None:
                self.admission.admit("UPDATE", kind, subresource, name, new, old)
            check_version(kind, name, new.metadata.resourceVersion, entry.revision, update=True)
            check_uid(kind, name, new.metadata.uid, old.metadata.uid)
            metadata = replace(
                inherit(new.metadata, old.metadata),
                resourceVersion=str(entry.revision),
                generation=old.metadata.generation,
            )
            kept, sent = old.metadata.managedFields, metadata.managedFields
            new = replace(new, metadata=replace(metadata, managedFields=kept))
            claim: Claim | None = None
            errors: list[FieldError] = []
            entries: Entries = kept
            changed = partial(account, writer, kind, strategy, old, sent)
            if subresource == "status":
                new = rules.default_status(strategy.prepare_status(new, old))
                entries = changed(new)
                errors = await judged(kind, new, rules.validate_status, new, old)
            elif not subresource:
                new = rules.default(strategy.prepare_update(new, old))
                entries = changed(new)
                claim = await strategy.claim(self.store, new, old, dry_run=dry_run)
                new = counted(kind, strategy, claim.obj, old)
                errors = await judged(kind, new, rules.validate, new, old)
            elif (part := rules.parts.get(subresource)) is not None:
                new = counted(kind, strategy, rules.default(part.prepare(new, old)), old)
                entries = changed(new)
                errors = part.validate(new, old)
            if sent and sent != kept:
                errors = [*errors, *validate_entries(entries)]
            if errors:
                raise unprocessable(resource.kind, name, errors, resource.group)
            warnings = () if subresource else rules.warnings(new)
            value = self._changed(kind, entry, new, entries)
            if value == entry.value:
                return Written(value, entry.revision, warnings=warnings)
            changes = [Change(key, value)]
            conditions = [Condition(key, entry.revision)]
            if claim is not None:
                changes += claim.changes
                conditions += claim.conditions
            if finished(new):
                released = await strategy.release(self.store, old)
                changes = [Change(key, None), *released.changes]
                conditions = [conditions[0], *released.conditions]
            if dry_run:
                return Written(value, entry.revision, warnings=warnings)
            try:
                revision = await self.store.commit(conditions, changes)
            except Conflict:
                continue
            return Written(value, revision, warnings=warnings)


async def judged(
    kind: Kind, obj: Any, judge: Callable[..., list[FieldError]], *objects: Any
) -> list[FieldError]:
    """What is wrong with an object; found out beside other requests where that may take long."""
    if not kind.heavy(obj):
        return judge(*objects)
    return await aside(True, partial(judge, *objects))


def counted(kind: Kind, strategy: Strategy, new: Any, old: Any) -> Any:
    """The object with the next generation, where its spec has changed."""
    if not kind.generation or strategy.spec(new) == strategy.spec(old):
        return new
    return replace(new, metadata=replace(new.metadata, generation=old.metadata.generation + 1))


def account(
    writer: Writer | None, kind: Kind, strategy: Strategy, old: Any, sent: Entries, new: Any
) -> Entries:
    """The entries after a change; those that there are, where the server itself makes it."""
    if writer is None:
        kept: Entries = old.metadata.managedFields
        return kept
    return writer.changed(kind, strategy, old, new, sent)


def with_entries(obj: Any, entries: Entries) -> Any:
    """The object with other `managedFields`."""
    return replace(obj, metadata=replace(obj.metadata, managedFields=entries))


def finished(obj: Any) -> bool:
    """Whether nothing holds a deleted object any more."""
    metadata = obj.metadata
    if metadata.deletionTimestamp is None or metadata.finalizers or metadata.deletionGracePeriodSeconds:
        return False
    return not isinstance(obj, Namespace) or not obj.spec.finalizers


def exists(kind: Kind, name: str, entry: Entry) -> StatusError:
    """409: the name is taken, perhaps by an object on its way out."""
    error = already_exists(kind.plural, name, kind.resource.group)
    old = decoded(kind, entry.value, entry.revision)
    if old.metadata.deletionTimestamp is None:
        return error
    message = f"object is being deleted: {error.status.message}"
    return failure(409, "AlreadyExists", message, details=error.status.details)


def terminating(kind: Kind, namespace: str, name: str) -> StatusError:
    """403: the namespace is being deleted."""
    why = f"unable to create new content in namespace {namespace} because it is being terminated"
    cause = StatusCause(reason="NamespaceTerminating", message=f"namespace {namespace} is being terminated")
    return failure(
        403,
        "Forbidden",
        f'{kind.qualified} "{name}" is forbidden: {why}',
        details=StatusDetails(
            name=name,
            group=kind.resource.group,
            kind=kind.plural,
            causes=(replace(cause, field="metadata.namespace"),),
        ),
    )


def check_version(kind: Kind, name: str, given: str, revision: int, *, update: bool = False) -> None:
    """Raises 409 where the resourceVersion given is not the current one, 422 where it has to be given and is not."""
    if given in ("", "0"):
        if update and not kind.unconditional_update:
            error: FieldError = invalid("metadata.resourceVersion", 0, "must be specified for an update")
            raise unprocessable(kind.resource.kind, name, [error], kind.resource.group)
        return
    if not given.isdecimal():
        error = invalid(
            "metadata.resourceVersion", given, f'strconv.ParseUint: parsing "{given}": invalid syntax'
        )
        raise unprocessable(kind.resource.kind, name, [error], kind.resource.group)
    if int(given) != revision:
        raise conflict(kind.plural, name, MODIFIED, kind.resource.group)


def check_uid(kind: Kind, name: str, given: str, actual: str) -> None:
    """Raises 409 where the uid given is not the object's."""
    if given and given != actual:
        message = (
            f"StorageError: invalid object, Code: 4, Key: {kind.key('', name)}, ResourceVersion: 0, "
            f"AdditionalErrorMsg: Precondition failed: UID in precondition: {given}, UID in object meta: {actual}"
        )
        raise conflict(kind.plural, name, message, kind.resource.group)


def check_preconditions(kind: Kind, obj: Any, revision: int, wanted: Preconditions | None) -> None:
    """Raises 409 where an object is not the one that a deletion is for."""
    if wanted is None:
        return
    name, group = obj.metadata.name, kind.resource.group
    if wanted.uid and wanted.uid != obj.metadata.uid:
        said = f"the UID in the precondition ({wanted.uid}) does not match the UID in record ({obj.metadata.uid})."
        raise conflict(
            kind.plural, name, f"{said} The object might have been deleted and then recreated", group
        )
    if wanted.resourceVersion and wanted.resourceVersion != str(revision):
        said = (
            f"the ResourceVersion in the precondition ({wanted.resourceVersion}) does not match the ResourceVersion "
            f"in record ({revision})."
        )
        raise conflict(kind.plural, name, f"{said} The object might have been modified", group)
