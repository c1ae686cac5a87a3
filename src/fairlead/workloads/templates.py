"""Which revision of its template a StatefulSet or DaemonSet is at, and how a revision keeps it.

Upstream: getStatefulSetRevisions in pkg/controller/statefulset, constructHistory in pkg/controller/daemon.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from fairlead.client.writer import Writer
from fairlead.objects.apps_v1 import ControllerRevision, DaemonSet, StatefulSet
from fairlead.objects.codec import encode
from fairlead.objects.core_v1 import PodTemplateSpec
from fairlead.workloads import revisions
from fairlead.workloads.revisions import revision_of


def data_of(template: PodTemplateSpec) -> dict[str, Any]:
    """What a revision keeps: the strategic merge patch by which `kubectl rollout undo` brings the template back."""
    kept = msgspec.json.decode(encode(template))
    return {"spec": {"template": {**kept, "$patch": "replace"}}}


def template_of(revision: ControllerRevision) -> PodTemplateSpec:
    """The template that the revision keeps. Raises ValueError for a revision of another make."""
    try:
        kept = dict(revision.data["spec"]["template"])  # type: ignore[index]
        kept.pop("$patch", None)
        return msgspec.convert(kept, PodTemplateSpec)
    except (KeyError, TypeError, msgspec.ValidationError) as error:
        name = revision.metadata.name
        raise ValueError(f"controllerrevision {name} keeps no template of pods: {error}") from error


@dataclass(frozen=True)
class Step:
    """How the history gets to the wanted template: `revision` is there already, or has to be made or numbered anew."""

    revision: ControllerRevision
    make: bool = False
    number: int | None = None


def step(owner: StatefulSet | DaemonSet, history: Sequence[ControllerRevision]) -> Step:
    """What has to be done so that the newest revision is of the owner's template; the history is all its own."""
    ordered = revisions.in_order(history)
    wanted = revision_of(
        owner,
        owner.spec.template.metadata.labels,
        data_of(owner.spec.template),
        revisions.next_revision(ordered),
        owner.status.collisionCount or 0,
        owner.metadata.annotations,
    )
    same = revisions.find_equal(ordered, wanted)
    if not same:
        return Step(wanted, make=True)
    if same[-1] is ordered[-1]:
        return Step(same[-1])
    return Step(same[-1], number=wanted.revision)


async def newest(
    writer: Writer, owner: StatefulSet | DaemonSet, history: Sequence[ControllerRevision]
) -> tuple[ControllerRevision, int]:
    """The revision of the owner's template, made or numbered anew where it has to be; and the count of collisions."""
    collisions = owner.status.collisionCount or 0
    found = step(owner, history)
    if found.make:
        labels = owner.spec.template.metadata.labels
        return await revisions.create(writer, owner, found.revision, labels, collisions)
    if found.number is not None:
        return await revisions.renumber(writer, found.revision, found.number), collisions
    return found.revision, collisions
