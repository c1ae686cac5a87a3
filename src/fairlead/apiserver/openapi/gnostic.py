"""OpenAPI 2 in protobuf: the messages of gnostic's `openapi.v2` that Kubernetes' clients read.

Field numbers: gnostic-models, openapiv2/OpenAPIv2.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fairlead.objects.codec import encode
from fairlead.objects.protobuf import varint

Json = Mapping[str, Any]

METHODS = {"get": 2, "put": 3, "post": 4, "delete": 5, "patch": 8}
PLACES = {"header": (1, 5), "query": (3, 6), "path": (4, 5)}
"""For each place of a parameter the number of its message, and that of `type` in it."""

DOUBLES = {"multipleOf": 6, "maximum": 7, "minimum": 9}
FLAGS = {"exclusiveMaximum": 8, "exclusiveMinimum": 10, "uniqueItems": 16}
COUNTS = {
    "maxLength": 11,
    "minLength": 12,
    "maxItems": 14,
    "minItems": 15,
    "maxProperties": 17,
    "minProperties": 18,
}
TEXTS = {"$ref": 1, "format": 2, "title": 3, "description": 4, "pattern": 13}


def _field(number: int, value: bytes | str | bool) -> bytes:
    if isinstance(value, bool):
        return varint(number << 3) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def _count(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value & (1 << 64) - 1)


def _double(number: int, value: float) -> bytes:
    return varint(number << 3 | 1) + struct.pack("<d", value)


def _named(number: int, name: str, value: bytes) -> bytes:
    """An entry of a map: gnostic has no maps, but lists of names with values."""
    return _field(number, _field(1, name) + _field(2, value))


def _texts(number: int, values: Iterable[str]) -> bytes:
    return b"".join(_field(number, value) for value in values)


def _any(value: Any) -> bytes:
    """A value as YAML text, which JSON is."""
    return _field(2, encode(value))


def _extensions(number: int, of: Json) -> bytes:
    """The `x-` members."""
    return b"".join(_named(number, name, _any(value)) for name, value in of.items() if name.startswith("x-"))


def document(info: Json, paths: bytes, definitions: bytes, schemes: Json, security: Iterable[Json]) -> bytes:
    """The whole document, of what `paths` and `definition` make."""
    about = _field(1, info["title"]) + _field(2, info["version"])
    # SecurityDefinitionsItem: api_key_security is its second; the requirement is a list of no scopes.
    kept = b"".join(_named(1, name, _field(2, _api_key(of))) for name, of in schemes.items())
    wanted = b"".join(_field(12, b"".join(_named(1, name, b"") for name in one)) for one in security)
    return b"".join(
        (
            _field(1, "2.0"),
            _field(2, about),
            _field(8, paths),
            _field(9, definitions),
            wanted,
            _field(13, kept),
        )
    )


def _api_key(of: Json) -> bytes:
    return b"".join(_field(i, of[name]) for i, name in enumerate(("type", "name", "in", "description"), 1))


def paths(of: Json) -> bytes:
    """The entries of Paths; those of several can be joined."""
    return b"".join(_named(2, name, _path(path)) for name, path in of.items())


def definition(name: str, of: Json) -> bytes:
    """An entry of Definitions; those of several can be joined."""
    return _named(1, name, _schema(of))


def _schema(of: Json) -> bytes:
    parts: list[bytes] = []
    kinds: tuple[tuple[Mapping[str, int], Callable[[int, Any], bytes]], ...] = (
        (TEXTS, _field),
        (DOUBLES, _double),
        (FLAGS, _field),
        (COUNTS, _count),
    )
    for numbers, write in kinds:
        parts += [write(number, of[name]) for name, number in numbers.items() if name in of]
    if "default" in of:
        parts.append(_field(5, _any(of["default"])))
    parts.append(_texts(19, of.get("required", ())))
    parts += [_field(20, _any(value)) for value in of.get("enum", ())]
    if "additionalProperties" in of:
        parts.append(_field(21, _field(1, _schema(of["additionalProperties"]))))
    if "type" in of:
        parts.append(_field(22, _field(1, of["type"])))
    if "items" in of:
        parts.append(_field(23, _field(1, _schema(of["items"]))))
    if "properties" in of:
        members = b"".join(_named(1, name, _schema(one)) for name, one in of["properties"].items())
        parts.append(_field(25, members))
    parts.append(_extensions(31, of))
    return b"".join(parts)


def _path(of: Json) -> bytes:
    found = b"".join(_field(METHODS[name], _operation(one)) for name, one in of.items() if name in METHODS)
    return found + b"".join(_field(9, _parameter(one)) for one in of.get("parameters", ()))


def _operation(of: Json) -> bytes:
    answers = b"".join(_named(1, code, _field(1, _answer(one))) for code, one in of["responses"].items())
    return b"".join(
        (
            _texts(1, of["tags"]),
            _field(3, of["description"]),
            _field(5, of["operationId"]),
            _texts(6, of["produces"]),
            _texts(7, of["consumes"]),
            *(_field(8, _parameter(one)) for one in of.get("parameters", ())),
            _field(9, answers),
            _texts(10, of["schemes"]),
            _extensions(13, of),
        )
    )


def _answer(of: Json) -> bytes:
    found = _field(1, of["description"])
    return found + _field(2, _field(1, _schema(of["schema"]))) if "schema" in of else found


def _parameter(of: Json) -> bytes:
    """A ParametersItem: it wraps a Parameter, that wraps a BodyParameter, or another that wraps one for its place."""
    required = bool(of.get("required"))
    if of["in"] == "body":
        told = _field(2, of["name"]) + _field(3, "body") + (_field(4, True) if required else b"")
        return _field(1, _field(1, told + _field(5, _schema(of["schema"]))))
    place, kind = PLACES[of["in"]]
    told = (_field(1, True) if required else b"") + _field(2, of["in"]) + _field(3, of["description"])
    return _field(1, _field(2, _field(place, told + _field(4, of["name"]) + _field(kind, of["type"]))))
