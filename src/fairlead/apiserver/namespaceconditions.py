"""What the status of a namespace that goes away says of what is still in it.

Upstream: pkg/controller/namespace/deletion/status_condition_utils.go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from fairlead.objects.core_v1 import NamespaceCondition

_WELL = {
    "NamespaceDeletionDiscoveryFailure": ("ResourcesDiscovered", "All resources successfully discovered"),
    "NamespaceDeletionGroupVersionParsingFailure": (
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    ),
    "NamespaceDeletionContentFailure": (
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    "NamespaceContentRemaining": ("ContentRemoved", "All content successfully removed"),
    "NamespaceFinalizersRemaining": (
        "ContentHasNoFinalizers",
        "All content-preserving finalizers finished",
    ),
}
"""Each condition with its reason and message while nothing is wrong. The first two are never wrong here: the server
knows what it serves."""


@dataclass
class Remains:
    """What is left in a namespace, and what could not be deleted."""

    objects: Counter[str] = field(default_factory=Counter)
    """How many of each resource, by RESOURCE.GROUP."""
    finalizers: Counter[str] = field(default_factory=Counter)
    """How many objects each finalizer holds."""
    failures: list[str] = field(default_factory=list)

    def add(self, resource: str, group: str, finalizers: Iterable[str]) -> None:
        """An object is left."""
        self.objects[f"{resource}.{group}"] += 1
        self.finalizers.update(finalizers)


def conditions(
    known: Sequence[NamespaceCondition], remains: Remains, now: str
) -> tuple[NamespaceCondition, ...]:
    """The conditions from now on: those of others as they are, a time changed only where the status did."""
    wrong: dict[str, tuple[str, str]] = {}
    if remains.failures:
        told = ", ".join(sorted(remains.failures))
        wrong["NamespaceDeletionContentFailure"] = (
            "ContentDeletionFailed",
            f"Failed to delete all resource types, {len(remains.failures)} remaining: {told}",
        )
    if remains.objects:
        told = _listed(remains.objects, "{} has {} resource instances")
        wrong["NamespaceContentRemaining"] = ("SomeResourcesRemain", f"Some resources are remaining: {told}")
    if remains.finalizers:
        told = _listed(remains.finalizers, "{} in {} resource instances")
        wrong["NamespaceFinalizersRemaining"] = (
            "SomeFinalizersRemain",
            f"Some content in the namespace has finalizers remaining: {told}",
        )
    found = {condition.type: condition for condition in known}
    for kind, well in _WELL.items():
        status = "True" if kind in wrong else "False"
        reason, message = wrong.get(kind, well)
        old = found.get(kind)
        if old is None or old.status != status:
            found[kind] = NamespaceCondition(
                type=kind, status=status, lastTransitionTime=now, reason=reason, message=message
            )
        else:
            found[kind] = replace(old, reason=reason, message=message)
    return tuple(found.values())


def _listed(counts: Mapping[str, int], form: str) -> str:
    return ", ".join(sorted(form.format(name, number) for name, number in counts.items()))
