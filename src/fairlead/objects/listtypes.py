"""Lists of custom resources that are sets or maps: what may stand in them only once.

Upstream: apiextensions-apiserver/pkg/apiserver/schema/listtype.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from fairlead.objects.apiextensions_v1 import JSONSchemaProps
from fairlead.objects.jsonvalues import Json, child
from fairlead.objects.pruning import items_of, member_of
from fairlead.objects.status import FieldError, duplicate, invalid


def validate(value: Json, schema: JSONSchemaProps | None, path: str = "") -> list[FieldError]:
    """The items that stand a second time in a set, or in a map with the same keys."""
    return list(_check(value, schema, path))


def _check(value: Json, schema: JSONSchemaProps | None, path: str) -> Iterator[FieldError]:
    if schema is None:
        return
    if isinstance(value, dict):
        for name, member in value.items():
            here = child(path, name) if name in schema.properties or not path else f"{path}[{name}]"
            yield from _check(member, member_of(schema, name), here)
    elif isinstance(value, list):
        if schema.x_kubernetes_list_type == "set":
            yield from (duplicate(f"{path}[{i}]", value[i]) for i in _repeated(value))
        elif schema.x_kubernetes_list_type == "map":
            yield from _map(value, schema.x_kubernetes_list_map_keys, path)
        for i, item in enumerate(value):
            yield from _check(item, items_of(schema), f"{path}[{i}]")


def _map(value: list[Json], names: Sequence[str], path: str) -> Iterator[FieldError]:
    for i, item in enumerate(value):
        if item is not None and not isinstance(item, dict):
            yield invalid(f"{path}[{i}]", item, "must be an object for an array of list-type map")
            return
    keys = [{name: item[name] for name in names if name in item} if item else {} for item in value]
    yield from (duplicate(f"{path}[{i}]", keys[i]) for i in _repeated(keys))


def _repeated(values: Sequence[Json]) -> Iterator[int]:
    """Where each value that stands more than once stands for the second time."""
    seen: dict[bytes, int] = {}
    for i, value in enumerate(values):
        text = msgspec.json.encode(value, order="deterministic")
        seen[text] = seen.get(text, 0) + 1
        if seen[text] == 2:
            yield i
