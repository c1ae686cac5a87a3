"""Request bodies read as objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, cast

import msgspec
import yaml

from fairlead.apiserver.strictness import duplicate_fields, unknown_fields
from fairlead.objects import protobuf
from fairlead.objects.codec import decode, encode
from fairlead.objects.status import StatusError, bad_request, failure, not_supported, unprocessable

T = TypeVar("T")

LIMIT = 3 << 20
"""Bytes a body may have."""

ACCEPTED = ("application/json", "application/yaml", protobuf.CONTENT_TYPE)

VALIDATIONS = ("Ignore", "Warn", "Strict")


def media_type(header: str | None) -> str:
    """The type without its parameters, in lower case; JSON where none is given."""
    return (header or "application/json").partition(";")[0].strip().lower()


def unsupported(accepted: Sequence[str] = ACCEPTED) -> StatusError:
    """415: the body's type is none that is read here."""
    return failure(
        415,
        "UnsupportedMediaType",
        f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}",
    )


def too_large() -> StatusError:
    """413: the body is larger than `LIMIT`."""
    return failure(413, "RequestEntityTooLarge", f"Request entity too large: limit is {LIMIT}")


class Loader(yaml.CSafeLoader):
    """YAML with times left as text, since JSON has none."""


Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for letter, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def as_json(body: bytes, content_type: str | None, api_version: str = "", name: str = "") -> bytes:
    """The body as JSON text; version and kind are those of protobuf that says none.

    Raises 415 for other types, 400 for YAML and protobuf that cannot be read.
    """
    kind = media_type(content_type)
    if kind == "application/json":
        return body
    if kind == protobuf.CONTENT_TYPE:
        try:
            return encode(protobuf.decode(body, api_version, name))
        except ValueError as error:
            raise bad_request(f"error decoding protobuf: {error}") from None
    if kind not in ("application/yaml", "application/x-yaml", "text/yaml"):
        raise unsupported()
    try:
        return msgspec.json.encode(yaml.load(body, Loader))  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        raise bad_request(f"error converting YAML to JSON: {' '.join(str(error).split())}") from None
    except (TypeError, ValueError) as error:
        raise bad_request(f"error converting YAML to JSON: {error}") from None


class Header(msgspec.Struct, gc=False):
    """What a body says that it is."""

    kind: str | None = None
    apiVersion: str | None = None


def read_object(
    kind: type[T], name: str, api_version: str, data: bytes, validation: str
) -> tuple[T, tuple[str, ...]]:
    """The object in a JSON text, with warnings about unknown fields.

    `validation` is the request's `fieldValidation`, "" being Warn: Strict refuses what Warn warns of. Duplicates are
    only looked for where it is Strict. Raises 400 for text that cannot be read as this kind.
    """
    if validation not in VALIDATIONS and validation:
        error = not_supported("fieldValidation", validation, ("Ignore", "Warn", "Strict", ""))
        raise unprocessable("CreateOptions", "", [error], "meta.k8s.io")
    try:
        obj = decode(kind, data)
    except msgspec.ValidationError as error:
        raise unreadable(name, api_version, str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise unreadable(name, api_version, f"couldn't get version/kind; json parse error: {error}") from None
    check_header(obj, name, api_version, data)
    if validation == "Ignore":
        return obj, ()
    found = unknown_fields(cast(type[Any], kind), data)
    if validation == "Strict":
        found += duplicate_fields(data)
        if found:
            raise unreadable(name, api_version, f"strict decoding error: {', '.join(found)}")
    return obj, tuple(found)


def unreadable(name: str, api_version: str, why: str) -> StatusError:
    """400: the body is no object of this kind."""
    version = api_version.rpartition("/")[2]
    return bad_request(f'{name} in version "{version}" cannot be handled as a {name}: {why}')


def check_header(obj: Any, name: str, api_version: str, data: bytes) -> None:
    """Raises 400 where the object says that it is something else. Saying nothing is fine."""
    if obj.apiVersion not in (api_version, ""):
        raise bad_request(
            f"the API version in the data ({obj.apiVersion}) does not match the expected API version ({api_version})"
        )
    if obj.kind not in (name, ""):
        version = api_version.rpartition("/")[2]
        raise bad_request(
            f'{obj.kind} in version "{version}" cannot be handled as a {name}: it is another kind'
        )
