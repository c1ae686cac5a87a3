"""The schemas of custom resources in OpenAPI, as `kubectl explain` and its validation read them.

Version 2 cannot say all that a schema says; what kubectl would take for more than it is, is left out there.
Upstream: pkg/controller/openapi/{builder,v2} of apiextensions-apiserver.
"""

from __future__ import annotations

from typing import Any

import msgspec

from fairlead.apiserver.kind import Kind

Json = dict[str, Any]

GVK = "x-kubernetes-group-version-kind"
META = "io.k8s.apimachinery.pkg.apis.meta.v1"
V2 = "#/definitions/"

NOT_IN_V2 = ("oneOf", "anyOf", "allOf", "not", "nullable", "x-kubernetes-validations")
OWN = {
    "apiVersion": "APIVersion defines the versioned schema of this representation of an object.",
    "kind": "Kind is a string value representing the REST resource this object represents.",
}


def name(kind: Kind, suffix: str = "") -> str:
    """`com.example.stable.v1.CronTab` for the group `stable.example.com`."""
    resource = kind.resource
    own = kind.list_kind if suffix == "List" else resource.kind + suffix
    return ".".join([*reversed(resource.group.split(".")), resource.version, own])


def definitions(kind: Kind, prefix: str) -> Json:
    """The definitions of a custom resource and its list, by name; none for kinds of the table of types."""
    schema = kind.model.openapi
    if schema is None:
        return {}
    resource = kind.resource
    v2 = prefix == V2
    own = _converted(msgspec.to_builtins(schema), v2) | {"type": "object"}
    properties = dict(own.get("properties", {}))
    for field, about in OWN.items():
        properties[field] = {"type": "string", "description": about}
    properties["metadata"] = _reference(f"{META}.ObjectMeta", prefix)
    own["properties"] = properties
    own[GVK] = [{"group": resource.group, "kind": resource.kind, "version": resource.version}]
    listed: Json = {
        "description": f"{kind.list_kind} is a list of {resource.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {
            **{field: {"type": "string", "description": about} for field, about in OWN.items()},
            "items": {"type": "array", "items": _reference(name(kind), prefix)},
            "metadata": _reference(f"{META}.ListMeta", prefix),
        },
        GVK: [{"group": resource.group, "kind": kind.list_kind, "version": resource.version}],
    }
    return {name(kind): own, name(kind, "List"): listed}


def _reference(to: str, prefix: str) -> Json:
    return {"$ref": prefix + to} if prefix == V2 else {"allOf": [{"$ref": prefix + to}]}


def _converted(schema: Json, v2: bool) -> Json:
    """A schema with what OpenAPI can say of it."""
    found = {field: value for field, value in schema.items() if not (v2 and field in NOT_IN_V2)}
    if v2 and (schema.get("nullable") or schema.get("x-kubernetes-int-or-string")):
        for field in ("type", "items", "properties", "format"):
            found.pop(field, None)
    if v2 and schema.get("x-kubernetes-preserve-unknown-fields"):
        found.pop("items", None)
        found.pop("properties", None)
    for field in ("additionalProperties", "items", "not"):
        if isinstance(found.get(field), dict):
            found[field] = _converted(found[field], v2)
    if v2 and isinstance(found.get("additionalProperties"), bool):
        del found["additionalProperties"]
    for field in ("allOf", "anyOf", "oneOf"):
        if field in found:
            found[field] = [_converted(one, v2) for one in found[field]]
    if "properties" in found:
        found["properties"] = {member: _converted(one, v2) for member, one in found["properties"].items()}
    if found.get("x-kubernetes-embedded-resource"):
        members = found.setdefault("properties", {})
        for field, about in OWN.items():
            members.setdefault(field, {"type": "string", "description": about})
        metadata = _reference(f"{META}.ObjectMeta", V2 if v2 else "#/components/schemas/")
        members["metadata"] = metadata
    return found
