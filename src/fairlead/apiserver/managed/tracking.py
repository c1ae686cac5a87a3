"""What a write that is no apply does to `managedFields`: the writer gets what it changed, others lose it.

This runs on every write. A create costs one walk over the new object; an update one walk over what differs, and the
sets of those managers only that can own some of it.

Upstream: merge.Updater.Update, managedfieldsupdater.go, skipnonapplied.go, stripmeta.go.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from fairlead.apiserver.managed.comparison import Changes, compare
from fairlead.apiserver.managed.entries import (
    FIELDS_V1,
    Entries,
    capped,
    fields_of,
    identity,
    ordered,
    with_fields,
)
from fairlead.apiserver.managed.fieldsets import MEMBER, Fields, difference, encode, union, without
from fairlead.apiserver.managed.shapes import MapShape
from fairlead.objects.meta_v1 import ManagedFieldsEntry

Json = Any

STRIPPED = frozenset(
    {
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    }
)
"""The metadata that nobody manages (upstream: stripMeta)."""

STRIPPED_FIELDS: Fields = {
    "f:apiVersion": MEMBER,
    "f:kind": MEMBER,
    "f:metadata": {".": MEMBER, **{f"f:{name}": MEMBER for name in STRIPPED}},
}


def bare(document: dict[str, Json]) -> dict[str, Json]:
    """An object without what nobody manages."""
    found = {name: value for name, value in document.items() if name not in ("apiVersion", "kind")}
    metadata = document.get("metadata")
    if isinstance(metadata, dict):
        found["metadata"] = {name: value for name, value in metadata.items() if name not in STRIPPED}
    return found


def changes(old: dict[str, Json], new: dict[str, Json], shape: MapShape, reset: Fields) -> Changes:
    """What a write changes of an object, both `bare`, but for what this way of writing leaves as it was."""
    found = compare(old, new, shape)
    if reset:
        found.added = without(found.added, reset)
        found.modified = without(found.modified, reset)
        found.removed = without(found.removed, reset)
    return found


def updated(entries: Entries, found: Changes, writer: ManagedFieldsEntry) -> Entries:
    """The entries after an update by `writer`, an entry without fields; the very same object where nothing changes."""
    taken = union(found.added, found.modified)
    if not entries:
        if not taken:
            return entries
        return (replace(writer, fieldsType=FIELDS_V1, fieldsV1=Raw(encode(taken))),)
    touched = union(taken, found.removed)
    if not touched:
        return entries
    probe = _probe(touched)
    mine = identity(writer)
    kept: list[ManagedFieldsEntry] = []
    own: ManagedFieldsEntry | None = None
    for entry in entries:
        if identity(entry) == mine:
            own = entry
        elif probe not in bytes(entry.fieldsV1):
            kept.append(entry)
        else:
            kept += _left(entry, touched)
    if taken:
        kept.append(_grown(own, taken, found.removed, writer))
    elif own is not None:
        kept += _left(own, found.removed)
    return capped(ordered(kept))


def _grown(
    own: ManagedFieldsEntry | None, taken: Fields, removed: Fields, writer: ManagedFieldsEntry
) -> ManagedFieldsEntry:
    """The writer's entry with what it has taken."""
    if own is None:
        return replace(writer, fieldsType=FIELDS_V1, fieldsV1=Raw(encode(taken)))
    had = fields_of(own)
    fields = union(difference(had, removed), taken)
    if fields == had:
        return replace(own, time=writer.time)
    return with_fields(replace(own, time=writer.time), fields)


def _left(entry: ManagedFieldsEntry, touched: Fields) -> tuple[ManagedFieldsEntry, ...]:
    """The entry without what another has taken or removed; none where nothing is left."""
    had = fields_of(entry)
    fields = difference(had, touched)
    if fields is had:
        return (entry,)
    return (with_fields(entry, fields),) if fields else ()


def _probe(touched: Fields) -> bytes:
    """A piece of text that every FieldsV1 has that shares a field with the set; empty where there is no such."""
    piece = b""
    while len(touched) == 1:
        (name, below), *_ = touched.items()
        piece = msgspec.json.encode(name) + b":"
        touched = below
    return piece
