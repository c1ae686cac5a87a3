"""The verbs that change objects, as requests ask for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec.structs import replace

from fairlead.apiserver import bodies
from fairlead.apiserver import patch as patches
from fairlead.apiserver.bodies import as_json, media_type
from fairlead.apiserver.kinds import Kind
from fairlead.apiserver.registry import Registry, Written
from fairlead.apiserver.requests import Query, RequestInfo
from fairlead.objects.codec import decode, encode
from fairlead.objects.meta_v1 import DeleteOptions, Preconditions, StatusCause, StatusDetails
from fairlead.objects.schema import type_name
from fairlead.objects.status import (
    StatusError,
    bad_request,
    failure,
    not_supported,
    unprocessable,
)

PATCHES = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
}


@dataclass(frozen=True)
class Body:
    """What a request carries."""

    data: bytes
    content_type: str | None


@dataclass(frozen=True)
class Result:
    """A write that was made, and what the client is to be warned of."""

    written: Written
    warnings: tuple[str, ...] = ()


def dry_run(query: Query, given: tuple[str, ...] = (), options: str = "CreateOptions") -> bool:
    """Whether nothing is to be stored. Raises 422 for a value that upstream does not know."""
    values = (*((query.text("dryRun"),) if query.text("dryRun") else ()), *given)
    for value in values:
        if value != "All":
            raise unprocessable(options, "", [not_supported("dryRun", value, ("All",))], "meta.k8s.io")
    return bool(values)


def read(kind: Kind, body: Body, query: Query) -> tuple[Any, tuple[str, ...]]:
    """The object in a body, with warnings."""
    return kind.model.read(kind.model.body(body.data, body.content_type), query.text("fieldValidation"))


def placed(kind: Kind, obj: Any, info: RequestInfo) -> Any:
    """The object with the namespace of the URL. Raises 400 where it says another, or another name."""
    metadata = obj.metadata
    if not kind.resource.namespaced:
        namespace = ""
    else:
        namespace = info.namespace
        if metadata.namespace and metadata.namespace != namespace:
            raise bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
    if info.name and metadata.name != info.name:
        if metadata.name:
            raise bad_request(
                f"the name of the object ({metadata.name}) does not match the name on the URL ({info.name})"
            )
        raise bad_request("name must be provided")
    if metadata.namespace != namespace:
        obj = replace(obj, metadata=replace(metadata, namespace=namespace))
    return obj


async def create(registry: Registry, kind: Kind, info: RequestInfo, query: Query, body: Body) -> Result:
    """POST to a collection."""
    obj, warnings = read(kind, body, query)
    if kind.resource.namespaced and not info.namespace:
        raise bad_request("an empty namespace may not be set during creation")
    obj = placed(kind, obj, info)
    written = await registry.create(kind, info.namespace, obj, dry_run=dry_run(query))
    return Result(written, warnings)


async def update(registry: Registry, kind: Kind, info: RequestInfo, query: Query, body: Body) -> Result:
    """PUT to an object or to its status."""
    obj, warnings = read(kind, body, query)
    obj = placed(kind, obj, info)

    async def modify(old: Any | None) -> Any:
        if info.subresource == "finalize" and old is not None:
            return replace(old, spec=replace(old.spec, finalizers=obj.spec.finalizers))
        return obj

    written = await registry.update(
        kind,
        info.namespace,
        info.name,
        modify,
        subresource=info.subresource,
        dry_run=dry_run(query, options="UpdateOptions"),
        creates=kind.create_on_update and not info.subresource,
    )
    return Result(written, warnings)


async def patch(registry: Registry, kind: Kind, info: RequestInfo, query: Query, body: Body) -> Result:
    """PATCH of an object or of its status, in one of three forms."""
    form = patch_form(kind, body.content_type)
    change = read_patch(body.data)
    warnings: tuple[str, ...] = ()

    async def modify(old: Any | None) -> Any:
        nonlocal warnings
        after = apply(form, kind.model.document(old), change, kind)
        obj, warnings = kind.model.read(encode(after), query.text("fieldValidation"))
        return placed(kind, obj, info)

    written = await registry.update(
        kind,
        info.namespace,
        info.name,
        modify,
        subresource=info.subresource,
        dry_run=dry_run(query, options="PatchOptions"),
    )
    return Result(written, warnings)


def patch_form(kind: Kind, content_type: str | None) -> str:
    """Which of the three it is. Raises 415 for server-side apply, which is not served yet, and for the rest."""
    taken = {media: form for media, form in PATCHES.items() if form != "strategic" or kind.model.strategic}
    form = taken.get(media_type(content_type))
    if form is None:
        raise bodies.unsupported(tuple(taken))
    return form


def read_patch(data: bytes) -> Any:
    """The patch as JSON. Raises 400 where it is none."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_request(f"error decoding patch: {error}") from None


