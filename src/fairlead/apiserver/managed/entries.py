"""The entries of `metadata.managedFields`: who manages a set of fields, and how.

Upstream: apimachinery/pkg/util/managedfields/internal/managedfields.go, capmanagers.go.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache

from msgspec import Raw
from msgspec.structs import replace

from fairlead.apiserver.managed.fieldsets import Fields, decode, encode, parse, union
from fairlead.objects.meta_v1 import ManagedFieldsEntry
from fairlead.objects.status import FieldError, invalid, too_long

Entries = tuple[ManagedFieldsEntry, ...]

APPLY, UPDATE = "Apply", "Update"
MAX_UPDATERS = 10
"""Entries of updates that are kept apart; the oldest ones beyond are joined (upstream: DefaultMaxUpdateManagers)."""
OLD_UPDATES = "ancient-changes"
BEFORE_FIRST_APPLY = "before-first-apply"
MAX_NAME = 128
MAX_SUBRESOURCE = 256
FIELDS_V1 = "FieldsV1"

Identity = tuple[str, str, str, str]
"""What tells entries apart: operation, manager, subresource, and of updates the version."""


def identity(entry: ManagedFieldsEntry) -> Identity:
    """By what an entry is found again."""
    version = entry.apiVersion if entry.operation == UPDATE else ""
    return entry.operation, entry.manager, entry.subresource, version


def fields_of(entry: ManagedFieldsEntry) -> Fields:
    """The set of an entry that is stored."""
    return decode(bytes(entry.fieldsV1))


def with_fields(entry: ManagedFieldsEntry, fields: Fields) -> ManagedFieldsEntry:
    """The entry with another set."""
    return replace(entry, fieldsV1=Raw(encode(fields)))


def ordered(entries: Iterable[ManagedFieldsEntry]) -> Entries:
    """The entries in upstream's order: Apply before Update, then by time, manager, version, subresource."""
    found = tuple(entries)
    return found if len(found) < 2 else tuple(sorted(found, key=_place))


def _place(entry: ManagedFieldsEntry) -> tuple[str, str | float, str, str, str]:
    return entry.operation, _seconds(entry.time), entry.manager, entry.apiVersion, entry.subresource


@lru_cache(maxsize=256)
def _seconds(time: str | None) -> float:
    """A moment as seconds; 0 for none, and for text that is none."""
    if not time:
        return 0
    try:
        return int(datetime.fromisoformat(time.upper()).timestamp())
    except (ValueError, OverflowError):
        return 0


def timeless(entries: Entries) -> list[tuple[Identity, str, Raw]]:
    """The entries as far as they say who manages what."""
    return [(identity(entry), entry.apiVersion, entry.fieldsV1) for entry in entries]


def capped(entries: Entries) -> Entries:
    """The entries with the oldest updates joined, by version, where there are too many."""
    if len(entries) <= MAX_UPDATERS:
        return entries
    updates = [entry for entry in entries if entry.operation == UPDATE]
    excess = len(updates) - MAX_UPDATERS
    if excess <= 0:
        return entries
    kept = {identity(entry): entry for entry in entries}
    updates.sort(key=lambda entry: (_seconds(entry.time), identity(entry)))
    first: dict[str, ManagedFieldsEntry] = {}
    for entry in updates:
        if excess <= 0:
            break
        if entry.apiVersion not in first:
            first[entry.apiVersion] = entry
            continue
        bucket = ManagedFieldsEntry(
            manager=OLD_UPDATES,
            operation=UPDATE,
            apiVersion=entry.apiVersion,
            time=entry.time,
            fieldsType=FIELDS_V1,
        )
        # The bucket may be the very entry that is at hand, or the first one of this version.
        there = kept.get(identity(bucket)) or kept.pop(identity(first[entry.apiVersion]))
        if identity(entry) != identity(bucket):
            kept.pop(identity(entry), None)
        kept[identity(bucket)] = with_fields(bucket, union(fields_of(there), fields_of(entry)))
        excess -= 1
    return ordered(kept.values())


def given(sent: Entries, live: Entries) -> Entries:
    """The entries that an update starts from: those it was sent with, the live ones where it has none that are right.

    One entry that is empty clears them all.
    """
    if not sent or sent == live:
        return live
    if len(sent) == 1 and sent[0] == ManagedFieldsEntry():
        return ()
    found: dict[Identity, ManagedFieldsEntry] = {}
    for entry in sent:
        if entry.operation not in (APPLY, UPDATE) or not entry.apiVersion or entry.fieldsType != FIELDS_V1:
            return live
        try:
            fields = parse(bytes(entry.fieldsV1))
        except ValueError:
            return live
        found[identity(entry)] = with_fields(entry, fields)
    return ordered(found.values())


def validate_entries(entries: Entries, path: str = "metadata.managedFields") -> list[FieldError]:
    """The errors in the entries that a body has."""
    errors: list[FieldError] = []
    if len(entries) == 1 and entries[0] == ManagedFieldsEntry():
        return errors
    for i, entry in enumerate(entries):
        at = f"{path}[{i}]"
        if entry.operation not in (APPLY, UPDATE):
            errors.append(invalid(f"{at}.operation", entry.operation, "must be `Apply` or `Update`"))
        if entry.fieldsType not in ("", FIELDS_V1):
            errors.append(invalid(f"{at}.fieldsType", entry.fieldsType, "must be `FieldsV1`"))
        errors += validate_manager(entry.manager, f"{at}.manager")
        if len(entry.subresource.encode()) > MAX_SUBRESOURCE:
            errors.append(too_long(f"{at}.subresource", MAX_SUBRESOURCE))
    return errors


def validate_manager(name: str, path: str) -> list[FieldError]:
    """The errors in the name of a manager."""
    errors: list[FieldError] = []
    if len(name.encode("utf-8", "surrogatepass")) > MAX_NAME:
        errors.append(too_long(path, MAX_NAME))
    for position, letter in enumerate(name):
        if not printable(letter):
            said = f"invalid character {_point(letter)} (at position {position})"
            errors.append(invalid(path, name, said))
    return errors


def printable(letter: str) -> bool:
    """Whether Go prints it: letters, marks, numbers, punctuation, symbols, and the space."""
    return letter == " " or unicodedata.category(letter)[0] in "LMNPS"


def _point(letter: str) -> str:
    return f"U+{ord(letter):04X}"


def manager_of(parameter: str, user_agent: str) -> str:
    """The name of a writer: what it says, else its program's name. Upstream: managerOrUserAgent."""
    if parameter:
        return parameter
    program = user_agent.partition("/")[0]
    if program.isascii() and program.isprintable() and len(program) <= MAX_NAME:
        return program or "unknown"
    found, size = "", 0
    for letter in program:
        if printable(letter):
            size += len(letter.encode("utf-8", "surrogatepass"))
            if size > MAX_NAME:
                break
            found += letter
    return found or "unknown"
