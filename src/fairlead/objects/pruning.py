"""Custom resources cut to their schema and completed from it: unknown fields, nulls, defaults.

All work in place on a JSON value that is the caller's own. A schema is structural (`structural.py`), so that each
place of a value has one. Upstream: apiextensions-apiserver/pkg/apiserver/schema/{pruning,defaulting}.
"""

from __future__ import annotations

from collections.abc import Iterator

from fairlead.objects.apiextensions_v1 import JSONSchemaProps
from fairlead.objects.jsonvalues import Json, child, copied

OWN = frozenset({"apiVersion", "kind", "metadata"})
"""What every object has, whatever its schema says."""


def items_of(schema: JSONSchemaProps | None) -> JSONSchemaProps | None:
    """The schema of a list's items."""
    items = schema.items if schema is not None else None
    return items if isinstance(items, JSONSchemaProps) else None


def member_of(schema: JSONSchemaProps | None, name: str) -> JSONSchemaProps | None:
    """The schema of a member of an object, None where it has none."""
    if schema is None:
        return None
    found = schema.properties.get(name)
    if found is None and isinstance(schema.additionalProperties, JSONSchemaProps):
        return schema.additionalProperties
    return found


def prune(value: Json, schema: JSONSchemaProps | None, *, whole: bool = False) -> list[str]:
    """Removes what the schema does not know, and gives the paths of it. `whole`: the value is an object of the API."""
    return list(_prune(value, schema, "", embedded=whole))


def _prune(
    value: Json, schema: JSONSchemaProps | None, path: str, *, embedded: bool = False, keeps: bool = False
) -> Iterator[str]:
    """`keeps`: the list that the value stands in preserves what is unknown in its items."""
    preserves = keeps or (schema is not None and bool(schema.x_kubernetes_preserve_unknown_fields))
    if isinstance(value, list):
        if schema is None and preserves:
            return
        for i, item in enumerate(value):
            yield from _prune(item, items_of(schema), f"{path}[{i}]", keeps=preserves)
    elif isinstance(value, dict):
        embedded = embedded or (schema is not None and schema.x_kubernetes_embedded_resource)
        additional = schema.additionalProperties if schema is not None else None
        for name in list(value):
            if embedded and name in OWN:
                continue
            here = child(path, name)
            known = schema.properties.get(name) if schema is not None else None
            if known is not None:
                yield from _prune(value[name], known, here)
            elif additional is not None:
                # As a boolean it says nothing of what is in the members: objects there are emptied.
                of = additional if isinstance(additional, JSONSchemaProps) else None
                yield from _prune(value[name], of, here)
            elif not preserves:
                del value[name]
                yield here


def drop_nulls(value: Json, schema: JSONSchemaProps | None) -> None:
    """Removes the nulls of fields that may not be null, but for those that get a default."""
    if schema is None:
        return
    if isinstance(value, dict):
        for name in list(value):
            of = member_of(schema, name)
            if value[name] is None:
                if of is not None and not of.nullable and of.default is None:
                    del value[name]
            else:
                drop_nulls(value[name], of)
    elif isinstance(value, list):
        items = items_of(schema)
        for item in value:
            drop_nulls(item, items)


def default(value: Json, schema: JSONSchemaProps | None) -> None:
    """Fills in the defaults of fields that are absent, or null where they may not be."""
    if schema is None:
        return
    if isinstance(value, dict):
        for name, of in schema.properties.items():
            if of.default is not None and (name not in value or (value[name] is None and not of.nullable)):
                value[name] = copied(of.default)
        for name, member in value.items():
            default(member, member_of(schema, name))
    elif isinstance(value, list):
        items = items_of(schema)
        for i, item in enumerate(value):
            if item is None and items is not None and not items.nullable and items.default is not None:
                value[i] = copied(items.default)
            default(value[i], items)


def settle(value: Json, schema: JSONSchemaProps | None) -> list[str]:
    """All three, in the order of a request or a read of the store; gives the paths of what was pruned."""
    pruned = prune(value, schema, whole=True)
    drop_nulls(value, schema)
    default(value, schema)
    return pruned
