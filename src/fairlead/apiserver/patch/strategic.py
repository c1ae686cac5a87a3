"""Strategic merge patches: lists of objects merge by a key, and directives say what else is to happen.

Upstream: apimachinery/pkg/util/strategicpatch, whose sentences are kept. The directives: `$patch` (replace, delete; in
lists on items), `$retainKeys`, `$setElementOrder/LIST`, `$deleteFromPrimitiveList/LIST`. Cost: in proportion to the
document and the patch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from fairlead.apiserver.patch.errors import MalformedPatch, PatchError
from fairlead.apiserver.patch.gotext import go_text, go_type
from fairlead.objects import schema

Json = Any

DIRECTIVE = "$patch"
RETAIN_KEYS = "$retainKeys"
ELEMENT_ORDER = "$setElementOrder/"
DELETE_FROM_LIST = "$deleteFromPrimitiveList/"
LIST = "[]interface {}"


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
        match patch[DIRECTIVE]:
            case "replace":
                return {name: value for name, value in patch.items() if name != DIRECTIVE}
            case "delete":
                return {}
            case directive:
                raise _unknown_directive(directive, patch)
    directed = "$" in "".join(patch)
    if directed:
        merged, patch = _retain_keys(original, patch)
        patch = _merge_ordered(merged, patch, of)
    else:
        merged = dict(original)
    for name, value in patch.items():
        if directed and name.startswith(DELETE_FROM_LIST):
            _delete_from_list(merged, name, value)
        elif value is None:
            merged.pop(name, None)
        elif isinstance(value, dict):
            had = merged.get(name)
            of_it = _field(of, name)
            merged[name] = _merge_field(had, value, of_it) if isinstance(had, dict) else _settled(value)
        elif isinstance(value, list):
            had = merged.get(name)
            of_it = _field(of, name)
            merged[name] = _merge_list_field(had, value, of_it) if isinstance(had, list) else _settled(value)
        else:
            merged[name] = value
    return merged


def _unknown_directive(directive: Json, patch: Json) -> MalformedPatch:
    return MalformedPatch(f"unknown patch type found: {go_text(directive)} in map: {go_text(patch)}")


def _kind(value: Json) -> type[Any]:
    """What decides whether two values can merge; numbers are alike whether they have a point."""
    return float if type(value) is int else type(value)


def _delete_from_list(merged: dict[str, Json], directive: str, gone: Json) -> None:
    """Takes the scalars that the directive lists out of a list."""
    name = directive.removeprefix(DELETE_FROM_LIST)
    if not name:
        raise MalformedPatch("invalid patch format of primitive list")
    had = merged.get(name)
    if not isinstance(had, list) or not isinstance(gone, list):
        return
    _check_items(had, gone)
    taken = {_key(item) for item in gone}
    merged[name] = [item for item in had if _key(item) not in taken]


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
    named = patch[RETAIN_KEYS]
    if not isinstance(named, list):
        raise MalformedPatch("invalid patch format of retainKeys")
    kept = {name for name in named if isinstance(name, str)}
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
    rest = {name: value for name, value in patch.items() if not name.startswith(ELEMENT_ORDER)}
    for name, directive in orders.items():
        order, field = patch[directive], _field(of, name)
        for value in (order, merged.get(name, []), rest.get(name, [])):
            if not isinstance(value, list):
                raise MalformedPatch(f"expected a {LIST}, but received a {go_type(value)}")
        key = field.merge_key if field is not None else ""
        had, given = merged.get(name), rest.pop(name, None)
        if given is not None:
            _check_order(given, order, key)
        if had is None and given is None:
            continue
        if had is None:
            result = _settled_list(given or [])
        else:
            result = list(had) if given is None else _merge_list_field(had, given, field)
        merged[name] = _ordered(result, order, had or [], key)
    return rest


def _check_order(patch: list[Json], order: list[Json], key: str) -> None:
    """What the patch lists has to stand in the order too, and follow it."""
    wanted = [_identity(item, key) for item in order]
    at = 0
    for item in patch:
        if key and isinstance(item, dict) and DIRECTIVE in item:
            continue
        identity = _identity(item, key)
        while at < len(wanted) and wanted[at] != identity:
            at += 1
        if at == len(wanted):
            raise MalformedPatch(
                f"The order in patch list:\n{go_text(patch)}\n doesn't match $setElementOrder list:\n{go_text(order)}\n"
            )


def _key(value: Json) -> bytes:
    """What equal values share; true is not 1."""
    return msgspec.json.encode(value)


def _identity(item: Json, key: str) -> bytes:
    """By what an item of a list is found again: the value of its merge key, or itself."""
    if not key:
        return _key(item)
    if not isinstance(item, dict) or key not in item:
        raise MalformedPatch(f"map: {go_text(item)} does not contain declared merge key: {key}")
    return _key(item[key])


def _check_items(original: list[Json], patch: list[Json]) -> bool:
    """Whether the items of both are maps. Raises where they are of several kinds, or are lists."""
    kinds = {_kind(item) for item in (*original, *patch)}
    if list in kinds:
        raise PatchError("lists of lists are not supported")
    if len(kinds) > 1 or type(None) in kinds:
        raise MalformedPatch("list element types are not identical")
    return kinds == {dict}


def _merge_list(original: list[Json], patch: list[Json], field: schema.Field) -> list[Json]:
    if not original and not patch:
        return []
    key = field.merge_key
    if not _check_items(original, patch):
        merged = list({_key(item): item for item in (*original, *patch)}.values())
        return _ordered(merged, patch, original, "")
    if not key:
        raise MalformedPatch(f"cannot merge lists without merge key for {field.name}")
    original, patch, replaced = _apply_directives(original, patch, key)
    if replaced:
        return patch
    of = _type(field)
    merged = list(original)
    positions: dict[bytes, int] = {}
    for i, item in enumerate(merged):
        positions.setdefault(_identity(item, key), i)
    for item in patch:
        identity = _identity(item, key)
        found = positions.get(identity)
        if found is None:
            positions[identity] = len(merged)
            merged.append(_settled(item))
        else:
            merged[found] = _merge_map(merged[found], item, of)
    return _ordered(merged, patch, original, key)


def _apply_directives(
    original: list[Json], patch: list[Json], key: str
) -> tuple[list[Json], list[Json], bool]:
    """Both lists once the items with `$patch` have had their way; whether the patch replaces the original."""
    plain: list[Json] = []
    gone: set[bytes] = set()
    replaced = False
    for item in patch:
        if DIRECTIVE not in item:
            plain.append(item)
            continue
        match item[DIRECTIVE]:
            case "delete":
                gone.add(_identity(item, key))
            case "replace":
                replaced = True
            case "merge":
                raise MalformedPatch("merging lists cannot yet be specified in the patch")
            case other:
                raise _unknown_directive(other, item)
    if gone:
        original = [item for item in original if _identity(item, key) not in gone]
    return original, plain, replaced


def _ordered(items: list[Json], order: Sequence[Json], server: Sequence[Json], key: str) -> list[Json]:
    """The items in the patch's order, and those that only the server has where they stood among the others."""
    wanted = _places([item for item in order if not (isinstance(item, dict) and DIRECTIVE in item)], key)
    stood = _places(server, key)
    known = [(_identity(item, key), item) for item in items]
    ours = sorted((one for one in known if one[0] in wanted), key=lambda one: wanted[one[0]])
    theirs = sorted((one for one in known if one[0] not in wanted), key=lambda one: stood.get(one[0], -1))
    merged: list[Json] = []
    i = j = 0
    while i < len(theirs) and j < len(ours):
        left, right = stood.get(theirs[i][0], -1), stood.get(ours[j][0], -1)
        if 0 <= left < right:
            merged.append(theirs[i][1])
            i += 1
        else:
            merged.append(ours[j][1])
            j += 1
    return merged + [item for _, item in theirs[i:]] + [item for _, item in ours[j:]]


def _places(items: Sequence[Json], key: str) -> dict[bytes, int]:
    """Where each item stands first."""
    places: dict[bytes, int] = {}
    for i, item in enumerate(items):
        places.setdefault(_identity(item, key), i)
    return places


def _settled(value: Json) -> Json:
    """A value that only the patch has, without directives and nulls; the usual one has none, as its text shows."""
    if not isinstance(value, (dict, list)):
        return value
    text = msgspec.json.encode(value)
    if b'"$' not in text and b":null" not in text:
        return value
    if isinstance(value, list):
        return _settled_list(value)
    return {
        name: _settled(member) if isinstance(member, (dict, list)) else member
        for name, member in value.items()
        if member is not None and not (name.startswith("$") and _is_directive(name))
    }


def _is_directive(name: str) -> bool:
    return name in (DIRECTIVE, RETAIN_KEYS) or name.startswith((ELEMENT_ORDER, DELETE_FROM_LIST))


def _settled_list(items: list[Json]) -> list[Json]:
    """The items without those that are only directives."""
    return [
        _settled(item)
        for item in items
        if not (isinstance(item, dict) and item.get(DIRECTIVE) in ("delete", "replace"))
    ]