def apply(form: str, before: Any, change: Any, kind: Kind) -> Any:
    """The document after the patch. Raises 400, 413 or 422 for a patch that cannot be applied."""
    try:
        match form:
            case "json":
                return patches.json_patch(before, change)
            case "merge":
                return patches.merge_patch(before, change)
        resource = kind.resource
        return patches.strategic_merge(
            before, change, type_name(resource.group, resource.version, resource.kind)
        )
    except patches.PatchError as error:
        raise rejected_patch(error) from None


def rejected_patch(error: patches.PatchError) -> StatusError:
    """The refusal of a patch. Upstream: errors.NewGenericServerResponse for those that are well-formed."""
    match error.code:
        case 400:
            return bad_request(str(error))
        case 413:
            return failure(413, "RequestEntityTooLarge", str(error))
    cause = StatusCause(reason="UnexpectedServerResponse", message=str(error))
    message = "the server rejected our request due to an error in our request"
    return failure(422, "Invalid", message, details=StatusDetails(causes=(cause,)))


def delete_options(query: Query, body: Body) -> DeleteOptions:
    """The options of a deletion: those of the body, those of the query where it has none."""
    options = DeleteOptions()
    if body.data:
        try:
            options = decode(DeleteOptions, as_json(body.data, body.content_type, "v1", "DeleteOptions"))
        except msgspec.MsgspecError as error:
            raise bad_request(f"cannot read the DeleteOptions of the body: {error}") from None
        return options
    changes: dict[str, Any] = {}
    if (seconds := query.number("gracePeriodSeconds")) is not None:
        changes["gracePeriodSeconds"] = seconds
    if "orphanDependents" in query:
        changes["orphanDependents"] = query.flag("orphanDependents")
    if policy := query.text("propagationPolicy"):
        changes["propagationPolicy"] = policy
    if (uid := query.text("preconditions.uid")) or query.text("preconditions.resourceVersion"):
        changes["preconditions"] = Preconditions(
            uid=uid or None, resourceVersion=query.text("preconditions.resourceVersion") or None
        )
    return replace(options, **changes)


def check_delete_options(options: DeleteOptions) -> None:
    """Raises 422 for a propagation policy that upstream does not know."""
    policies = ("Foreground", "Background", "Orphan")
    if options.propagationPolicy is not None and options.propagationPolicy not in policies:
        error = not_supported("propagationPolicy", options.propagationPolicy, (*policies, "nil"))
        raise unprocessable("DeleteOptions", "", [error], "meta.k8s.io")


def subresource_verbs(kind: Kind, subresource: str) -> tuple[str, ...] | None:
    """What can be done with a part of an object; None where there is no such part."""
    if subresource == "status":
        return ("get", "patch", "update") if kind.status else None
    for part in kind.subresources:
        if part.name == subresource:
            return part.verbs
    return None


def method_not_allowed(kind: Kind, verb: str) -> StatusError:
    """405: the kind does not take this verb. Upstream: errors.NewMethodNotSupported."""
    return failure(
        405, "MethodNotAllowed", f'{verb} is not supported on resources of kind "{kind.qualified}"'
    )
