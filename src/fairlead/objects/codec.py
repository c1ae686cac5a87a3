"""JSON to typed objects, as Go reads it: an explicit null is an absent value, at any depth."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

T = TypeVar("T")
_encoder = msgspec.json.Encoder()


_decoders: dict[type[Any], msgspec.json.Decoder[Any]] = {}


def decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """The decoder of a type; made once."""
    known = _decoders.get(kind)
    if known is None:
        known = _decoders[kind] = msgspec.json.Decoder(kind)
    return known


def without_nulls(value: Any) -> Any:
    """The same JSON value without the members of objects that are null."""
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [without_nulls(v) for v in value]
    return value


def decode(kind: type[T], data: bytes | bytearray | memoryview) -> T:
    """Reads `data` as `kind`. One pass in C, unless the text has nulls where the type has none.

    Raises `msgspec.ValidationError` where a field has the wrong type (the message ends in its path) and
    `msgspec.DecodeError` where the text is not JSON.
    """
    try:
        return decoder(kind).decode(data)
    except msgspec.ValidationError:
        return decoder(kind).decode(_encoder.encode(without_nulls(msgspec.json.decode(data))))


def plain(value: Any) -> Any:
    """A typed value as a plain JSON value: maps, lists and scalars."""
    return msgspec.json.decode(_encoder.encode(value))


def encode(value: Any) -> bytes:
    """JSON, members in the order kind, apiVersion, metadata, spec, status."""
    return _encoder.encode(value)
