"""Server-side apply: a configuration merged into an object, fields given up pruned, conflicts found.

Upstream: merge.Updater.Apply, managedfields/internal/conflict.go, lastappliedmanager.go, lastappliedupdater.go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from fairlead.apiserver.managed.comparison import compare, field_set
from fairlead.apiserver.managed.entries import (
    APPLY,
    BEFORE_FIRST_APPLY,
    FIELDS_V1,
    UPDATE,
    Entries,
    fields_of,
    identity,
    ordered,
    with_fields,
)
from fairlead.apiserver.managed.fieldsets import (
    Fields,
    difference,
    encode,
    intersection,
    path_text,
    paths,
    union,
    without,
)
from fairlead.apiserver.managed.merging import errors_of, merged, removed, with_named_members
from fairlead.apiserver.managed.shapes import MapShape
from fairlead.apiserver.managed.tracking import STRIPPED_FIELDS, bare, updated
from fairlead.objects.meta_v1 import ManagedFieldsEntry
from fairlead.objects.metadata import validate_annotations

Json = Any

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
KUBECTL = "kubectl"
"""The manager whose applies take over what kubectl applied from the client's side."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """A field that another manages with another value."""

    entry: ManagedFieldsEntry
    path: tuple[str, ...]

    @property
    def manager(self) -> str:
        """The other, as messages have it."""
        text = _quoted(self.entry.manager)
        if self.entry.subresource:
            text += f" with subresource {_quoted(self.entry.subresource)}"
        return f"{text} using {self.entry.apiVersion}" if self.entry.operation == UPDATE else text


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()


class Conflicts(Exception):
    """An apply that would take fields from others."""

    def __init__(self, conflicts: tuple[Conflict, ...]) -> None:
        super().__init__(message(conflicts))
        self.conflicts = conflicts


def message(conflicts: tuple[Conflict, ...]) -> str:
    """The sentence about conflicts, by manager."""
    if len(conflicts) == 1:
        (one,) = conflicts
        return f"Apply failed with 1 conflict: conflict with {one.manager}: {path_text(one.path)}"
    by_manager: dict[str, list[str]] = {}
    for one in conflicts:
        by_manager.setdefault(one.manager, []).append(f"- {path_text(one.path)}")
    lines: list[str] = []
    for manager in sorted(by_manager):
        lines += [f"conflicts with {manager}:", *by_manager[manager]]
    return f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines)


class BadConfiguration(ValueError):
    """A configuration that does not have the form of its type. The message has every error."""


@dataclass(frozen=True, slots=True)
class Applied:
    """An object after an apply, with its entries."""

    document: dict[str, Json]
    entries: Entries


def apply(
    live: dict[str, Json],
    config: dict[str, Json],
    shape: MapShape,
    entries: Entries,
    applier: ManagedFieldsEntry,
    *,
    force: bool = False,
    reset: Fields | None = None,
) -> Applied:
    """The live object (without managedFields) with the configuration of `applier`, an entry without fields, applied.

    `reset` has the fields that this way of writing leaves as they are. Raises `BadConfiguration` and `Conflicts`.
    """
    if errors := errors_of(config, shape):
        raise BadConfiguration(errors[0] if len(errors) == 1 else "\n  ".join(["errors:", *errors]))
    if not entries and live.get("metadata", {}).get("uid"):
        entries = _before_first_apply(live, shape, applier, reset or {})
    try:
        applied = _apply(live, config, shape, entries, applier, force=force, reset=reset or {})
    except Conflicts as error:
        if applier.manager != KUBECTL:
            raise
        allowed = _applied_by_client(live, shape, applier.apiVersion)
        left = tuple(one for one in error.conflicts if not _among(one.path, allowed))
        if left:
            raise Conflicts(left) from None
        applied = _apply(live, config, shape, entries, applier, force=True, reset=reset or {})
    if applier.manager == KUBECTL and _last_applied(applied.document):
        return replace_last_applied(applied, config)
    return applied


def _before_first_apply(
    live: dict[str, Json], shape: MapShape, applier: ManagedFieldsEntry, reset: Fields
) -> Entries:
    """What an object without entries has belongs to those who wrote it before anyone kept account."""
    first = replace(applier, manager=BEFORE_FIRST_APPLY, operation=UPDATE)
    found = compare({"metadata": {}, "spec": {}, "status": {}}, bare(live), shape)
    found.removed = {}
    found.added = without(found.added, reset)
    found.modified = without(found.modified, reset)
    return updated((), found, first)


