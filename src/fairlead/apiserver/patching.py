"""PATCH: an object changed in one of four forms, three that say what to change and one that says what is wanted.

Upstream: apiserver/pkg/endpoints/handlers/patch.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from fairlead.apiserver import bodies
from fairlead.apiserver import patch as patches
from fairlead.apiserver.alterations import parts_by_name, without_entries
from fairlead.apiserver.aside import LARGE, aside
from fairlead.apiserver.bodies import Unreadable, as_value, media_type, strict_error
from fairlead.apiserver.kind import Kind
from fairlead.apiserver.models import Typed
from fairlead.apiserver.patch.gotext import go_text
from fairlead.apiserver.registry import Modify, Registry, Written
from fairlead.apiserver.requests import Query, RequestInfo
from fairlead.apiserver.strictness import repeated_fields, repeated_keys
from fairlead.apiserver.writers import Writer, applier, updater
from fairlead.apiserver.writes import Body, Result, dry_run, placed, validation
from fairlead.objects.codec import decode, encode, plain
from fairlead.objects.meta_v1 import StatusCause, StatusDetails
from fairlead.objects.moments import NoMoment, in_usual_form
from fairlead.objects.status import (
    StatusError,
    bad_request,
    conflict,
    failure,
    forbidden,
    invalid,
    unprocessable,
)

Json = Any

PATCHES: Mapping[str, str] = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
    "application/apply-patch+yaml": "apply",
}


async def patch(registry: Registry, kind: Kind, info: RequestInfo, query: Query, body: Body) -> Result:
    """PATCH of an object or of its status."""
    form = patch_form(kind, body.content_type)
    strictness = check_options(query, form)
    if form == "apply":
        return await _apply(registry, kind, info, query, body)
    change, found = read_patch(form, body.data, strictness)
    known = not found and strictness != "Strict" and form != "json" and kind.model.knows(body.data)
    if known:
        strictness = "Ignore"  # what is known already gets no field that is not
    whole = form == "json" or b"managedFields" in body.data
    warnings: tuple[str, ...] = ()

    async def modify(old: Any | None) -> Any:
        nonlocal warnings
        if known and not whole and len(body.data) <= LARGE and old is not None:
            obj = patched_members(kind, form, old, change, body.data)
            if obj is not None:
                warnings = ()
                return placed(kind, obj, info)
        before = kind.model.document(old if whole else without_entries(old))
        large = len(body.data) > LARGE or (old is not None and kind.heavy(old))
        obj, warnings = await aside(large, lambda: patched(kind, form, before, change, found, strictness))
        return placed(kind, obj, info)

    writer = updater(query, body.user_agent, "PatchOptions", info.subresource)
    return Result(await _write(registry, kind, info, query, modify, writer), warnings)


async def _write(
    registry: Registry,
    kind: Kind,
    info: RequestInfo,
    query: Query,
    modify: Modify,
    writer: Writer,
    *,
    creates: bool = False,
) -> Written:
    """Writes what a patch makes of the object, `creates`: or of none."""
    return await registry.update(
        kind,
        info.namespace,
        info.name,
        modify,
        writer=writer,
        subresource=info.subresource,
        dry_run=dry_run(query, options="PatchOptions"),
        creates=creates,
    )


def patch_form(kind: Kind, content_type: str | None) -> str:
    """Which of the four it is. Raises 415 for the rest."""
    form = PATCHES.get(media_type(content_type)) if content_type else None
    strategic = kind.model.strategic
    if form is None or (form == "strategic" and not strategic):
        taken = (media for media, form in PATCHES.items() if form != "strategic" or strategic)
        raise bodies.unsupported(tuple(taken))
    return form


def check_options(query: Query, form: str) -> str:
    """The fieldValidation of a patch. Raises 422 for options that do not go with its form."""
    if form != "apply" and "force" in query:
        error = forbidden("force", "may not be specified for non-apply patch")
        raise unprocessable("PatchOptions", "", [error], "meta.k8s.io")
    return validation(query, "PatchOptions")


def read_patch(form: str, data: bytes, strictness: str) -> tuple[Json, list[str]]:
    """The patch as JSON, and what of it is repeated or unknown. Raises 400 where it is none."""
    try:
        change = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_request(f"error decoding patch: {error}") from None
    if strictness == "Ignore":
        return change, []
    found = repeated_fields(data, change, thorough=strictness == "Strict")
    if form != "json":
        return change, found
    unknown = [
        f'unknown field "[{i}].{name}"'
        for i, operation in enumerate(change if isinstance(change, list) else ())
        for name in (operation if isinstance(operation, dict) else ())
        if name not in ("op", "path", "from", "value")
    ]
    return change, [f"json patch {said}" for said in (*found, *unknown)]


def patched(
    kind: Kind, form: str, before: Json, change: Json, found: list[str], strictness: str
) -> tuple[Any, tuple[str, ...]]:
    """The object after a patch, with warnings. Raises 400, 413 or 422."""
    after = encode(merged(form, before, change, kind))

    def shown() -> str:
        return go_text(change) if form == "strategic" else after.decode()

    try:
        obj, warnings = kind.model.read(after, strictness)
    except Unreadable as error:
        raise unprocessable("", "", [invalid("patch", shown(), error.why)]) from None
    if found and strictness == "Strict":
        raise unprocessable("", "", [invalid("patch", shown(), strict_error(found))])
    return obj, (*found, *warnings)


def patched_members(kind: Kind, form: str, old: Any, change: Json, data: bytes) -> Any | None:
    """The object after a merge patch that names some of its members: the others are the very values of the old one.

    `change` is the patch, `data` its text. None where that is not all there is to it, so that the whole object has to
    be looked at: where the patch does not apply, has directives for all of the object, or says what kind it is of.
    Cost: in proportion to what is named.
    """
    if not isinstance(kind.model, Typed) or not isinstance(change, dict):
        return None
    if b'"$' not in data and b"null" not in data and (obj := _overlaid(kind, old, change, data)) is not None:
        return obj
    before = members_of(without_entries(old) if "metadata" in change else old, change)
    if before is None:
        return None
    try:
        after = in_usual_form(encode(merged(form, before, change, kind)), kind.model.schema)
        made = decode(kind.resource.type, after)
    except (StatusError, msgspec.ValidationError, RecursionError, NoMoment):
        return None
    return replace(old, **{name: getattr(made, name) for name in change})


def _overlaid(kind: Kind, old: Any, change: dict[str, Json], data: bytes) -> Any | None:
    """The object with what a patch says that has neither nulls nor directives, read as it is.

    None where something is there already, below `spec` and the like, with which the patch's has to be merged.
    """
    if "kind" in change or "apiVersion" in change:
        return None
    try:
        made = decode(kind.resource.type, in_usual_form(data, kind.model.schema))
    except (msgspec.MsgspecError, RecursionError, NoMoment):
        return None
    return _overlay(without_entries(old) if "metadata" in change else old, made, change, whole=True)


_SCALARS = (str, int, float)


def _overlay(old: Any, made: Any, change: dict[str, Json], *, whole: bool) -> Any | None:
    """`old` with the members of `made` that are in the change. Costs a look at each of them.

    Of a `whole` object members such as `spec` are overlaid in turn; what they have below may be replaced instead
    (upstream: patchStrategy).
    """
    values: dict[str, Any] = {}
    known = parts_by_name(type(old))
    for name, given in change.items():
        part = known.get(name)
        if part is None or part.field != name:
            return None
        before, after = getattr(old, name), getattr(made, name)
        if whole and isinstance(before, msgspec.Struct) and isinstance(given, dict):
            after = _overlay(before, after, given, whole=False)
            if after is None:
                return None
        elif not (part.absent(before) or isinstance(before, _SCALARS)):
            return None
        values[name] = after
    return replace(old, **values)


def members_of(obj: Any, names: Iterable[str]) -> dict[str, Json] | None:
    """Those members of an object as plain JSON, without what is absent; None where one is no member of its own."""
    found: dict[str, Any] = {}
    known = parts_by_name(type(obj))
    for name in names:
        part = known.get(name)
        if part is None or part.field != name or name in ("kind", "apiVersion"):
            return None
        value = getattr(obj, name)
        if not part.absent(value):
            found[name] = value
    values: dict[str, Json] = plain(found)
    return values


def merged(form: str, before: Json, change: Json, kind: Kind) -> Json:
    """The document after the patch. Raises 400, 413 or 422 for a patch that cannot be applied."""
    try:
        match form:
            case "json":
                return patches.json_patch(before, change)
            case "merge":
                return patches.merge_patch(before, change)
        return patches.strategic_merge(before, change, kind.model.schema)
    except patches.PatchError as error:
        raise rejected_patch(error) from None
    except RecursionError:
        raise bad_request("the patch is nested too deeply") from None


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


async def _apply(registry: Registry, kind: Kind, info: RequestInfo, query: Query, body: Body) -> Result:
    """Server-side apply of an object, or of its status. It makes an object where there is none."""
    config, warnings = read_configuration(kind, body.data, validation(query, "PatchOptions"))
    writer = applier(query, info.subresource)
    strategy = registry.strategy(kind)

    def applied(old: Any | None) -> Any:
        document = writer.apply(kind, strategy, old, config)
        try:
            return kind.model.read(encode(document), "Ignore")[0]
        except Unreadable as error:
            raise bad_request(f"failed to convert the applied object: {error.why}") from None

    async def modify(old: Any | None) -> Any:
        large = len(body.data) > LARGE or (old is not None and kind.heavy(old))
        obj = await aside(large, lambda: applied(old))
        if old is None and obj.metadata.uid:
            said = f"the provided object specified uid {obj.metadata.uid}, and no existing object was found"
            raise conflict(kind.plural, info.name, f"uid mismatch: {said}", kind.resource.group)
        return placed(kind, obj, info)

    creates = not info.subresource
    return Result(await _write(registry, kind, info, query, modify, writer, creates=creates), warnings)


def read_configuration(kind: Kind, data: bytes, strictness: str) -> tuple[dict[str, Json], tuple[str, ...]]:
    """An applied configuration, in YAML or JSON, with warnings. Raises 400."""
    try:
        config = msgspec.json.decode(data)
        found = (
            [] if strictness == "Ignore" else repeated_fields(data, config, thorough=strictness == "Strict")
        )
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        try:
            config = as_value(data)
        except StatusError as error:
            raise bad_request(f"error decoding YAML: {error}") from None
        found = [] if strictness == "Ignore" else repeated_keys(data)
    if not isinstance(config, dict) or not all(isinstance(name, str) for name in config):
        raise bad_request("error decoding YAML: error unmarshaling JSON: the configuration is no map")
    if found and strictness == "Strict":
        raise bad_request(f"error strict decoding YAML: {', '.join(found)}")
    resource = kind.resource
    api_version, name = (go_text(config.get(of) or "") for of in ("apiVersion", "kind"))
    if (api_version, name) != (resource.api_version, resource.kind):
        group, _, version = api_version.rpartition("/")
        raise bad_request(f"invalid object type: {group}/{version}, Kind={name}")
    metadata = config.get("metadata")
    if isinstance(metadata, dict) and metadata.get("managedFields") is not None:
        raise bad_request("metadata.managedFields must be nil")
    return config, tuple(found)
