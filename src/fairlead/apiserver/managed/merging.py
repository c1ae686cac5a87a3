"""An applied configuration: judged by its shape, merged into an object; fields taken out of an object.

Upstream: structured-merge-diff/typed, Merge, RemoveItems and the validation of typed values.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec

from fairlead.apiserver.managed.comparison import BadItem, element, indexed
from fairlead.apiserver.managed.fieldsets import Fields, has, path_text
from fairlead.apiserver.managed.shapes import DEDUCED, DeducedShape, ListShape, MapShape, Shape, deduced

Json = Any

DEEPEST = 100
"""How deep a configuration may be nested."""


def errors_of(value: Json, shape: Shape) -> list[str]:
    """What is wrong with a configuration, each with its path, in upstream's words. No list may have a key twice."""
    return _errors(value, shape, "", 0)


def _errors(value: Json, shape: Shape, path: str, depth: int) -> list[str]:
    if value is None:
        return []
    if depth > DEEPEST:
        return [f"{path}: nested too deeply"]
    if isinstance(shape, DeducedShape):
        shape = deduced(value)
    if isinstance(shape, MapShape):
        if not isinstance(value, dict):
            return [_said(path, f"expected map, got {shown(value)}")]
        found: list[str] = []
        for name, member in value.items():
            of = shape.fields.get(name) or shape.element
            if of is None:
                found.append(f"{path}.{name}: field not declared in schema")
            else:
                found += _errors(member, of, f"{path}.{name}", depth + 1)
        return found
    if isinstance(shape, ListShape):
        if not isinstance(value, list):
            return [_said(path, f"expected list, got {shown(value)}")]
        return _list_errors(value, shape, path, depth)
    fits = {
        "numeric": isinstance(value, int | float) and not isinstance(value, bool),
        "string": isinstance(value, str),
        "boolean": isinstance(value, bool),
    }.get(shape.scalar, not isinstance(value, dict | list))
    if fits:
        return []
    expected = {"numeric": "numeric (int or float)", "untyped": "any scalar"}.get(shape.scalar, shape.scalar)
    return [_said(path, f"expected {expected}, got {shown(value)}")]


def _said(path: str, said: str) -> str:
    return f"{path}: {said}" if path else said


def _list_errors(items: list[Json], shape: ListShape, path: str, depth: int) -> list[str]:
    found: list[str] = []
    seen: set[str] = set()
    for i, item in enumerate(items):
        if shape.leaf:
            found += _errors(item, shape.element, f"{path}[{i}]", depth + 1)
            continue
        try:
            key = element(item, shape)
        except BadItem as error:
            found.append(_said(path, f"element {i}: {error}"))
            continue
        here = path_text((key,))
        if key in seen:
            found.append(_said(path, f"duplicate entries for key {here}"))
        seen.add(key)
        found += _errors(item, shape.element, f"{path}{here}", depth + 1)
    return found


def shown(value: Json) -> str:
    """A value as upstream's messages have it: close to YAML in one line."""
    if isinstance(value, dict):
        return "&{map[" + " ".join(f"{name}:{_go(of)}" for name, of in value.items()) + "]}"
    if isinstance(value, list):
        return "&{[" + " ".join(_go(of) for of in value) + "]}"
    if isinstance(value, str):
        return f"&{{{value}}}"
    return f"&{{{_go(value)}}}"


def _go(value: Json) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def merged(old: Json, new: Json, shape: Shape) -> Json:
    """The old value with the new one put into it: leaves are replaced, members and items merged."""
    if new is None or old is None:
        return new
    if isinstance(shape, DeducedShape):
        before, shape = deduced(old), deduced(new)
        if before is not shape:
            return new
    if shape.leaf or not (old or new):
        return new
    if isinstance(shape, MapShape) and isinstance(old, dict) and isinstance(new, dict):
        result = dict(old)
        for name, value in new.items():
            result[name] = merged(old[name], value, shape.step(name)[1]) if name in old else value
        return result
    if isinstance(shape, ListShape) and isinstance(old, list) and isinstance(new, list):
        return _merged_items(old, new, shape)
    return new


def _merged_items(old: list[Json], new: list[Json], shape: ListShape) -> list[Json]:
    """The items of both: in the order of the new list, those of the old one only where they stood among the others."""
    theirs = indexed(old, shape)
    ours = {element(item, shape): item for item in new}
    left, given = list(theirs), list(ours)
    shared = deque(key for key in given if key in theirs)
    result: list[Json] = []
    i = j = 0
    while i < len(left) or j < len(given):
        mine = left[i] if i < len(left) else None
        yours = given[j] if j < len(given) else None
        if mine is not None and mine not in ours:
            result += theirs[mine]
            i += 1
        elif mine is not None and mine != yours and not (shared and shared[0] == mine):
            i += 1  # It has its place elsewhere in the new order.
        elif yours is not None:
            had = theirs.get(yours, ())
            result.append(merged(had[0], ours[yours], shape.element) if len(had) == 1 else ours[yours])
            j += 1
            i += mine == yours
            if shared and shared[0] == yours:
                shared.popleft()
    return result


def removed(value: Json, fields: Fields, shape: Shape, kept: Fields | None = None) -> Json:
    """The value without the members and items in a set; what is atomic stays or goes as a whole.

    A map or list of which nothing is left becomes null, as upstream's does, unless it is itself in the set `kept`.
    """
    if isinstance(shape, DeducedShape):
        shape = deduced(value)
    if not value or shape.leaf:
        return value
    kept = kept or {}
    if isinstance(shape, MapShape) and isinstance(value, dict):
        left: dict[str, Json] = {}
        for name, member in value.items():
            key, of = shape.step(name)
            node = fields.get(key)
            if node is None:
                left[name] = member
            elif not has(node):
                wanted = kept.get(key)
                rest = removed(member, node, of, wanted)
                emptied = member and not rest and (wanted is None or not has(wanted))
                left[name] = None if emptied else rest
        return left
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [one for item in value for one in _without_items(item, fields, shape, kept)]
    return value


def _without_items(item: Json, fields: Fields, shape: ListShape, kept: Fields) -> list[Json]:
    """What is left of an item: nothing, or itself without some of its members."""
    try:
        key = element(item, shape)
    except BadItem:
        return [item]
    node = fields.get(key)
    if node is None:
        return [item]
    return [] if has(node) else [removed(item, node, shape.element, kept.get(key))]


def with_named_members(fields: Fields, shape: Shape) -> Fields:
    """The set with the members that types name in it too, where something below them is (they are not owned alone)."""
    whole: Fields = {}
    steps = shape.steps if isinstance(shape, MapShape) else {}
    for name, node in fields.items():
        below = with_named_members(node, _below(shape, name)) if node else node
        if node and "." not in node and name[:2] == "f:" and name[2:] in steps:
            below = {".": {}, **below}
        whole[name] = below
    return whole


def _below(shape: Shape, name: str) -> Shape:
    """The shape at a path element."""
    if isinstance(shape, MapShape) and name.startswith("f:"):
        return shape.step(name[2:])[1]
    if isinstance(shape, ListShape):
        return shape.element
    return DEDUCED
