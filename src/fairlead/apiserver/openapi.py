"""OpenAPI: what the fields of the served kinds are, for kubectl's validation, `explain` and patches.

Both versions are drawn from the table of types, when they are first asked for, and kept: `/openapi/v2`, as JSON and in
the protobuf form that kubectl before 1.27 reads, and `/openapi/v3` with a document a group version.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from hashlib import sha256
from typing import Any

from fairlead.apiserver import published
from fairlead.apiserver.gnostic import document as gnostic
from fairlead.apiserver.kinds import Kind
from fairlead.objects import schema
from fairlead.objects.codec import encode

JSON = "application/json"
PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
PROTOBUF_ASKED = (PROTOBUF, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf")
"""Older clients ask with an `@`, which no media type may have, so it is not in the answer."""
PATCHES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
GVK = "x-kubernetes-group-version-kind"
V2, V3 = "#/definitions/", "#/components/schemas/"

Json = dict[str, Any]

_FORMATS: Mapping[str, Json] = {
    "int32": {"format": "int32"},
    "int64": {"format": "int64"},
    "double": {"format": "double"},
    "bytes": {"format": "byte"},
    f"{schema.META}.Time": {"format": "date-time"},
    f"{schema.META}.MicroTime": {"format": "date-time"},
    "k8s.io.apimachinery.pkg.util.intstr.IntOrString": {"format": "int-or-string"},
}


class OpenApi:
    """The documents for `kinds`; `version` is the server's."""

    def __init__(self, kinds: Iterable[Kind], version: str) -> None:
        self._kinds = tuple(kinds)
        self._info = {"title": "Kubernetes", "version": version}

    def document(self, path: str, accept: str) -> tuple[str, bytes] | None:
        """Content type and body of the document at a path, None where there is none."""
        path = path.rstrip("/")
        if path == "/openapi/v2":
            if any(media in accept for media in PROTOBUF_ASKED):
                return PROTOBUF, self._v2_protobuf
            return JSON, self._v2_json
        if path == "/openapi/v3":
            return JSON, self._v3_index
        body = self._v3.get(path.removeprefix("/openapi/v3/"))
        return (JSON, body) if body is not None and path.startswith("/openapi/v3/") else None

    @cached_property
    def _v2(self) -> Json:
        return {
            "swagger": "2.0",
            "info": self._info,
            "paths": _paths(self._kinds, V2),
            "definitions": _definitions(self._kinds, V2),
        }

    @cached_property
    def _v2_json(self) -> bytes:
        return encode(self._v2)

    @cached_property
    def _v2_protobuf(self) -> bytes:
        return gnostic(self._v2)

    @cached_property
    def _v3(self) -> Mapping[str, bytes]:
        groups: dict[str, list[Kind]] = {}
        for kind in self._kinds:
            resource = kind.resource
            at = f"apis/{resource.api_version}" if resource.group else f"api/{resource.version}"
            groups.setdefault(at, []).append(kind)
        return {
            at: encode(
                {
                    "openapi": "3.0.0",
                    "info": self._info,
                    "paths": _paths(kinds, V3),
                    "components": {"schemas": _definitions(kinds, V3)},
                }
            )
            for at, kinds in groups.items()
        }

    @cached_property
    def _v3_index(self) -> bytes:
        """Where the documents are, each by the hash of what it says, so that clients may keep it for ever."""
        found = {
            at: {"serverRelativeURL": f"/openapi/v3/{at}?hash={sha256(body).hexdigest().upper()}"}
            for at, body in self._v3.items()
        }
        return encode({"paths": found})


def _definition_name(name: str) -> str:
    """`k8s.io.api.core.v1.Pod` as OpenAPI has it: `io.k8s.api.core.v1.Pod`."""
    return f"io.k8s.{name.removeprefix('k8s.io.')}"


def _definitions(kinds: Iterable[Kind], prefix: str) -> Json:
    """The kinds, their lists, and all types that these speak of, by name."""
    found: Json = {}
    kinds = tuple(kinds)
    waiting = list(_roots(kinds))
    while waiting:
        name = waiting.pop()
        if _definition_name(name) in found:
            continue
        found[_definition_name(name)] = _definition(name, prefix)
        of = schema.type_named(name)
        if of is not None:
            waiting += [field.type for field in of.fields.values() if field.type in schema.table()]
    for kind in kinds:
        found |= published.definitions(kind, prefix)
    return dict(sorted(found.items()))


