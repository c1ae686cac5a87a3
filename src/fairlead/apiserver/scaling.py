"""The scale subresource: the replicas of an object, read and changed as a Scale of autoscaling/v1.

A Scale is never stored: it is drawn from its object, and what is written to it is a change of that object, which goes
through all of the object's own rules. Upstream: ScaleREST in pkg/registry/apps/*/storage.
"""

from __future__ import annotations

from typing import Any

import msgspec

from fairlead.apiserver import patching, writes
from fairlead.apiserver.answers import decoded
from fairlead.apiserver.kind import Kind, Scaling
from fairlead.apiserver.registry import Registry, Written, check_uid
from fairlead.apiserver.requests import Query, RequestInfo
from fairlead.apiserver.writers import Applier, Writer, applier, updater
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
    given, warnings = await writes.read(SCALES, body, query, "UpdateOptions")
    given = placed(SCALES, given, info)

    async def modify(old: Any | None) -> Any:
        return _changed(kind, scaling, info.name, old, given)

    writer = updater(query, body.user_agent, "UpdateOptions", "scale")
    dry_run = writes.dry_run(query, options="UpdateOptions")
    written = await registry.update(kind, info.namespace, info.name, modify, writer=writer, dry_run=dry_run)
    return written, warnings


async def _patch(
    registry: Registry, kind: Kind, scaling: Scaling, info: RequestInfo, query: Query, body: Body
) -> tuple[Written, tuple[str, ...]]:
    form = patching.patch_form(SCALES, body.content_type)
    strictness = patching.check_options(query, form)
    warnings: tuple[str, ...] = ()
    if form == "apply":
        config, warnings = patching.read_configuration(SCALES, body.data, strictness)
        writer: Writer = (applying := applier(query, "scale"))
    else:
        change, found = patching.read_patch(form, body.data, strictness)
        writer = updater(query, body.user_agent, "PatchOptions", "scale")

    async def modify(old: Any | None) -> Any:
        nonlocal warnings
        if form == "apply":
            return _applied(registry, kind, scaling, applying, old, config, info)
        before = SCALES.model.document(scaling.read(old))
        given, warnings = patching.patched(SCALES, form, before, change, found, strictness)
        return _changed(kind, scaling, info.name, old, placed(SCALES, given, info))

    dry_run = writes.dry_run(query, options="PatchOptions")
    written = await registry.update(kind, info.namespace, info.name, modify, writer=writer, dry_run=dry_run)
    return written, warnings


def _applied(
    registry: Registry,
    kind: Kind,
    scaling: Scaling,
    writer: Applier,
    old: Any,
    config: dict[str, Any],
    info: RequestInfo,
) -> Any:
    """The object with the replicas that a Scale was applied with: the applier owns these alone."""
    given, _ = SCALES.model.read(encode(config), "Ignore")
    given = placed(SCALES, given, info)
    _changed(kind, scaling, info.name, old, given)
    wanted: dict[str, Any] = {"apiVersion": kind.resource.api_version, "kind": kind.resource.kind}
    if "replicas" in (config.get("spec") or {}):
        wanted["spec"] = {"replicas": given.spec.replicas}
    document = writer.apply(kind, registry.strategy(kind), old, wanted)
    new, _ = kind.model.read(encode(document), "Ignore")
    return _at_version(new, given)


def _changed(kind: Kind, scaling: Scaling, name: str, old: Any, given: Scale) -> Any:
    """The object with what its scale was given. Raises 409 where that is of another object, 422."""
    check_uid(kind, name, given.metadata.uid, old.metadata.uid)
    if errors := scales.validate(given):
        raise unprocessable("Scale", name, errors, "autoscaling")
    return _at_version(scaling.write(old, given.spec.replicas), given)


def _at_version(new: Any, given: Scale) -> Any:
    """The object on the condition that the scale has: that it is still at its resourceVersion."""
    metadata = msgspec.structs.replace(new.metadata, resourceVersion=given.metadata.resourceVersion)
    return msgspec.structs.replace(new, metadata=metadata)
