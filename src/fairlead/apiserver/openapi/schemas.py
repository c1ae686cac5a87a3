"""Schemas: the types of the table of types in OpenAPI's words, for both of its versions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from fairlead.apiserver.openapi.descriptions import DESCRIPTIONS, ITSELF
from fairlead.apiserver.openapi.elsewhere import API_VERSIONS, VERSION_INFO
from fairlead.apiserver.openapi.operations import PATCH
from fairlead.apiserver.openapi.published import GVK
from fairlead.apiserver.openapi.values import values_of
from fairlead.objects import schema

V2, V3 = "#/definitions/", "#/components/schemas/"
"""What references begin with; it says which version a schema is for."""

Json = dict[str, Any]

QUANTITY = "k8s.io.apimachinery.pkg.api.resource.Quantity"
INT_OR_STRING = "k8s.io.apimachinery.pkg.util.intstr.IntOrString"

FORMATS: Mapping[str, Json] = {
    "int32": {"format": "int32"},
    "int64": {"format": "int64"},
    "double": {"format": "double"},
    "bytes": {"format": "byte"},
    f"{schema.META}.Time": {"format": "date-time"},
    f"{schema.META}.MicroTime": {"format": "date-time"},
    INT_OR_STRING: {"format": "int-or-string"},
}

EITHER: Mapping[str, Json] = {
    INT_OR_STRING: {"oneOf": [{"type": "integer"}, {"type": "string"}], **FORMATS[INT_OR_STRING]},
    QUANTITY: {"oneOf": [{"type": "string"}, {"type": "number"}]},
}
"""The scalars that come in two forms, which only version 3 can say."""

STRING = {"type": "string"}

OWN: Mapping[str, Mapping[str, Any]] = {
    PATCH: {
        "description": "A change of an object, in one of the forms that Content-Type can say.",
        "type": "object",
    },
    VERSION_INFO: {
        "description": "What version the server is, and what made it.",
        "type": "object",
        "required": [
            *("major", "minor", "gitVersion", "gitCommit", "gitTreeState"),
            *("buildDate", "goVersion", "compiler", "platform"),
        ],
        "properties": {
            **dict.fromkeys(
                ("major", "minor", "gitVersion", "gitCommit", "gitTreeState", "buildDate"), STRING
            ),
            **dict.fromkeys(("goVersion", "compiler", "platform"), STRING),
            **dict.fromkeys(
                ("emulationMajor", "emulationMinor", "minCompatibilityMajor", "minCompatibilityMinor"), STRING
            ),
        },
    },
}
"""What is no type of the table, and refers to nothing."""

ABOUT: Mapping[str, str] = {
    "apiVersion": "The group and version of the schema that the object is written by.",
    "kind": "What the object is; in CamelCase, never changed.",
}
"""What every object has."""


def definition_name(name: str) -> str:
    """`k8s.io.api.core.v1.Pod` as OpenAPI has it: `io.k8s.api.core.v1.Pod`."""
    return f"io.k8s.{name.removeprefix('k8s.io.')}" if name.startswith("k8s.io.") else name


def reference(name: str, prefix: str) -> Json:
    """A reference to a type."""
    return {"$ref": prefix + definition_name(name)}


def named(names: Iterable[str], prefix: str) -> Json:
    """The types of these names and all that they speak of, by their names in OpenAPI. Unknown ones are left out."""
    found: Json = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if (own := definition_name(name)) in found or not _known(name):
            continue
        found[own] = definition(name, prefix)
        waiting += _spoken_of(name)
    return found


def _known(name: str) -> bool:
    return name in schema.table() or name in OWN or name == API_VERSIONS


def _spoken_of(name: str) -> Iterator[str]:
    if name == API_VERSIONS:
        yield f"{schema.META}.ServerAddressByClientCIDR"
    of = schema.type_named(name)
    if of is not None:
        yield from (field.type for field in of.fields.values() if field.type in schema.table())


@cache
def definition(name: str, prefix: str) -> Json:
    """The schema of a type. Nobody changes it in place."""
    if name in OWN:
        return {**OWN[name]}
    if name == API_VERSIONS:
        return _api_versions(prefix)
    if name in schema.STRINGS:
        return {"type": "array", "items": STRING}
    if prefix == V3 and name in EITHER:
        return EITHER[name]
    if name in schema.SCALARS:
        return {"type": schema.SCALARS[name], **FORMATS.get(name, {})}
    if name == schema.ANY or name in schema.SCHEMA_OR:
        return {"description": "Any value."}
    of = schema.type_named(name)
    if of is None:
        return {"type": "object"}
    found: Json = {"type": "object"}
    if required := [field.name for field in of.fields.values() if field.required]:
        found["required"] = required
    about = DESCRIPTIONS.get(name, {})
    if ITSELF in about:
        found["description"] = about[ITSELF]
    found["properties"] = {
        field.name: _property(field, prefix, about.get(field.name, "")) for field in of.fields.values()
    }
    if prefix == V3:  # as upstream: generators of clients read version 2, and made types of their own of them
        for field in of.fields.values():
            found["properties"][field.name] |= values_of(name, field.name)
    if of.kind:
        for own, said in ABOUT.items():
            found["properties"][own] = {**STRING, "description": said}
        found[GVK] = [{"group": of.group, "kind": of.kind, "version": of.version}]
    if of.map_type:
        found["x-kubernetes-map-type"] = of.map_type
    return found


def _property(field: schema.Field, prefix: str, about: str) -> Json:
    if field.type in schema.table():
        one = reference(field.type, prefix)
        if prefix == V3 and not (field.is_map or field.is_list):
            # What stands beside a reference is not read.
            one = {"allOf": [one]}
    else:
        one = {"type": schema.SCALARS[field.type], **FORMATS.get(field.type, {})}
    if field.is_map:
        one = {"type": "object", "additionalProperties": one}
    elif field.is_list:
        one = {"type": "array", "items": one}
    if about:
        one["description"] = about
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


def _api_versions(prefix: str) -> Json:
    addresses = reference(f"{schema.META}.ServerAddressByClientCIDR", prefix)
    return {
        "description": "The versions of the core, and where clients reach the server.",
        "type": "object",
        "required": ["versions", "serverAddressByClientCIDRs"],
        "properties": {
            **{name: {**STRING, "description": about} for name, about in ABOUT.items()},
            "versions": {"type": "array", "items": STRING},
            "serverAddressByClientCIDRs": {"type": "array", "items": addresses},
        },
        GVK: [{"group": "", "kind": "APIVersions", "version": "v1"}],
    }
