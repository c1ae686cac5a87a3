"""Plain JSON values: their equality, their kinds, and where one stands in an object."""

from __future__ import annotations

from typing import Any

Json = Any


def equal(one: Json, other: Json) -> bool:
    """Whether two values are the same in JSON: true is not 1, but 1 is 1.0."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    return bool(one == other)


def kind_of(value: Json) -> str:
    """What JSON Schema calls the type of a value: object, array, string, integer, number, boolean, null."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list() | tuple():
            return "array"
    return "object"


def copied(value: Json) -> Json:
    """A value of its own, however deep."""
    if isinstance(value, dict):
        return {name: copied(member) for name, member in value.items()}
    if isinstance(value, list):
        return [copied(item) for item in value]
    return value


def deeper_than(limit: int, value: Json) -> bool:
    """Whether a value has lists and objects nested deeper than `limit`. Cost: one walk, without recursion."""
    level = [value]
    for _ in range(limit):
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def child(path: str, name: str) -> str:
    """The path of a member of an object."""
    return f"{path}.{name}" if path else name
