"""An informer's objects, with those of our own writes that it has not seen yet.

An informer lags behind the answers to our writes by the time that a watch event takes. A plan that is made in
between must not create a slice a second time, and need not wait either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from fairlead.client.informer import Change, Informer, key_of, version_of
from fairlead.objects.resources import Stored

T = TypeVar("T", bound=Stored)


@dataclass(frozen=True)
class _Ahead(Generic[T]):
    """A write that the informer has not seen: the object as the server answered it; None if it was deleted."""

    version: int
    uid: str
    obj: T | None


class Written(Generic[T]):
    """The objects of an informer in groups, never older than what we wrote.

    `group` says to which group an object belongs (None: it is not ours); `changed` is called with the group
    whenever somebody else changed, made or deleted one of its objects.
    """

    def __init__(
        self,
        name: str,
        informer: Informer[T],
        group: Callable[[T], str | None],
        changed: Callable[[str], None],
    ) -> None:
        self._name = name
        self._informer = informer
        self._group = group
        self._changed = changed
        self._ahead: dict[str, dict[str, _Ahead[T]]] = {}
        self._unsure: dict[str, list[tuple[str, str, str]]] = {}
        self._own: dict[str, set[tuple[str, str, str]]] = {}
        informer.index(name, lambda obj: [found] if (found := group(obj)) is not None else [])
        informer.subscribe(self._on_change)

    def members(self, group: str) -> list[T]:
        """The objects of a group. Cost: their number."""
        found = {key_of(obj): obj for obj in self._informer.by_index(self._name, group)}
        ahead = self._ahead.get(group)
        if not ahead:
            return list(found.values())
        for key, write in list(ahead.items()):
            seen = found.get(key)
            if write.obj is None:
                if seen is not None and seen.metadata.uid == write.uid:
                    del found[key]
            elif self._informer.has_seen(write.obj):
                del ahead[key]
            else:
                found[key] = write.obj
        return list(found.values())

    @contextmanager
    def writing(self, group: str) -> Iterator[None]:
        """We write objects of the group: what the informer tells meanwhile may be our own doing.

        It often tells of a write before its answer is here. Not to be nested.
        """
        self._unsure[group], self._own[group] = [], set()
        try:
            yield
        finally:
            own = self._own.pop(group)
            if not own.issuperset(self._unsure.pop(group)):
                self._changed(group)

    def wrote(self, group: str, obj: T) -> None:
        """The server answered to our write with this object."""
        if group in self._own:
            self._own[group].add(_version(obj))
        if not self._informer.has_seen(obj):
            write = _Ahead(version_of(obj), obj.metadata.uid, obj)
            self._ahead.setdefault(group, {})[key_of(obj)] = write

    def deleted(self, group: str, obj: T) -> None:
        """The server answered that the object is deleted, or that it was already."""
        if group in self._own:
            self._own[group].add(_gone(obj))
        key = key_of(obj)
        seen = self._informer.items.get(key)
        if seen is not None and seen.metadata.uid == obj.metadata.uid:
            self._ahead.setdefault(group, {})[key] = _Ahead(version_of(obj), obj.metadata.uid, None)
        else:
            self.refused(group, obj)

    def refused(self, group: str, obj: T) -> None:
        """The server does not have what we thought it has: from here on the informer alone is believed."""
        self._drop(group, key_of(obj))

    def forget(self, group: str) -> None:
        """There are no more objects in this group."""
        self._ahead.pop(group, None)

    def _on_change(self, change: Change[T]) -> None:
        groups = {self._group(obj) for obj in (change.old, change.new) if obj is not None}
        for group in groups - {None}:
            assert group is not None
            write = self._ahead.get(group, {}).get(change.key)
            if write is None:
                if group in self._unsure:
                    now = _version(change.new) if change.new is not None else _gone(change.old)
                    self._unsure[group].append(now)
                else:
                    self._changed(group)
                continue
            if change.new is None:
                own = write.obj is None
                self._drop(group, change.key)
            elif write.obj is None:
                own = change.new.metadata.uid == write.uid
            else:
                version = version_of(change.new)
                own = version <= write.version
                if version >= write.version:
                    self._drop(group, change.key)
            if not own:
                self._changed(group)

    def _drop(self, group: str, key: str) -> None:
        ahead = self._ahead.get(group)
        if ahead is not None:
            ahead.pop(key, None)
            if not ahead:
                del self._ahead[group]


def _version(obj: Stored) -> tuple[str, str, str]:
    meta = obj.metadata
    return (key_of(obj), meta.uid, meta.resourceVersion)


def _gone(obj: Stored | None) -> tuple[str, str, str]:
    assert obj is not None
    return (key_of(obj), obj.metadata.uid, "")
