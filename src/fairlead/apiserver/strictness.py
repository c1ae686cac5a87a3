"""Fields in a body that no type knows, and fields given twice.

The usual body has neither, and is found good by one more decoding in C into a twin of the type that forbids unknown
fields, and reads moments as such. Only where that fails is the text walked field by field.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
import yaml

from fairlead.objects.codec import decoder, encode
from fairlead.objects.scalars import MicroTime, Time

MOMENT = Annotated[datetime, msgspec.Meta(tz=True)]


def read_strictly(kind: Any, data: bytes) -> Any | None:
    """What the twin of `kind` makes of the JSON text; one decoding in C.

    None where `kind` lacks one of the fields, or a moment is none, and where it has no twin (`recursive`).
    """
    if recursive(kind):
        return None
    try:
        return decoder(twin(kind)).decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def faults(kind: Any, data: bytes, read: Any | None, *, thorough: bool = False) -> list[str]:
    """A sentence for each field that is repeated in the JSON text, then for each that `kind` does not have.

    `read` is what the twin made of the text. A text that its twin reads has none of the latter, and none of the former
    where the twin writes as many members. Only where it does not (explicit nulls, say) or is to be `thorough`, there is
    more to do. Cost: an encoding in C.
    """
    if read is None:
        return repeated_fields(data, thorough=thorough) + unknown_fields(kind, data)
    if not thorough and encode(read).count(b'":') == data.count(b'":'):
        return []
    return repeated_fields(data, thorough=thorough)


def unknown_fields(kind: Any, data: bytes) -> list[str]:
    """A sentence for each field of the JSON text that `kind` does not have, as upstream writes it; a walk."""
    return [f'unknown field "{path}"' for path in walk(kind, msgspec.json.decode(data), "")]


def repeated_fields(data: bytes, value: Any = None, *, thorough: bool = False) -> list[str]:
    """A sentence for each field that stands twice in one object of the JSON text, whose `value` may be known already.

    A text that has as many members as its value has none; only else, or where it is to be `thorough`, it is read
    member by member. (A text that both repeats a member and has a space before another's colon may pass as good.)
    """
    if not thorough:
        if value is None:
            value = msgspec.json.decode(data)
        if msgspec.json.encode(value).count(b'":') == data.count(b'":'):
            return []
    try:
        marked = json.loads(data, object_pairs_hook=Pairs)
    except (ValueError, RecursionError):
        return []
    return [f'duplicate field "{path}"' for path in dict.fromkeys(twice(marked, ""))]


class Pairs(list[tuple[str, Any]]):
    """A JSON object with all its members, the repeated ones too."""


def twice(value: Any, path: str) -> Iterator[str]:
    """The paths of repeated members."""
    if isinstance(value, Pairs):
        seen: set[str] = set()
        for name, member in value:
            here = f"{path}.{name}" if path else name
            if name in seen:
                yield here
            seen.add(name)
            yield from twice(member, here)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from twice(item, f"{path}[{i}]")


def walk(kind: Any, value: Any, path: str) -> Iterator[str]:
    """The paths of members that the type does not have."""
    kind = among(bare(kind), value)
    if isinstance(value, dict):
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            known = members(kind)
            for name, member in value.items():
                here = f"{path}.{name}" if path else name
                if name not in known:
                    yield here
                else:
                    yield from walk(known[name], member, here)
        elif get_origin(kind) is dict:
            of = get_args(kind)[1]
            for name, member in value.items():
                yield from walk(of, member, f"{path}.{name}")
    elif isinstance(value, list) and get_origin(kind) is tuple:
        of = get_args(kind)[0]
        for i, item in enumerate(value):
            yield from walk(of, item, f"{path}[{i}]")


def without_none(kind: Any) -> Any:
    """The type without `| None`."""
    if get_origin(kind) in (types.UnionType, typing.Union):
        others = [option for option in get_args(kind) if option is not types.NoneType]
        return others[0] if len(others) == 1 else kind
    return kind


def bare(kind: Any) -> Any:
    """The type without `| None` and annotations."""
    inner = without_none(kind)
    if get_origin(inner) is Annotated:
        return bare(get_args(inner)[0])
    return inner if inner is kind else bare(inner)


def among(kind: Any, value: Any) -> Any:
    """The one of several types that a JSON value is read as: an object or a list; other values have no members."""
    if get_origin(kind) not in (types.UnionType, typing.Union):
        return kind
    for option in get_args(kind):
        if isinstance(value, dict) and isinstance(option, type) and issubclass(option, msgspec.Struct):
            return option
        if isinstance(value, list) and get_origin(option) is tuple:
            return option
    return Any


def parts(kind: Any) -> Iterator[type[msgspec.Struct]]:
    """The types that a field's type is made of."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind
    for option in get_args(kind):
        yield from parts(option)


@cache
def recursive(kind: Any) -> bool:
    """Whether a type has parts of a kind that has parts of its own kind, so that it has no twin."""

    def above(one: type[msgspec.Struct], seen: frozenset[type[msgspec.Struct]]) -> bool:
        if one in seen:
            return True
        return any(above(part, seen | {one}) for of in members(one).values() for part in parts(of))

    return above(kind, frozenset())


@cache
def members(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """The fields of a type by the name they have in JSON."""
    hints = get_type_hints(kind)
    return {field.encode_name: hints[field.name] for field in msgspec.structs.fields(kind)}


@cache
def twin(kind: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """The same type, down to its last part, with unknown fields forbidden and absent ones left out."""
    names = {field.name: field.encode_name for field in msgspec.structs.fields(kind)}
    hints = get_type_hints(kind, include_extras=True)
    return msgspec.defstruct(
        kind.__name__,
        [(name, strict(hints[name]) | None, None) for name in names],
        forbid_unknown_fields=True,
        omit_defaults=True,
        rename=names,
        kw_only=True,
        gc=False,
    )


def strict(kind: Any) -> Any:
    """A field's type with the twins of the types in it."""
    if without_none(kind) in (Time, MicroTime):
        return MOMENT
    kind = bare(kind)
    if kind is Any or kind is msgspec.Raw:
        return Any
    if get_origin(kind) is tuple:
        return types.GenericAlias(tuple, (strict(get_args(kind)[0]), ...))
    if get_origin(kind) is dict:
        return types.GenericAlias(dict, (str, strict(get_args(kind)[1])))
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return twin(kind)
    return kind


def repeated_keys(text: bytes) -> list[str]:
    """A sentence about the keys that stand twice in one map of a YAML text, as upstream's parser writes it; or none."""
    try:
        root = yaml.compose(text, yaml.CSafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        return []
    found: list[str] = []
    waiting, seen = [root], set()
    while waiting:
        node = waiting.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            keys: set[str] = set()
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode):
                    if key.value in keys:
                        found.append(f'line {key.start_mark.line + 1}: key "{key.value}" already set in map')
                    keys.add(key.value)
                waiting.append(value)
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value
    return ["\n  ".join(["yaml: unmarshal errors:", *found])] if found else []
