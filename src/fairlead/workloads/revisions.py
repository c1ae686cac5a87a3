"""ControllerRevisions: the templates that a StatefulSet or DaemonSet has had, by their contents.

Upstream: pkg/controller/history.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from http import HTTPStatus
from typing import Any

from msgspec.structs import replace

from fairlead.client.events import Described
from fairlead.client.writer import Writer
from fairlead.objects.apps_v1 import ControllerRevision
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.resources import CONTROLLERREVISIONS
from fairlead.objects.status import StatusError
from fairlead.workloads.claiming import controller_of, controller_reference
from fairlead.workloads.hashing import hash_of

HASH = "controller.kubernetes.io/hash"
"""The label of a StatefulSet's revisions that says what is in them (upstream: ControllerRevisionHashLabel)."""
DAEMON_HASH = "controller-revision-hash"
"""The same of a DaemonSet's, and of its pods (upstream: DefaultDaemonSetUniqueLabelKey)."""
LONGEST_PREFIX = 223
"""Of a revision's name (upstream: ControllerRevisionName)."""


def revision_of(
    owner: Described,
    labels: dict[str, str],
    data: Any,
    revision: int,
    collisions: int | None,
    annotations: dict[str, str] | None = None,
) -> ControllerRevision:
    """The revision with this number for these contents; its name says what they are."""
    hashed = hash_of(data, collisions)
    return ControllerRevision(
        metadata=ObjectMeta(
            name=f"{owner.metadata.name[:LONGEST_PREFIX]}-{hashed}",
            namespace=owner.metadata.namespace,
            labels={**labels, DAEMON_HASH if owner.kind == "DaemonSet" else HASH: hashed},
            annotations=annotations or {},
            ownerReferences=(controller_reference(owner),),
        ),
        data=data,
        revision=revision,
    )


def in_order(revisions: Iterable[ControllerRevision]) -> list[ControllerRevision]:
    """The revisions, the oldest first (upstream: SortControllerRevisions)."""
    return sorted(
        revisions,
        key=lambda each: (each.revision, each.metadata.creationTimestamp or "", each.metadata.name),
    )


def next_revision(revisions: Sequence[ControllerRevision]) -> int:
    """The number after that of the newest."""
    return max((each.revision for each in revisions), default=0) + 1


def equal(a: ControllerRevision, b: ControllerRevision) -> bool:
    """Whether they are of the same contents."""
    return bool(a.data == b.data)


def find_equal(
    revisions: Iterable[ControllerRevision], wanted: ControllerRevision
) -> tuple[ControllerRevision, ...]:
    """Those with the contents of the wanted one, the oldest first."""
    return tuple(each for each in in_order(revisions) if equal(each, wanted))


def superfluous(
    revisions: Iterable[ControllerRevision], live: Collection[str], limit: int
) -> tuple[ControllerRevision, ...]:
    """The oldest ones over the limit, to be deleted; the `live`, by name, neither count nor go."""
    unused = [each for each in in_order(revisions) if each.metadata.name not in live]
    return tuple(unused[: max(len(unused) - limit, 0)])


async def create(
    writer: Writer, owner: Described, wanted: ControllerRevision, labels: dict[str, str], collisions: int
) -> tuple[ControllerRevision, int]:
    """The revision as the server has it, and the count of collisions, higher if its name was another's contents'.

    Upstream: CreateControllerRevision.
    """
    while True:
        made = revision_of(
            owner, labels, wanted.data, wanted.revision, collisions, wanted.metadata.annotations
        )
        try:
            return await writer.create(CONTROLLERREVISIONS, made), collisions
        except StatusError as error:
            if error.code != HTTPStatus.CONFLICT:
                raise
        there = await writer.api.get(CONTROLLERREVISIONS, made.metadata.name, made.metadata.namespace)
        controller = controller_of(there)
        if equal(there, made) and controller is not None and controller.uid == owner.metadata.uid:
            return there, collisions
        collisions += 1


async def renumber(writer: Writer, revision: ControllerRevision, number: int) -> ControllerRevision:
    """The revision with another number: contents that are wanted again become the newest."""
    if revision.revision == number:
        return revision
    return await writer.replace(CONTROLLERREVISIONS, replace(revision, revision=number))
