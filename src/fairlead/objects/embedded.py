"""Objects inside of custom resources (x-kubernetes-embedded-resource): their kind, version, metadata.

Upstream: apiextensions-apiserver/pkg/apiserver/schema/objectmeta.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from fairlead.objects import names
from fairlead.objects.apiextensions_v1 import JSONSchemaProps
from fairlead.objects.codec import without_nulls
from fairlead.objects.jsonvalues import Json, child
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.metadata import validate_metadata
from fairlead.objects.pruning import items_of, member_of
from fairlead.objects.status import FieldError, invalid, required


def validate(value: Json, schema: JSONSchemaProps | None, path: str = "") -> list[FieldError]:
    """The errors of all objects in a value, which is not one of them itself unless its schema says so."""
    return list(_check(value, schema, path))


def _check(value: Json, schema: JSONSchemaProps | None, path: str) -> Iterator[FieldError]:
    if schema is None:
        return
    if isinstance(value, dict):
        if schema.x_kubernetes_embedded_resource:
            yield from _object(value, path)
        for name, member in value.items():
            yield from _check(member, member_of(schema, name), child(path, name))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _check(item, items_of(schema), f"{path}[{i}]")


def _object(value: dict[str, Json], path: str) -> Iterator[FieldError]:
    for name in ("apiVersion", "kind"):
        here, given = child(path, name), value.get(name)
        if name not in value or given == "":
            yield required(here)
        elif not isinstance(given, str):
            yield invalid(here, given, "must be a string")
        elif name == "apiVersion" and given.count("/") > 1:
            yield invalid(here, given, f"unexpected GroupVersion string: {given}")
        elif name == "kind" and (said := names.is_dns1035_label(given.lower())):
            yield invalid(here, given, f"may have mixed case, but should otherwise match: {','.join(said)}")
    if "metadata" in value:
        here = child(path, "metadata")
        try:
            meta = msgspec.convert(without_nulls(value["metadata"]), ObjectMeta)
        except msgspec.ValidationError as error:
            yield invalid(here, value["metadata"], str(error))
            return
        named = meta if meta.name else msgspec.structs.replace(meta, name="fakename")
        yield from validate_metadata(named, names.is_path_segment, namespaced=bool(meta.namespace), path=here)
