"""Sets of fields, as FieldsV1 writes them: nested maps from path elements to what is in the set below them.

A path element is `f:NAME` for a member of a map, `k:{...}` for the item of a list with these keys, `v:VALUE` for the
item of a set, `i:N` for one of another list. A node that is empty is in the set itself; one with nodes below is in it
only if `.` is among them. The root is never in the set: there, empty means nothing. Sets are never changed in place.

Upstream: structured-merge-diff/fieldpath.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Union

import msgspec

Fields = dict[str, "Fields"]

Json = Any
Scalar = Union[str, int, float, bool, None]  # noqa: UP007

SELF = "."
MEMBER: Fields = {}
"""A node that is in the set, with nothing below it."""

LIMIT = 16_384
"""Bytes of a FieldsV1 that is kept read; larger ones are read each time."""

DEEPEST = 200
"""How deep the nodes of a set that comes from outside may be nested."""

_encoder = msgspec.json.Encoder(order="sorted")
_plain = msgspec.json.Encoder()


def encode(fields: Fields) -> bytes:
    """The set as FieldsV1, in one order always."""
    return _encoder.encode(fields)


def decode(raw: bytes) -> Fields:
    """The set in a FieldsV1 that was written by `encode`; nobody may change what is given. Cost: a lookup, mostly."""
    return _kept(raw) if len(raw) <= LIMIT else _read(raw)


def _read(raw: bytes) -> Fields:
    read: Fields = msgspec.json.decode(raw) if raw and raw != b"null" else {}
    return read


_kept = lru_cache(maxsize=512)(_read)


def parse(raw: bytes) -> Fields:
    """The set in a FieldsV1 from outside, brought into the one form. Raises ValueError where it is none."""
    try:
        read = msgspec.json.decode(raw) if raw else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"a set of fields is no JSON: {error}") from None
    return _parsed(read if read is not None else {}, 0)


def _parsed(node: Json, depth: int) -> Fields:
    if not isinstance(node, dict):
        raise ValueError("a set of fields is a map of maps")
    if depth > DEEPEST:
        raise ValueError("a set of fields is nested too deeply")
    parsed: Fields = {}
    for name, below in node.items():
        parsed[_element(name)] = _parsed(below, depth + 1)
    return MEMBER if parsed.keys() == {SELF} and depth else parsed


def _element(name: str) -> str:
    """A path element in the one form. Raises ValueError."""
    if name == SELF or name.startswith("f:"):
        return name
    kind, value = name[:2], name[2:]
    try:
        match kind:
            case "k:":
                read = msgspec.json.decode(value)
                if not isinstance(read, dict):
                    raise ValueError(f"the keys in {name!r} are no map")
                return "k:" + _plain.encode(dict(sorted(read.items()))).decode()
            case "v:":
                return "v:" + _plain.encode(msgspec.json.decode(value)).decode()
            case "i:":
                return f"i:{int(value)}"
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"the path element {name!r} is no JSON: {error}") from None
    raise ValueError(f"unknown path element {name!r}")


def item_key(keys: tuple[str, ...], *values: Scalar) -> str:
    """The path element of an item with these values of its keys, whose names are in order."""
    if len(keys) == 1 and keys[0].isidentifier() and type(values[0]) is str:
        # Most are so, and many of them are addresses, which nobody sees again.
        return f'k:{{"{keys[0]}":{_plain.encode(values[0]).decode()}}}'
    return _item_key(keys, *values)


@lru_cache(maxsize=8192, typed=True)
def _item_key(keys: tuple[str, ...], *values: Scalar) -> str:
    return "k:" + _plain.encode(dict(zip(keys, values, strict=True))).decode()


@lru_cache(maxsize=8192, typed=True)
def item_value(value: Scalar) -> str:
    """The path element of an item of a set."""
    return "v:" + _plain.encode(value).decode()


def has(node: Fields) -> bool:
    """Whether a node below the root is in the set itself."""
    return not node or SELF in node


def union(one: Fields, other: Fields) -> Fields:
    """What is in either."""
    if not one or one is other:
        return other
    if not other:
        return one
    joined = dict(one)
    for name, node in other.items():
        mine = joined.get(name)
        joined[name] = node if mine is None else _union_of_nodes(mine, node)
    return joined


def _union_of_nodes(one: Fields, other: Fields) -> Fields:
    if one is other or one == other:
        return one
    if not one:
        return other if SELF in other else {SELF: MEMBER, **other}
    if not other:
        return one if SELF in one else {SELF: MEMBER, **one}
    return union(one, other)


def difference(one: Fields, other: Fields) -> Fields:
    """What is in the first and not in the other; `one` itself where that is all of it."""
    if not other:
        return one
    left: Fields = {}
    changed = False
    for name, node in one.items():
        gone = other.get(name)
        if gone is None:
            left[name] = node
            continue
        rest = _difference_of_nodes(node, gone)
        changed = changed or rest is not node
        if rest is not None:
            left[name] = rest
    return left if changed else one


def _difference_of_nodes(one: Fields, other: Fields) -> Fields | None:
    """None: nothing is left."""
    if not one:
        return None if has(other) else one
    if not other:
        return {name: node for name, node in one.items() if name != SELF} if SELF in one else one
    left = difference(one, other)
    if left is one:
        return one
    return MEMBER if left.keys() == {SELF} else left or None


def intersection(one: Fields, other: Fields) -> Fields:
    """What is in both."""
    common: Fields = {}
    for name, node in one.items():
        theirs = other.get(name)
        if theirs is not None and (both := _intersection_of_nodes(node, theirs)) is not None:
            common[name] = both
    return common


def _intersection_of_nodes(one: Fields, other: Fields) -> Fields | None:
    if not one or not other:
        return MEMBER if has(one) and has(other) else None
    common = intersection(one, other)
    return MEMBER if common.keys() == {SELF} else common or None


def without(one: Fields, tops: Fields) -> Fields:
    """What is in the first and neither in the other nor below a field of it (upstream: RecursiveDifference)."""
    left: Fields = {}
    for name, node in one.items():
        top = tops.get(name)
        if top is None:
            left[name] = node
        elif not has(top):
            if not node:
                left[name] = node
            elif rest := without(node, top):
                left[name] = MEMBER if rest.keys() == {SELF} else rest
    return left


def paths(fields: Fields) -> Iterator[tuple[str, ...]]:
    """The path of every field in the set, the nearer ones first, in order."""
    yield from _paths(fields, ())


def _paths(fields: Fields, above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    below = sorted((name for name in fields if name != SELF), key=_order)
    for name in below:
        if has(fields[name]):
            yield (*above, name)
    for name in below:
        yield from _paths(fields[name], (*above, name))


_DIGITS = re.compile(r"(\d+)")


def _order(name: str) -> list[Any]:
    """Sorts numbers in keys by their value."""
    return [int(part) if i % 2 else part for i, part in enumerate(_DIGITS.split(name))]


def path_text(path: tuple[str, ...]) -> str:
    """A path as messages have it: `.spec.ports[port=80,protocol="TCP"].nodePort`."""
    return "".join(_element_text(name) for name in path)


def _element_text(name: str) -> str:
    kind, value = name[:2], name[2:]
    match kind:
        case "f:":
            return f".{value}"
        case "k:":
            keys = msgspec.json.decode(value)
            return "[" + ",".join(f"{key}={_plain.encode(of).decode()}" for key, of in keys.items()) + "]"
        case "v:":
            return f"[={value}]"
    return f"[{value}]"