def _roots(kinds: Iterable[Kind]) -> Iterator[str]:
    for kind in kinds:
        resource = kind.resource
        if kind.model.openapi is not None:
            yield from (f"{schema.META}.ObjectMeta", f"{schema.META}.ListMeta")
            continue
        for suffix in ("", "List") if kind.kept else ("",):
            yield schema.type_name(resource.group, resource.version, resource.kind + suffix)
    yield from (f"{schema.META}.{name}" for name in ("DeleteOptions", "Patch", "Status") if _known(name))


def _known(name: str) -> bool:
    return f"{schema.META}.{name}" in schema.table()


def _definition(name: str, prefix: str) -> Json:
    if name in schema.STRINGS:
        return {"type": "array", "items": {"type": "string"}}
    if name in schema.SCALARS:
        return {"type": schema.SCALARS[name], **_FORMATS.get(name, {})}
    if name == schema.ANY or name in schema.SCHEMA_OR:
        return {"description": "Any value."}
    of = schema.type_named(name)
    if of is None:
        return {"type": "object"}
    definition: Json = {"type": "object"}
    if required := [field.name for field in of.fields.values() if field.required]:
        definition["required"] = required
    definition["properties"] = {field.name: _property(field, prefix) for field in of.fields.values()}
    if of.map_type:
        definition["x-kubernetes-map-type"] = of.map_type
    if of.kind:
        definition[GVK] = [{"group": of.group, "kind": of.kind, "version": of.version}]
    return definition


def _property(field: schema.Field, prefix: str) -> Json:
    if field.type in schema.table():
        one: Json = {"$ref": prefix + _definition_name(field.type)}
        if prefix == V3:
            one = {"allOf": [one]}
    else:
        one = {"type": schema.SCALARS[field.type], **_FORMATS.get(field.type, {})}
    if field.is_map:
        one = {"type": "object", "additionalProperties": one}
    elif field.is_list:
        one = {"type": "array", "items": one}
    if field.list_type:
        one["x-kubernetes-list-type"] = field.list_type
    if field.list_keys:
        one["x-kubernetes-list-map-keys"] = list(field.list_keys)
    if field.map_type:
        one["x-kubernetes-map-type"] = field.map_type
    if field.merge_key:
        one["x-kubernetes-patch-merge-key"] = field.merge_key
    if field.strategies:
        one["x-kubernetes-patch-strategy"] = ",".join(sorted(field.strategies))
    return one


def _parameter(name: str, where: str, prefix: str, *, required: bool = False) -> Json:
    found: Json = {"name": name, "in": where}
    if required:
        found["required"] = True
    found.update({"schema": {"type": "string"}} if prefix == V3 else {"type": "string"})
    return found


def _paths(kinds: Iterable[Kind], prefix: str) -> Json:
    """The paths of collections and objects; those who ask want to know what may be asked of them."""
    paths: Json = {}
    for kind in kinds:
        resource = kind.resource
        namespace = "{namespace}" if resource.namespaced else ""
        places = [_parameter("namespace", "path", prefix, required=True)] if namespace else []
        name = _parameter("name", "path", prefix, required=True)
        collection, one = resource.path(namespace), resource.path(namespace, "{name}")
        if not kind.kept:
            paths[collection] = {"post": _operation(kind, "post", prefix), "parameters": places}
            continue
        paths[collection] = {
            "get": _operation(kind, "list", prefix),
            "post": _operation(kind, "post", prefix, "fieldManager", "fieldValidation", "dryRun"),
            "parameters": places,
        }
        paths[one] = {
            "get": _operation(kind, "get", prefix),
            "put": _operation(kind, "put", prefix, "fieldManager", "fieldValidation", "dryRun"),
            "patch": _operation(kind, "patch", prefix, "fieldManager", "fieldValidation", "dryRun"),
            "delete": _operation(kind, "delete", prefix, "dryRun"),
            "parameters": [name, *places],
        }
    return paths


def _title(name: str) -> str:
    return name.partition(".")[0].title()


def _operation(kind: Kind, action: str, prefix: str, *options: str) -> Json:
    resource = kind.resource
    patches = PATCHES if kind.model.strategic else [one for one in PATCHES if "strategic" not in one]
    own = {"group": resource.group, "kind": resource.kind, "version": resource.version}
    operation: Json = {
        "operationId": f"{action}{_title(resource.group) or 'Core'}{_title(resource.version)}{resource.kind}",
        "parameters": [_parameter(option, "query", prefix) for option in options],
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-action": action,
        GVK: own,
    }
    if prefix == V2 and action == "patch":
        operation["consumes"] = list(patches)
    elif prefix == V3 and action == "patch":
        operation["requestBody"] = {"content": {media: {"schema": {"type": "object"}} for media in patches}}
    return operation
