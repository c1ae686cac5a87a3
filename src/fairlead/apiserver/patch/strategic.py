"""Strategic merge patches: lists of objects merge by a key, and directives say what else is to happen.

Upstream: apimachinery/pkg/util/strategicpatch, whose sentences are kept. The directives: `$patch` (replace, merge,
delete), `$retainKeys`, `$setElementOrder/LIST`, `$deleteFromPrimitiveList/LIST`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fairlead.apiserver.patch.errors import MalformedPatch, PatchError
from fairlead.objects import schema

Json = Any

DIRECTIVE = "$patch"
RETAIN_KEYS = "$retainKeys"
ELEMENT_ORDER = "$setElementOrder/"
DELETE_FROM_LIST = "$deleteFromPrimitiveList/"


def strategic_merge(document: Json, patch: Json, of: schema.Type | None) -> Json:
    """The document with the patch merged in; lists merge by the keys that its type has for them.

    Raises `MalformedPatch` or `PatchError`.
    """
    if not isinstance(patch, dict):
        raise MalformedPatch("invalid JSON document")
    return _merge_map(document if isinstance(document, dict) else {}, patch, of)


def _merge_map(
    original: Mapping[str, Json], patch: Mapping[str, Json], of: schema.Type | None
) -> dict[str, Json]:
    if DIRECTIVE in patch:
        directive = patch[DIRECTIVE]
        if directive == "replace":
            return {name: value for name, value in patch.items() if name != DIRECTIVE}
        if directive == "delete":
            return {}
        if directive != "merge":
            raise PatchError(f"unknown patch type found: {directive} in map: {dict(patch)}")
        patch = {name: value for name, value in patch.items() if name != DIRECTIVE}
    merged, patch = _retain_keys(original, patch)
    patch = _merge_ordered(merged, patch, of)
    for name, value in patch.items():
        if name.startswith(DELETE_FROM_LIST):
            name = name.removeprefix(DELETE_FROM_LIST)
            if isinstance(merged.get(name), list):
                merged[name] = [item for item in merged[name] if item not in _list(value, name)]
        elif value is None:
            merged.pop(name, None)
        elif name not in merged or _kind(merged[name]) is not _kind(value):
            merged[name] = _settled(value)
        elif isinstance(value, dict):
            merged[name] = _merge_field(merged[name], value, _field(of, name))
        elif isinstance(value, list):
            merged[name] = _merge_list_field(merged[name], value, _field(of, name))
        else:
            merged[name] = value
    return merged


def _kind(value: Json) -> type[Any]:
    """What decides whether two values can merge; numbers are alike whether they have a point."""
    return float if type(value) is int else type(value)


def _list(value: Json, name: str) -> list[Json]:
    if not isinstance(value, list):
        raise MalformedPatch(f"expecting a list in {name}, but received {value!r}")
    return value


def _field(of: schema.Type | None, name: str) -> schema.Field | None:
    return of.fields.get(name) if of is not None else None


def _type(field: schema.Field | None) -> schema.Type | None:
    return schema.type_of(field) if field is not None else None


def _merge_field(original: dict[str, Json], patch: dict[str, Json], field: schema.Field | None) -> Json:
    if field is not None and "replace" in field.strategies:
        return _settled(patch)
    # The values of a map are no fields of its value's type.
    return _merge_map(original, patch, None if field is None or field.is_map else _type(field))


def _merge_list_field(original: list[Json], patch: list[Json], field: schema.Field | None) -> list[Json]:
    if field is None or "merge" not in field.strategies:
        return _settled_list(patch)
    return _merge_list(original, patch, field)


def _retain_keys(
    original: Mapping[str, Json], patch: Mapping[str, Json]
) -> tuple[dict[str, Json], Mapping[str, Json]]:
    """Both without what `$retainKeys` says: only the members it names stay, the others of a union go."""
    if RETAIN_KEYS not in patch:
        return dict(original), patch
    kept = set(_list(patch[RETAIN_KEYS], RETAIN_KEYS))
    rest = {name: value for name, value in patch.items() if name != RETAIN_KEYS}
    for name, value in rest.items():
        directive = name.startswith((ELEMENT_ORDER, DELETE_FROM_LIST))
        if value is not None and not directive and name not in kept:
            raise MalformedPatch("invalid patch format of retainKeys")
    return {name: value for name, value in original.items() if name in kept}, rest


def _merge_ordered(
    merged: dict[str, Json], patch: Mapping[str, Json], of: schema.Type | None
) -> Mapping[str, Json]:
    """Merges the lists into `merged` whose order the patch gives (`$setElementOrder`); the rest of the patch."""
    orders = {name.removeprefix(ELEMENT_ORDER): name for name in patch if name.startswith(ELEMENT_ORDER)}
    if not orders:
        return patch
    for name, directive in orders.items():
        order = _list(patch[directive], directive)
        field = _field(of, name)
        key = field.merge_key if field is not None else ""
        had, given = merged.get(name), patch.get(name)
        if given is not None:
            _check_order(_list(given, name), order, key)
        if isinstance(had, list) and given is not None:
            result = _merge_list_field(had, given, field)
        elif given is not None:
            result = _settled_list(given)
        elif isinstance(had, list):
            result = list(had)
        else:
            continue
        merged[name] = _ordered(result, order, had if isinstance(had, list) else [], key)
    done = {*orders, *orders.values()}
    return {
        name: value for name, value in patch.items() if name not in done or (name in orders and value is None)
    }


def _check_order(patch: list[Json], order: list[Json], key: str) -> None:
    """What the patch lists has to stand in the order too, and follow it."""
    wanted = [_identity(item, key) for item in order]
    at = 0
    for item in patch:
        if isinstance(item, dict) and DIRECTIVE in item:
            continue
        while at < len(wanted) and wanted[at] != _identity(item, key):
            at += 1
        if at == len(wanted):
            raise MalformedPatch(
                "The order in patch list doesn't match $setElementOrder list: "
                f"{[_identity(i, key) for i in patch]} {wanted}"
            )


def _identity(item: Json, key: str) -> Json:
    """By what an item of a list is found again: the value of its merge key, or itself."""
    if not key:
        return item
    if not isinstance(item, dict) or key not in item:
        raise PatchError(f"map: {item} does not contain declared merge key: {key}")
    return item[key]


def _merge_list(original: list[Json], patch: list[Json], field: schema.Field) -> list[Json]:
    if not original and not patch:
        return []
    key = field.merge_key
    if not any(isinstance(item, dict) for item in (*original, *patch)):
        merged = list(dict.fromkeys((*original, *patch)))
        return _ordered(merged, patch, original, "")
    if not key:
        raise PatchError(f"cannot merge lists without merge key for {field.name}")
    original, patch, replaced = _apply_directives(original, patch, key)
    if replaced:
        return patch
    of = _type(field)
    merged = list(original)
    positions: dict[Json, int] = {}
    for i, item in enumerate(merged):
        positions.setdefault(_identity(item, key), i)
    for item in patch:
        found = positions.get(_identity(item, key))
        if found is None:
            positions[_identity(item, key)] = len(merged)
            merged.append(_settled(item))
        else:
            merged[found] = _merge_map(merged[found], item, of)
    return _ordered(merged, patch, original, key)


def _apply_directives(
    original: list[Json], patch: list[Json], key: str
) -> tuple[list[Json], list[Json], bool]:
    """Both lists once the items with `$patch` have had their way; whether the patch replaces the original."""
    plain: list[Json] = []
    replaced = False
    for item in patch:
        if not isinstance(item, dict):
            raise PatchError(f"map: {item} does not contain declared merge key: {key}")
        match item.get(DIRECTIVE):
            case None:
                plain.append(item)
            case "delete":
                gone = _identity(item, key)
                original = [old for old in original if not isinstance(old, dict) or old.get(key) != gone]
            case "replace":
                replaced = True
            case "merge":
                raise PatchError("merging lists cannot yet be specified in the patch")
            case other:
                raise PatchError(f"unknown patch type found: {other} in map: {item}")
    return original, plain, replaced


def _ordered(items: list[Json], order: Sequence[Json], server: Sequence[Json], key: str) -> list[Json]:
    """The items in the patch's order, and those that only the server has where they stood among the others."""
    wanted = [_identity(item, key) for item in order if not (isinstance(item, dict) and DIRECTIVE in item)]
    stood = [_identity(item, key) for item in server]

    def place(item: Json, places: list[Json]) -> int:
        identity = _identity(item, key)
        return places.index(identity) if identity in places else -1

    ours = sorted((i for i in items if place(i, wanted) >= 0), key=lambda i: place(i, wanted))
    theirs = sorted((i for i in items if place(i, wanted) < 0), key=lambda i: place(i, stood))
    merged: list[Json] = []
    while ours and theirs:
        left, right = place(theirs[0], stood), place(ours[0], stood)
        merged.append(theirs.pop(0) if 0 <= left < right else ours.pop(0))
    return merged + theirs + ours


def _settled(value: Json) -> Json:
    """A value that only the patch has, without directives and nulls."""
    if isinstance(value, list):
        return _settled_list(value)
    if not isinstance(value, dict):
        return value
    return {
        name: _settled(member) if isinstance(member, (dict, list)) else member
        for name, member in value.items()
        if member is not None and not (name.startswith("$") and _is_directive(name))
    }


def _is_directive(name: str) -> bool:
    return name in (DIRECTIVE, RETAIN_KEYS) or name.startswith((ELEMENT_ORDER, DELETE_FROM_LIST))


def _settled_list(items: list[Json]) -> list[Json]:
    return [
        _settled(item) for item in items if not (isinstance(item, dict) and item.get(DIRECTIVE) == "delete")
    ]