def _apply(
    live: dict[str, Json],
    config: dict[str, Json],
    shape: MapShape,
    entries: Entries,
    applier: ManagedFieldsEntry,
    *,
    force: bool,
    reset: Fields,
) -> Applied:
    mine = identity(applier)
    others = [entry for entry in entries if identity(entry) != mine]
    last = next((fields_of(entry) for entry in entries if identity(entry) == mine), {})
    fields = without(field_set(config, shape), reset)
    document = merged(live, config, shape)
    if last:
        document = _pruned(document, last, fields, others, shape)
    found = compare(bare(live), bare(document), shape)
    taken = without(union(found.added, found.modified), reset)
    gone = without(found.removed, reset)
    kept: list[ManagedFieldsEntry] = []
    conflicts: list[Conflict] = []
    for entry in others:
        had = fields_of(entry)
        conflicts += [Conflict(entry, path) for path in paths(intersection(had, taken))]
        left = difference(had, union(taken, gone))
        if left:
            kept.append(entry if left is had else with_fields(entry, left))
    if conflicts and not force:
        raise Conflicts(tuple(sorted(conflicts, key=lambda one: one.manager)))
    fields = difference(fields, STRIPPED_FIELDS)
    if fields:
        kept.append(replace(applier, fieldsType=FIELDS_V1, fieldsV1=Raw(encode(fields))))
    return Applied(document, ordered(kept))


def _pruned(
    document: dict[str, Json],
    last: Fields,
    fields: Fields,
    others: list[ManagedFieldsEntry],
    shape: MapShape,
) -> dict[str, Json]:
    """The object without what the applier had applied and applies no more, unless somebody else manages it."""
    everything = with_named_members(field_set(document, shape), shape)
    last = with_named_members(last, shape)
    owned = fields
    for entry in others:
        owned = union(owned, fields_of(entry))
    kept = with_named_members(owned, shape)

    def dropped(pruned: dict[str, Json]) -> Fields:
        return difference(everything, union(with_named_members(field_set(pruned, shape), shape), kept))

    # Of what the applier had, that comes back which somebody manages; then all else that it never had.
    pruned = removed(document, last, shape, owned)
    pruned = removed(document, dropped(pruned), shape, owned)
    result: dict[str, Json] = removed(document, intersection(dropped(pruned), last), shape, owned)
    return result


def _last_applied(document: dict[str, Json]) -> str:
    annotations = (document.get("metadata") or {}).get("annotations") or {}
    found = annotations.get(LAST_APPLIED)
    return found if isinstance(found, str) else ""


def _applied_by_client(live: dict[str, Json], shape: MapShape, api_version: str) -> Fields:
    """The fields that kubectl last applied from the client's side and that are still as it left them."""
    try:
        config = msgspec.json.decode(_last_applied(live).encode())
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return {}
    if not isinstance(config, dict) or config.get("apiVersion") != api_version or errors_of(config, shape):
        return {}
    found = compare(config, live, shape)
    changed = union(union(found.added, found.modified), found.removed)
    return difference(field_set(config, shape), changed)


def _among(path: tuple[str, ...], fields: Fields) -> bool:
    """Whether the field at a path is in a set."""
    node: Fields | None = fields
    for name in path:
        node = (node or {}).get(name) if node else None
        if node is None:
            return False
    return node is not None and (not node or "." in node)


def replace_last_applied(applied: Applied, config: dict[str, Json]) -> Applied:
    """Keeps kubectl's annotation in step, so that applying from the client's side again stays possible."""
    metadata = dict(config.get("metadata") or {})
    given = dict(metadata.get("annotations") or {})
    given.pop(LAST_APPLIED, None)
    if "annotations" in metadata:
        metadata["annotations"] = given
    text = msgspec.json.encode({**config, "metadata": metadata}, order="sorted").decode() + "\n"
    own = applied.document["metadata"]
    annotations = {**own["annotations"], LAST_APPLIED: text}
    if validate_annotations(annotations, ""):
        del annotations[LAST_APPLIED]
    document = {**applied.document, "metadata": {**own, "annotations": annotations}}
    return Applied(document, applied.entries)


__all__ = ["APPLY", "Applied", "BadConfiguration", "Conflict", "Conflicts", "apply"]
