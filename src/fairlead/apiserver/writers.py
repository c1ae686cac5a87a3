"""Who writes an object, and which fields of it are theirs from then on.

A write hands its writer to the registry, which asks for the entries of `metadata.managedFields` once it knows what the
object will be. Writes of the server itself have no writer: they leave the entries as they are.
"""

from __future__ import annotations

from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from fairlead.apiserver.kinds import Kind
from fairlead.apiserver.managed import entries as managed
from fairlead.apiserver.managed import tracking
from fairlead.apiserver.managed.applying import Applied, BadConfiguration, Conflicts, apply
from fairlead.apiserver.managed.comparison import Changes
from fairlead.apiserver.managed.entries import APPLY, UPDATE, Entries, manager_of, validate_manager
from fairlead.apiserver.managed.fieldsets import MEMBER, Fields, path_text, union
from fairlead.apiserver.metadata import now
from fairlead.apiserver.models import Typed
from fairlead.apiserver.requests import Query
from fairlead.apiserver.strategies import Strategy
from fairlead.objects.meta_v1 import ManagedFieldsEntry, ObjectMeta, StatusCause, StatusDetails
from fairlead.objects.status import StatusError, bad_request, failure, required, unprocessable

Json = Any


class Writer(Protocol):
    """Who makes a write."""

    def made(self, kind: Kind, strategy: Strategy, obj: Any, given: Any) -> Entries:
        """The entries of a new object; `given` is what came in, `obj` what was made of it."""

    def changed(self, kind: Kind, strategy: Strategy, old: Any, new: Any, sent: Entries) -> Entries:
        """The entries of a changed object; `sent` are those that came with the change."""


class Updater:
    """Whoever creates, updates or patches: what they change is theirs."""

    def __init__(self, manager: str, subresource: str = "") -> None:
        self._manager = manager
        self._subresource = subresource

    def _entry(self, kind: Kind) -> ManagedFieldsEntry:
        return ManagedFieldsEntry(
            manager=self._manager,
            operation=UPDATE,
            apiVersion=kind.resource.api_version,
            time=now(),
            subresource=self._subresource,
        )

    def made(self, kind: Kind, strategy: Strategy, obj: Any, given: Any) -> Entries:
        """All of the object but what the server adds. Cost: one walk over it, some 25 us for a usual pod.

        Objects made of one template come one after the other: of a spec that equals the last one, the fields are known.
        """
        found = Changes()
        found.added = _made(kind, strategy.written(obj, given), resets(kind, strategy, ""))
        return tracking.updated((), found, self._entry(kind))

    def changed(self, kind: Kind, strategy: Strategy, old: Any, new: Any, sent: Entries) -> Entries:
        """What differs is the writer's. Cost: a walk over what differs, and the sets of those that lose something."""
        live: Entries = old.metadata.managedFields
        if not self._subresource and sent:
            start = managed.given(sent, live)
        else:
            start = live
        if not start:
            # Nobody keeps account of this object, until somebody applies (upstream: skipNonAppliedManager).
            return start
        found = _changes(kind, old, new, resets(kind, strategy, self._subresource))
        return tracking.updated(start, found, self._entry(kind))


class Applier:
    """Whoever applies: the fields that they name are theirs."""

    def __init__(self, manager: str, subresource: str = "", *, force: bool = False) -> None:
        self._manager = manager
        self._subresource = subresource
        self._force = force
        self._entries: Entries = ()

    def apply(
        self, kind: Kind, strategy: Strategy, old: Any | None, config: dict[str, Json]
    ) -> dict[str, Json]:
        """The object, with the configuration applied; keeps its entries for the registry. Raises 400 and 409."""
        entries: Entries = ()
        live = dict(blank(kind))
        if old is not None:
            entries = old.metadata.managedFields
            live = kind.model.document(without_entries(old))
        applied = self._applied(kind, strategy, live, config, entries)
        self._entries = applied.entries
        return applied.document

    def _applied(
        self, kind: Kind, strategy: Strategy, live: dict[str, Json], config: dict[str, Json], entries: Entries
    ) -> Applied:
        applier = ManagedFieldsEntry(
            manager=self._manager,
            operation=APPLY,
            apiVersion=kind.resource.api_version,
            time=now(),
            subresource=self._subresource,
        )
        try:
            return apply(
                live,
                config,
                kind.shape,
                entries,
                applier,
                force=self._force,
                reset=resets(kind, strategy, self._subresource),
            )
        except BadConfiguration as error:
            metadata = config.get("metadata")
            named = metadata if isinstance(metadata, dict) else {}
            place = f"{named.get('namespace', '')}/{named.get('name', '')}"
            of = f"{kind.resource.api_version if kind.resource.group else '/v1'}, Kind={kind.resource.kind}"
            raise bad_request(f"failed to create typed patch object ({place}; {of}): {error}") from None
        except Conflicts as error:
            raise refused(error) from None

    def made(self, kind: Kind, strategy: Strategy, obj: Any, given: Any) -> Entries:
        """Those of the apply."""
        return self._entries

    def changed(self, kind: Kind, strategy: Strategy, old: Any, new: Any, sent: Entries) -> Entries:
        """Those of the apply."""
        return self._entries


def refused(error: Conflicts) -> StatusError:
    """409: others manage some of the fields. Upstream: errors.NewApplyConflict."""
    causes = tuple(
        StatusCause(
            reason="FieldManagerConflict", message=f"conflict with {one.manager}", field=path_text(one.path)
        )
        for one in error.conflicts
    )
    return failure(409, "Conflict", str(error), details=StatusDetails(causes=causes))


