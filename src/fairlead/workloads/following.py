"""Which owners a change concerns: of an object, the one that controls it, or those that could adopt it.

Upstream: addPod, updatePod, deletePod and resolveControllerRef, which each controller has anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from fairlead.client.informer import Change, Informer, key_of
from fairlead.client.queue import WorkQueue
from fairlead.objects.labels import Selector
from fairlead.objects.meta_v1 import OwnerReference
from fairlead.objects.resources import Stored
from fairlead.workloads.claiming import controller_of
from fairlead.workloads.cluster import NAMESPACE

T = TypeVar("T", bound=Stored)


def follow_owners(queue: WorkQueue[str], owners: Informer[T]) -> None:
    """Queues each owner that comes, changes or goes."""
    owners.subscribe(lambda change: queue.add(change.key))


def follow_dependents(
    queue: WorkQueue[str],
    owners: Informer[T],
    objects: Informer[Any],
    selector: Callable[[T], Selector],
    concerns: Callable[[Any, Any], bool] = lambda old, new: True,
) -> None:
    """Queues the owners that a change of an object concerns.

    `concerns(old, new)` says whether an owner has to look at a change of an object that stays its own. Cost: one owner;
    for an object without one that comes, or gets other labels, the owners of its namespace.
    """
    kind = owners.resource.kind

    def on_change(change: Change[Any]) -> None:
        old, new = change.old, change.new
        before = controller_of(old) if old is not None else None
        after = controller_of(new) if new is not None else None
        replaced = old is not None and new is not None and old.metadata.uid != new.metadata.uid
        if old is not None and before is not None and (before != after or replaced):
            add(before, old.metadata.namespace)
        if new is None:
            return
        if after is not None:
            if old is None or before != after or replaced or concerns(old, new):
                add(after, new.metadata.namespace)
        elif old is None or before is not None or old.metadata.labels != new.metadata.labels:
            for owner in owners.by_index(NAMESPACE, new.metadata.namespace):
                if selector(owner).matches(new.metadata.labels):
                    queue.add(key_of(owner))

    def add(reference: OwnerReference, namespace: str) -> None:
        if reference.kind != kind:
            return
        key = f"{namespace}/{reference.name}"
        owner = owners.items.get(key)
        if owner is not None and owner.metadata.uid == reference.uid:
            queue.add(key)

    objects.subscribe(on_change)
