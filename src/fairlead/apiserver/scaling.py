"""The scale subresource: the replicas of an object, read and changed as a Scale of autoscaling/v1.

A Scale is never stored: it is drawn from its object, and what is written to it is a change of that object, which goes
through all of the object's own rules. Upstream: ScaleREST in pkg/registry/apps/*/storage.
"""

from __future__ import annotations

from typing import Any

import msgspec

from fairlead.apiserver import writes
from fairlead.apiserver.answers import decoded
from fairlead.apiserver.kinds import Kind, Scaling
from fairlead.apiserver.registry import Registry, Written, check_uid
from fairlead.apiserver.requests import Query, RequestInfo
from fairlead.apiserver.writes import Body, Result, placed
from fairlead.objects import scales
from fairlead.objects.autoscaling_v1 import Scale
from fairlead.objects.codec import encode
from fairlead.objects.resources import Resource
from fairlead.objects.status import unprocessable

SCALES = Kind(Resource("autoscaling", "v1", "scales", "Scale", Scale), "scale")
"""What bodies and answers are read and written as; it has no collection."""


async def scale(
    registry: Registry, kind: Kind, info: RequestInfo, query: Query, body: Body
) -> tuple[Kind, Result]:
    """GET, PUT and PATCH of a scale. Raises 404, 409, 422."""
    scaling = kind.scaling
    if scaling is None:
        raise AssertionError(f"{kind.plural} have no scale")
    warnings: tuple[str, ...] = ()
    match info.verb:
        case "get":
            entry = await registry.get(kind, info.namespace, info.name)
            written = Written(entry.value, entry.revision)
        case "update":
            written, warnings = await _update(registry, kind, scaling, info, query, body)
        case _:
            written, warnings = await _patch(registry, kind, scaling, info, query, body)
    found = scaling.read(decoded(kind, written.value, written.revision))
    return SCALES, Result(Written(SCALES.model.stored(found), written.revision), warnings)


async def _update(
    registry: Registry, kind: Kind, scaling: Scaling, info: RequestInfo, query: Query, body: Body
) -> tuple[Written, tuple[str, ...]]:
    given, warnings = writes.read(SCALES, body, query)
    given = placed(SCALES, given, info)

    async def modify(old: Any | None) -> Any:
        return _changed(kind, scaling, info.name, old, given)

    dry_run = writes.dry_run(query, options="UpdateOptions")
    return await registry.update(kind, info.namespace, info.name, modify, dry_run=dry_run), warnings


async def _patch(
    registry: Registry, kind: Kind, scaling: Scaling, info: RequestInfo, query: Query, body: Body
) -> tuple[Written, tuple[str, ...]]:
    form, change = writes.patch_form(kind, body.content_type), writes.read_patch(body.data)
    warnings: tuple[str, ...] = ()

    async def modify(old: Any | None) -> Any:
        nonlocal warnings
        after = writes.apply(form, SCALES.model.document(scaling.read(old)), change, SCALES)
        given, warnings = SCALES.model.read(encode(after), query.text("fieldValidation"))
        return _changed(kind, scaling, info.name, old, placed(SCALES, given, info))

    dry_run = writes.dry_run(query, options="PatchOptions")
    written = await registry.update(kind, info.namespace, info.name, modify, dry_run=dry_run)
    return written, warnings


def _changed(kind: Kind, scaling: Scaling, name: str, old: Any, given: Scale) -> Any:
    """The object with what its scale was given. Raises 409 where that is of another object, 422."""
    check_uid(kind, name, given.metadata.uid, old.metadata.uid)
    if errors := scales.validate(given):
        raise unprocessable("Scale", name, errors, "autoscaling")
    new = scaling.write(old, given.spec.replicas)
    metadata = msgspec.structs.replace(new.metadata, resourceVersion=given.metadata.resourceVersion)
    return msgspec.structs.replace(new, metadata=metadata)
