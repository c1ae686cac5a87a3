"""Two states of an object compared, as sets of the fields that came, changed and went.

Upstream: structured-merge-diff/typed, Compare and ToFieldSet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from fairlead.apiserver.managed.fieldsets import MEMBER, SELF, Fields, item_key, item_value
from fairlead.apiserver.managed.shapes import DeducedShape, ListShape, MapShape, Shape, deduced

Json = Any
Items = Sequence[Json]
LISTS = (list, tuple)
"""Lists: those of JSON, and those of typed values as msgspec gives them."""
_MISSING = object()
_sorted = msgspec.json.Encoder(order="sorted")


class Changes:
    """The fields that came, changed and went."""

    __slots__ = ("added", "modified", "removed")

    def __init__(self) -> None:
        self.added: Fields = {}
        self.modified: Fields = {}
        self.removed: Fields = {}


class BadItem(ValueError):
    """An item of a list that has no place in it. The message says why."""


def compare(old: dict[str, Json], new: dict[str, Json], shape: MapShape) -> Changes:
    """How `new` differs from `old`. Cost: in proportion to what differs, beside one comparison of the two in C."""
    found = Changes()
    _compare_members(old, new, shape, found)
    return found


def whole(value: Json, shape: Shape) -> Fields:
    """The node of a value that is all new, or all gone: every part of it."""
    if shape.leaf or not value:
        return MEMBER
    if isinstance(shape, DeducedShape):
        shape = deduced(value)
    if isinstance(shape, MapShape) and isinstance(value, dict):
        node: Fields = {SELF: MEMBER}
        steps = shape.steps
        for name, member in value.items():
            key, of = steps.get(name) or shape.step(name)
            node[key] = MEMBER if of.leaf else whole(member, of)
        return node
    if isinstance(shape, ListShape) and isinstance(value, LISTS) and not shape.leaf:
        node = {SELF: MEMBER}
        element = shape.element
        for name, items in indexed(value, shape).items():
            node[name] = whole(items[0], element) if len(items) == 1 else MEMBER
        return node
    return MEMBER


def field_set(value: Json, shape: Shape) -> Fields:
    """The fields that a configuration names: leaves, members of maps, items of lists."""
    if isinstance(shape, DeducedShape):
        shape = deduced(value)
    node: Fields = {}
    if isinstance(shape, MapShape) and isinstance(value, dict):
        for name, member in value.items():
            key, of = shape.step(name)
            if of.leaf or not _is_container(member, of):
                node[key] = MEMBER
                continue
            below = field_set(member, of)
            if not below and isinstance(member, list):
                continue
            named = name in shape.steps and bool(member)
            node[key] = below if named or not below else {SELF: MEMBER, **below}
    elif isinstance(shape, ListShape) and isinstance(value, list):
        for key, items in indexed(value, shape).items():
            if len(items) > 1 or shape.element.leaf:
                node[key] = MEMBER
            else:
                node[key] = {SELF: MEMBER, **field_set(items[0], shape.element)}
    return node


def _is_container(value: Json, shape: Shape) -> bool:
    """Whether a value is taken apart; lists are not where their shape is deduced."""
    if isinstance(value, dict):
        return True
    return isinstance(value, list) and isinstance(shape, ListShape)


def indexed(items: Any, shape: ListShape) -> dict[str, list[Json]]:
    """The items of a list by their path elements; those that have none are left out."""
    found: dict[str, list[Json]] = {}
    for item in items:
        try:
            key = element(item, shape)
        except BadItem:
            continue
        found.setdefault(key, []).append(item)
    return found


def element(item: Json, shape: ListShape) -> str:
    """The path element of an item of a list. Raises `BadItem`."""
    keys = shape.keys
    if not keys:
        if isinstance(item, dict):
            raise BadItem("associative list without keys has an element that's a map type")
        if isinstance(item, LISTS):
            raise BadItem("not supported: associative list with lists as elements")
        if item is None:
            raise BadItem("associative list without keys has an element that's an explicit null")
        return item_value(item)
    if item is None:
        raise BadItem("associative list with keys may not have a null element")
    if not isinstance(item, dict):
        raise BadItem("associative list with keys may not have non-map elements")
    values = [item[key] if key in item else shape.defaults.get(key, _MISSING) for key in keys]
    if _MISSING in values:
        # Keys may be left out, but not all of them.
        named = [(key, of) for key, of in zip(keys, values, strict=True) if of is not _MISSING]
        if not named:
            listed = " ".join(f'"{key}"' for key in keys)
            said = "associative list with keys has an element that omits all key fields"
            raise BadItem(f"{said} [{listed}] (and doesn't have default values for any key fields)")
        keys, values = tuple(key for key, _ in named), [value for _, value in named]
    if any(isinstance(value, (dict, *LISTS)) for value in values):
        raise BadItem("associative list with keys has an element whose key field is no scalar")
    return item_key(keys, *values)


def same(one: Json, other: Json, shape: Shape) -> bool:
    """Whether two values are equal as JSON: true is not 1, which matters where the shape does not say the type."""
    if one is other:
        return True
    if one != other:
        return False
    if type(one) is type(other) and not isinstance(one, (dict, *LISTS)):
        return True
    if isinstance(shape, DeducedShape) or type(one) is not type(other):
        return _sorted.encode(one) == _sorted.encode(other) or not _has_booleans(one, other)
    return True


def _has_booleans(one: Json, other: Json) -> bool:
    """Whether two equal values may be a boolean and a number."""
    return any(isinstance(value, (bool, dict, *LISTS)) for value in (one, other))


def _compare_members(old: dict[str, Json], new: dict[str, Json], shape: MapShape, found: Changes) -> None:
    steps = shape.steps
    for name, value in new.items():
        before = old.get(name, _MISSING)
        if before is _MISSING:
            key, of = steps.get(name) or shape.step(name)
            found.added[key] = MEMBER if of.leaf else whole(value, of)
        elif before is not value:
            key, of = steps.get(name) or shape.step(name)
            if not same(before, value, of):
                _compare_values(key, before, value, of, found)
    for name, before in old.items():
        if name not in new:
            key, of = steps.get(name) or shape.step(name)
            found.removed[key] = MEMBER if of.leaf else whole(before, of)


def _compare_values(key: str, old: Json, new: Json, shape: Shape, found: Changes) -> None:
    """Two values that differ."""
    if isinstance(shape, DeducedShape):
        before, after = deduced(old), deduced(new)
        if before is not after and old is not None and new is not None:
            _compare_kinds(key, old, new, found)
            return
        shape = after if new is not None else before
    if shape.leaf or not (old or new):
        found.modified[key] = MEMBER
        return
    below = Changes()
    if isinstance(shape, MapShape) and _are((dict,), old, new):
        _compare_members(old or {}, new or {}, shape, below)
    elif isinstance(shape, ListShape) and _are(LISTS, old, new):
        _compare_items(old or (), new or (), shape, below)
    else:
        found.modified[key] = MEMBER
        return
    if below.added:
        found.added[key] = below.added
    if below.modified:
        found.modified[key] = below.modified
    if below.removed:
        found.removed[key] = below.removed


def _are(kinds: tuple[type, ...], *values: Json) -> bool:
    return all(value is None or isinstance(value, kinds) for value in values)


def _compare_kinds(key: str, old: Json, new: Json, found: Changes) -> None:
    """A value whose kind changed: the field is modified, what was below it went, what is below it came."""
    found.modified[key] = MEMBER
    if isinstance(new, dict) and (below := _below(new)):
        found.added[key] = below
    if isinstance(old, dict) and (below := _below(old)):
        found.removed[key] = below


def _below(value: dict[str, Json]) -> Fields:
    return {name: node for name, node in whole(value, deduced(value)).items() if name != SELF}


def _compare_items(old: Items, new: Items, shape: ListShape, found: Changes) -> None:
    element_shape = shape.element
    before, after = indexed(old, shape), indexed(new, shape)
    for key, items in after.items():
        had = before.get(key, [])
        if len(items) > 1 or len(had) > 1:
            _compare_repeated(key, had, items, element_shape, found)
        elif not had:
            found.added[key] = whole(items[0], element_shape)
        elif not same(had[0], items[0], element_shape):
            _compare_values(key, had[0], items[0], element_shape, found)
    for key, had in before.items():
        if key not in after:
            found.removed[key] = whole(had[0], element_shape) if len(had) == 1 else MEMBER


def _compare_repeated(key: str, had: list[Json], items: list[Json], shape: Shape, found: Changes) -> None:
    """Items with the same key: while there are several, they are one leaf."""
    if len(had) > 1 and len(items) > 1:
        if _sorted.encode(had) != _sorted.encode(items):
            found.modified[key] = MEMBER
    elif len(had) > 1:
        found.added[key] = whole(items[0], shape)
        found.removed[key] = MEMBER
    else:
        if had:
            found.removed[key] = whole(had[0], shape)
        found.added[key] = MEMBER
