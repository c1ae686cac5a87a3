"""Who writes an object, and which fields of it are theirs from then on.

A write hands its writer to the registry, which asks for the entries of `metadata.managedFields` once it knows what the
object will be. Writes of the server itself have no writer: they leave the entries as they are.
"""

from __future__ import annotations

from typing import Any, Protocol

from fairlead.apiserver.alterations import blank, changes, made, without_entries
from fairlead.apiserver.kind import Kind
from fairlead.apiserver.managed import entries as managed
from fairlead.apiserver.managed import tracking
from fairlead.apiserver.managed.applying import Applied, BadConfiguration, Conflicts, apply
from fairlead.apiserver.managed.comparison import Changes
from fairlead.apiserver.managed.entries import APPLY, UPDATE, Entries, manager_of, validate_manager
from fairlead.apiserver.managed.fieldsets import MEMBER, Fields, path_text
from fairlead.apiserver.metadata import now
from fairlead.apiserver.requests import Query
from fairlead.apiserver.strategies import Strategy
from fairlead.objects.meta_v1 import ManagedFieldsEntry, StatusCause, StatusDetails
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
        """All of the object but what the server adds. Cost: what differs from the last one of the kind."""
        found = Changes()
        found.added = made(kind, strategy.written(obj, given), resets(kind, strategy, ""))
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
        found = changes(kind, old, new, resets(kind, strategy, self._subresource))
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
        live = blank(kind)
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
