"""Schemas of custom resources as types: what patches and apply ask of fields, lists, maps (`schema.py`)."""

from __future__ import annotations

from types import MappingProxyType

from fairlead.objects.apiextensions_v1 import JSONSchemaProps
from fairlead.objects.pruning import items_of
from fairlead.objects.resources import Resource
from fairlead.objects.schema import META, Field, Type

OWN = {
    "apiVersion": Field("apiVersion", "string", 0),
    "kind": Field("kind", "string", 0),
    "metadata": Field("metadata", f"{META}.ObjectMeta", 0),
}


def type_of_schema(schema: JSONSchemaProps, resource: Resource[object]) -> Type:
    """The type of a version's objects."""
    name = f"{resource.group}.{resource.version}.{resource.kind}"
    members = {**_fields(schema, name), **OWN}
    preserves = bool(schema.x_kubernetes_preserve_unknown_fields)
    return Type(
        name, MappingProxyType(members), resource.group, resource.version, resource.kind, open=preserves
    )


def _fields(schema: JSONSchemaProps, name: str) -> dict[str, Field]:
    return {
        member: _field(member, of, member in schema.required, f"{name}.{member}")
        for member, of in schema.properties.items()
    }


def _field(name: str, schema: JSONSchemaProps, required: bool, path: str) -> Field:
    items = items_of(schema)
    if schema.type == "array" and items is not None:
        return Field(
            name,
            _type_name(items, path),
            0,
            is_list=True,
            required=required,
            list_type=schema.x_kubernetes_list_type or "",
            list_keys=schema.x_kubernetes_list_map_keys,
            of=_type(items, path),
        )
    values = schema.additionalProperties
    if isinstance(values, JSONSchemaProps):
        return Field(
            name,
            _type_name(values, path),
            0,
            is_map=True,
            required=required,
            map_type=schema.x_kubernetes_map_type or "",
            of=_type(values, path),
        )
    map_type = schema.x_kubernetes_map_type or ""
    return Field(
        name,
        _type_name(schema, path),
        0,
        required=required,
        map_type=map_type,
        default=schema.default,
        of=_type(schema, path),
    )


def _type_name(schema: JSONSchemaProps, path: str) -> str:
    """The name of a type: that of its place for objects, that of a scalar else."""
    if schema.x_kubernetes_int_or_string:
        return "k8s.io.apimachinery.pkg.util.intstr.IntOrString"
    return {"string": "string", "boolean": "bool", "integer": "int64", "number": "double"}.get(
        schema.type, path
    )


def _type(schema: JSONSchemaProps, path: str) -> Type | None:
    if not schema.properties:
        return None
    fields = MappingProxyType(_fields(schema, path))
    return Type(
        path,
        fields,
        map_type=schema.x_kubernetes_map_type or "",
        open=bool(schema.x_kubernetes_preserve_unknown_fields),
    )
