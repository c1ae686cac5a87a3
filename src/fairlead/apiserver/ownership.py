"""Who owns whom among stored objects, kept up with the store's events."""

from __future__ import annotations

import msgspec

from fairlead.objects.codec import decoder
from fairlead.objects.meta_v1 import OwnerReference


class Facts(msgspec.Struct, gc=False):
    """What is read of every object."""

    class Metadata(msgspec.Struct, gc=False):
        """Of the metadata, what decides over collection."""

        uid: str = ""
        deletionTimestamp: str | None = None
        finalizers: tuple[str, ...] = ()
        ownerReferences: tuple[OwnerReference, ...] = ()

    metadata: Metadata


UID = b'"uid":"'
"""What stands before the uid of a stored object: the first of all that may stand in it."""


def facts(value: bytes) -> Facts.Metadata:
    """The facts of a stored object."""
    return decoder(Facts).decode(value).metadata


def tied(value: bytes) -> bool:
    """Whether a stored object may have owners, or be on its way out. Two searches in its text."""
    return b'"ownerReferences"' in value or b'"deletionTimestamp"' in value


def unowned(value: bytes) -> Facts.Metadata:
    """The facts of a stored object that is not `tied`, nor held by anything that matters: its uid.

    Three searches in its text: before the uid there are only the names, which have neither quotes nor braces.
    """
    start = value.find(UID)
    if start < 0 or value.count(b"{", 0, start) != 2:
        return facts(value)
    start += len(UID)
    uid = value[start : value.find(b'"', start)]
    return Facts.Metadata(uid=uid.decode()) if b"\\" not in uid else facts(value)


class Ownership:
    """The keys of objects by uid, and of dependents by the uid of their owner."""

    def __init__(self) -> None:
        self._keys: dict[str, str] = {}
        self._facts: dict[str, tuple[str, tuple[str, ...]]] = {}
        self._dependents: dict[str, set[str]] = {}
        self._gone: set[str] = set()

    def put(self, key: str, of: Facts.Metadata) -> None:
        """An object was written."""
        owners = tuple(owner.uid for owner in of.ownerReferences)
        before = self._facts.get(key)
        if before == (of.uid, owners):
            return
        if before is not None:
            self.drop(key)
            self._gone.discard(of.uid)
        self._facts[key] = (of.uid, owners)
        self._keys[of.uid] = key
        for owner in owners:
            self._dependents.setdefault(owner, set()).add(key)

    def drop(self, key: str) -> tuple[str, tuple[str, ...]]:
        """An object was removed; gives its uid and those of its owners."""
        uid, owners = self._facts.pop(key, ("", ()))
        if self._keys.get(uid) == key:
            del self._keys[uid]
        for owner in owners:
            there = self._dependents.get(owner)
            if there is not None:
                there.discard(key)
                if not there:
                    del self._dependents[owner]
                    self._gone.discard(owner)
        if uid in self._dependents:
            self._gone.add(uid)
        return uid, owners

    def owned(self, key: str) -> bool:
        """Whether an object has owners, as far as is known."""
        return bool(self._facts.get(key, ("", ()))[1])

    def key(self, uid: str) -> str | None:
        """Where the object of a uid is; None when there is none."""
        return self._keys.get(uid)

    def gone(self, uid: str) -> bool:
        """Whether the object of a uid was seen to be removed, and there are dependents of it still."""
        return uid in self._gone

    def dependents(self, uid: str) -> list[str]:
        """The keys of what an object owns."""
        return sorted(self._dependents.get(uid, ()))
