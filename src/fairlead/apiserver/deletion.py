"""Deletion: at once, after a grace period, or when the last finalizer is gone.

Upstream: apiserver/pkg/registry/rest/delete.go, pkg/registry/core/pod/strategy.go (CheckGracefulDelete).
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from fairlead.apiserver.answers import decoded
from fairlead.apiserver.kind import Kind
from fairlead.apiserver.kinds import NAMESPACES, PODS, PRIORITYCLASSES
from fairlead.apiserver.metadata import now
from fairlead.apiserver.registry import Registry, Written, check_preconditions, finished
from fairlead.objects import priorityclasses
from fairlead.objects.meta_v1 import DeleteOptions
from fairlead.objects.status import StatusError, failure
from fairlead.store import Change, Condition, Conflict

IMMORTAL = ("default", "kube-system", "kube-public")
ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"


async def delete(
    registry: Registry,
    kind: Kind,
    namespace: str,
    name: str,
    options: DeleteOptions,
    *,
    dry_run: bool = False,
) -> tuple[Written, bool]:
    """Removes an object, or marks it as on its way out; gives its last state, and whether it is gone.

    Raises 404, 403 for the namespaces that have to be, 409 where a precondition fails.
    """
    if kind == NAMESPACES and name in IMMORTAL:
        raise forbidden(kind, name, "this namespace may not be deleted")
    if kind == PRIORITYCLASSES and any(name == one.metadata.name for one in priorityclasses.SYSTEM):
        raise forbidden(kind, name, "this is a system priority class and cannot be deleted")
    while True:
        entry = await registry.get(kind, namespace, name)
        obj = decoded(kind, entry.value, entry.revision)
        if registry.admission is not None:
            registry.admission.admit("DELETE", kind, "", name, None, obj)
        check_preconditions(kind, obj, entry.revision, options.preconditions)
        marked = mark(kind, obj, options)
        if obj.metadata.deletionTimestamp is None:
            marked = registry.strategy(kind).prepare_delete(marked)
        conditions = [Condition(entry.key, entry.revision)]
        if finished(marked):
            released = await registry.strategy(kind).release(registry.store, obj)
            conditions += released.conditions
            changes = [Change(entry.key, None), *released.changes]
            value, gone = entry.value, True
        else:
            value, gone = kind.model.stored(marked), False
            if value == entry.value:
                return Written(value, entry.revision), False
            changes = [Change(entry.key, value)]
        if dry_run:
            return Written(value, entry.revision), gone
        try:
            revision = await registry.store.commit(conditions, changes)
        except Conflict:
            continue
        return Written(value, revision), gone


def mark(kind: Kind, obj: Any, options: DeleteOptions) -> Any:
    """The object with its deletion written in. One that is being deleted already may only get less time."""
    metadata = obj.metadata
    grace = grace_period(obj, options) if kind == PODS else 0
    if metadata.deletionTimestamp is None:
        metadata = replace(
            metadata,
            deletionTimestamp=now(grace),
            deletionGracePeriodSeconds=grace,
            generation=metadata.generation + 1 if metadata.generation else 0,
        )
        policy = options.propagationPolicy or ("Orphan" if orphans(kind, options) else "Background")
        held = {"Orphan": ORPHAN, "Foreground": FOREGROUND}.get(policy)
        if held is not None and held not in metadata.finalizers:
            others = tuple(f for f in metadata.finalizers if f not in (ORPHAN, FOREGROUND))
            metadata = replace(metadata, finalizers=(*others, held))
    elif grace < (metadata.deletionGracePeriodSeconds or 0):
        metadata = replace(metadata, deletionTimestamp=now(grace), deletionGracePeriodSeconds=grace)
    obj = replace(obj, metadata=metadata)
    if kind == NAMESPACES:
        obj = replace(obj, status=replace(obj.status, phase="Terminating"))
    return obj


def orphans(kind: Kind, options: DeleteOptions) -> bool:
    """Whether dependents are left, where the options name no policy."""
    return kind.orphans if options.orphanDependents is None else options.orphanDependents


def grace_period(pod: Any, options: DeleteOptions) -> int:
    """Seconds that a pod gets to end. None where no node agent has it, or it has ended."""
    if not pod.spec.nodeName or pod.status.phase in ("Succeeded", "Failed"):
        return 0
    if options.gracePeriodSeconds is not None:
        # A negative period is the old way to say "the least that is orderly".
        return int(options.gracePeriodSeconds) if options.gracePeriodSeconds >= 0 else 1
    given = pod.spec.terminationGracePeriodSeconds
    if pod.metadata.deletionTimestamp is not None:
        return int(pod.metadata.deletionGracePeriodSeconds or 0)
    return int(given) if given is not None else 30


def forbidden(kind: Kind, name: str, why: str) -> StatusError:
    """403: nobody may do that."""
    return failure(403, "Forbidden", f'{kind.qualified} "{name}" is forbidden: {why}')
