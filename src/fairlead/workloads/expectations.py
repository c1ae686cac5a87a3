"""What an owner's last writes made, until the informer shows it: a plan made before would make it twice.

Upstream counts (ControllerExpectations, with a limit of five minutes). Here the answers to the writes say what to wait
for, so that nothing is waited for in vain.
"""

from __future__ import annotations

from typing import Any

from fairlead.client.informer import Informer, key_of
from fairlead.objects.resources import Stored


class Expectations:
    """By owner, the objects that were made or deleted and that the informer does not show so yet."""

    def __init__(self, informer: Informer[Any]) -> None:
        self._informer = informer
        self._created: dict[str, list[Stored]] = {}
        self._deleted: dict[str, list[Stored]] = {}

    def created(self, owner: str, obj: Stored) -> None:
        """The server answered with this object; `owner` is a key of the caller's choice."""
        if not self._informer.has_seen(obj):
            self._created.setdefault(owner, []).append(obj)

    def deleted(self, owner: str, obj: Stored) -> None:
        """The server answered that the object is deleted, or begins to be."""
        if self._shows(obj):
            self._deleted.setdefault(owner, []).append(obj)

    def satisfied(self, owner: str) -> bool:
        """Whether the informer shows all that was written for the owner. Cost: what was not seen the last time."""
        created = [obj for obj in self._created.pop(owner, ()) if not self._informer.has_seen(obj)]
        deleted = [obj for obj in self._deleted.pop(owner, ()) if self._shows(obj)]
        if created:
            self._created[owner] = created
        if deleted:
            self._deleted[owner] = deleted
        return not (created or deleted)

    def forget(self, owner: str) -> None:
        """The owner is gone."""
        self._created.pop(owner, None)
        self._deleted.pop(owner, None)

    def _shows(self, obj: Stored) -> bool:
        """Whether the informer still has the object as one that nobody has deleted."""
        seen = self._informer.items.get(key_of(obj))
        return (
            seen is not None
            and seen.metadata.uid == obj.metadata.uid
            and seen.metadata.deletionTimestamp is None
        )
