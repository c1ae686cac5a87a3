"""OpenAPI 2 in protobuf: the messages of gnostic's `openapi.v2` that Kubernetes' clients read.

Field numbers: gnostic-models, openapiv2/OpenAPIv2.proto. Every field here is a string, a boolean, or a
message, so two wire types do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fairlead.objects.codec import encode
from fairlead.objects.protobuf import varint

Json = Mapping[str, Any]

METHODS = {"get": 2, "put": 3, "post": 4, "delete": 5, "patch": 8}
PLACES = {"header": 1, "query": 3, "path": 4}


def _field(number: int, value: bytes | str | bool) -> bytes:
    if isinstance(value, bool):
        return varint(number << 3) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def _named(number: int, name: str, value: bytes) -> bytes:
    """An entry of a map: gnostic has no maps, but lists of names with values."""
    return _field(number, _field(1, name) + _field(2, value))


def _texts(number: int, values: Iterable[str]) -> bytes:
    return b"".join(_field(number, value) for value in values)


def _extensions(number: int, of: Json) -> bytes:
    """The `x-` members, each as YAML text, which JSON is."""
    found = [(name, value) for name, value in of.items() if name.startswith("x-")]
    return b"".join(_named(number, name, _field(2, encode(value))) for name, value in found)


def document(of: Json) -> bytes:
    """The whole document, from its JSON form."""
    info = _field(1, of["info"]["title"]) + _field(2, of["info"]["version"])
    paths = b"".join(_named(2, name, _path(path)) for name, path in of["paths"].items())
    definitions = b"".join(_named(1, name, _schema(one)) for name, one in of["definitions"].items())
    return _field(1, of["swagger"]) + _field(2, info) + _field(8, paths) + _field(9, definitions)


def _schema(of: Json) -> bytes:
    parts: list[bytes] = []
    if "$ref" in of:
        parts.append(_field(1, of["$ref"]))
    if "format" in of:
        parts.append(_field(2, of["format"]))
    if "description" in of:
        parts.append(_field(4, of["description"]))
    parts.append(_texts(19, of.get("required", ())))
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
    responses = b"".join(
        _named(1, code, _field(1, _field(1, response["description"])))
        for code, response in of["responses"].items()
    )
    return b"".join(
        (
            _field(5, of["operationId"]),
            _texts(7, of.get("consumes", ())),
            *(_field(8, _parameter(one)) for one in of["parameters"]),
            _field(9, responses),
            _extensions(13, of),
        )
    )


def _parameter(of: Json) -> bytes:
    """A ParametersItem: it wraps a Parameter, that wraps a NonBodyParameter, that wraps one for its place."""
    required = _field(1, True) if of.get("required") else b""
    body = required + _field(2, of["in"]) + _field(4, of["name"]) + _field(6, of["type"])
    return _field(1, _field(2, _field(PLACES[of["in"]], body)))
