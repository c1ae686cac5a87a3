"""The verbs that change objects, as requests ask for them."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from fairlead.apiserver.aside import LARGE, aside
from fairlead.apiserver.bodies import VALIDATIONS, YAML, as_json, media_type, strict_error, unreadable
from fairlead.apiserver.kind import Kind
from fairlead.apiserver.registry import Registry, Written
from fairlead.apiserver.requests import Query, RequestInfo
from fairlead.apiserver.strictness import repeated_keys
from fairlead.apiserver.writers import updater
from fairlead.objects.codec import decode
from fairlead.objects.meta_v1 import DeleteOptions, Preconditions
from fairlead.objects.status import (
    bad_request,
    not_supported,
    unprocessable,
)


class Body(msgspec.Struct, frozen=True, gc=False):
    """What a request carries."""

    data: bytes
    content_type: str | None
    user_agent: str = ""


class Result(msgspec.Struct, frozen=True, gc=False):
    """A write that was made, and what the client is to be warned of."""

    written: Written
    warnings: tuple[str, ...] = ()


def dry_run(query: Query, given: tuple[str, ...] = (), options: str = "CreateOptions") -> bool:
    """Whether nothing is to be stored. Raises 422 for a value that upstream does not know."""
    said = query.text("dryRun")
    if not said and not given:
        return False
    values = (said, *given) if said else given
    for value in values:
        if value != "All":
            raise unprocessable(options, "", [not_supported("dryRun", value, ("All",))], "meta.k8s.io")
    return True


async def read(
    kind: Kind, body: Body, query: Query, options: str = "CreateOptions"
) -> tuple[Any, tuple[str, ...]]:
    """The object in a body, with warnings."""
    strictness = validation(query, options)
    if len(body.data) <= LARGE:
        return _read(kind, body, strictness)
    return await aside(True, lambda: _read(kind, body, strictness))


def _read(kind: Kind, body: Body, strictness: str) -> tuple[Any, tuple[str, ...]]:
    data = kind.model.body(body.data, body.content_type)
    if strictness == "Ignore" or media_type(body.content_type) not in YAML:
        return kind.model.read(data, strictness)
    # JSON made of YAML has nothing twice any more.
    repeated = repeated_keys(body.data)
    obj, found = kind.model.read(data, "Warn" if repeated else strictness)
    if repeated and strictness == "Strict":
        raise unreadable(kind.resource.kind, kind.resource.api_version, strict_error((*repeated, *found)))
    return obj, (*repeated, *found)


def validation(query: Query, options: str) -> str:
    """What is to be done about unknown and repeated fields. Raises 422 for what upstream does not know."""
    found = query.text("fieldValidation")
    if found not in ("", *VALIDATIONS):
        error = not_supported("fieldValidation", found, ("", *VALIDATIONS))
        raise unprocessable(options, "", [error], "meta.k8s.io")
    return found


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
    obj, warnings = await read(kind, body, query)
    if kind.resource.namespaced and not info.namespace:
        raise bad_request("an empty namespace may not be set during creation")
    obj = placed(kind, obj, info)
    writer = updater(query, body.user_agent, "CreateOptions")
    written = await registry.create(kind, info.namespace, obj, writer=writer, dry_run=dry_run(query))
    return Result(written, warnings)


async def update(registry: Registry, kind: Kind, info: RequestInfo, query: Query, body: Body) -> Result:
    """PUT to an object or to its status."""
    obj, warnings = await read(kind, body, query, "UpdateOptions")
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
        writer=updater(query, body.user_agent, "UpdateOptions", info.subresource),
        subresource=info.subresource,
        dry_run=dry_run(query, options="UpdateOptions"),
        creates=kind.create_on_update and not info.subresource,
    )
    return Result(written, warnings)


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