def resets(kind: Kind, strategy: Strategy, subresource: str) -> Fields:
    """The fields that a way of writing leaves as they were, so that it can own none of them."""
    if subresource == "status":
        return dict(strategy.status_resets)
    return _STATUS if kind.status and not subresource else {}


_STATUS: Fields = {"f:status": MEMBER}
_BLANKS: dict[type[Any], dict[str, Json]] = {}


def blank(kind: Kind) -> dict[str, Json]:
    """An object of a kind before anything is put into it: the parts that Go always writes are there, and empty."""
    if not isinstance(kind.model, Typed):
        return {"metadata": {}}
    of = kind.resource.type
    found = _BLANKS.get(of)
    if found is None:
        found = _BLANKS[of] = tracking.bare(kind.model.document(of()))
    return found


def without_entries(obj: Any) -> Any:
    """The object without `managedFields`."""
    metadata = obj.metadata
    return replace(obj, metadata=replace(metadata, managedFields=())) if metadata.managedFields else obj


_BARE_METADATA: dict[str, Any] = {
    name: field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    for field in msgspec.structs.fields(ObjectMeta)
    for name in (field.name,)
    if field.encode_name in tracking.STRIPPED
}


def _bare(metadata: ObjectMeta) -> ObjectMeta:
    """Metadata without what nobody manages."""
    return replace(metadata, **_BARE_METADATA)


class _Last(msgspec.Struct, frozen=True, gc=False):
    """The spec of the last new object of a kind, with its fields."""

    spec: Any
    fields: Fields


_LAST: dict[type[Any], _Last] = {}


def _made(kind: Kind, obj: Any, reset: Fields) -> Fields:
    """The fields of a new object."""
    before = blank(kind)
    if not isinstance(kind.model, Typed):
        return _taken(tracking.changes(before, tracking.bare(kind.model.document(obj)), kind.shape, reset))
    of, after, known = kind.resource.type, {}, None
    for part in parts(of):
        if reset.get(f"f:{part.name}") == MEMBER:
            continue
        value = getattr(obj, part.field)
        if part.field == "metadata":
            value = _bare(value)
        elif part.field == "spec" and (last := _LAST.get(of)) is not None and last.spec == value:
            known = last.fields
            continue
        if not part.absent(value):
            after[part.name] = msgspec.to_builtins(value)
    before = {name: value for name, value in before.items() if name in after}
    taken = _taken(tracking.changes(before, after, kind.shape, reset))
    if known is not None:
        return {**taken, "f:spec": known} if known else taken
    if "spec" in after:
        _LAST[of] = _Last(obj.spec, taken.get("f:spec", {}))
    return taken


def _taken(found: Changes) -> Fields:
    return union(found.added, found.modified)


class Part(msgspec.Struct, frozen=True, gc=False):
    """A part of an object, such as its spec."""

    field: str
    name: str
    """What JSON calls it."""
    default: Any
    """The value that is not written; none where every value is."""

    def absent(self, value: Any) -> bool:
        """What msgspec leaves out: a value that is the default, and an empty map."""
        return value is self.default or (isinstance(value, dict) and not value)


_PARTS: dict[type[Any], tuple[Part, ...]] = {}


def parts(of: type[Any]) -> tuple[Part, ...]:
    """The parts of the objects of a type that can be managed; made once."""
    found = _PARTS.get(of)
    if found is None:
        found = _PARTS[of] = tuple(
            Part(field.name, field.encode_name, field.default)
            for field in msgspec.structs.fields(of)
            if field.name not in ("kind", "apiVersion")
        )
    return found


def _changes(kind: Kind, old: Any, new: Any, reset: Fields) -> Changes:
    """What differs between two objects; parts that are equal are not looked into."""
    if not isinstance(kind.model, Typed):
        documents = [tracking.bare(kind.model.document(without_entries(obj))) for obj in (old, new)]
        return tracking.changes(documents[0], documents[1], kind.shape, reset)
    before: dict[str, Json] = {}
    after: dict[str, Json] = {}
    for part in parts(kind.resource.type):
        one, other = getattr(old, part.field), getattr(new, part.field)
        if one is other or reset.get(f"f:{part.name}") == MEMBER:
            continue
        if part.field == "metadata":
            one, other = _bare(one), _bare(other)
        if one == other:
            continue
        for value, into in ((one, before), (other, after)):
            if not part.absent(value):
                into[part.name] = msgspec.to_builtins(value)
    if not before and not after:
        return Changes()
    return tracking.changes(before, after, kind.shape, reset)


def updater(query: Query, user_agent: str, options: str, subresource: str = "") -> Updater:
    """The writer of a create, update or patch. Raises 422 for a name that nobody may have."""
    name = query.text("fieldManager")
    if name and (errors := validate_manager(name, "fieldManager")):
        raise unprocessable(options, "", errors, "meta.k8s.io")
    return Updater(manager_of(name, user_agent), subresource)


def applier(query: Query, subresource: str = "") -> Applier:
    """The writer of an apply. Raises 422 where it does not say its name."""
    name = query.text("fieldManager")
    errors = [] if name else [required("fieldManager", "is required for apply patch")]
    if errors := errors + validate_manager(name, "fieldManager"):
        raise unprocessable("PatchOptions", "", errors, "meta.k8s.io")
    return Applier(name, subresource, force=query.flag("force"))
