"""Request bodies read as objects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import msgspec
import yaml

from fairlead.apiserver.strictness import faults, read_strictly
from fairlead.objects import protobuf, schema
from fairlead.objects.codec import decode, encode
from fairlead.objects.meta_v1 import Status
from fairlead.objects.moments import NoMoment, checked
from fairlead.objects.status import StatusError, bad_request, failure

T = TypeVar("T")

LIMIT = 3 << 20
"""Bytes a body may have."""

ACCEPTED = ("application/json", "application/yaml", protobuf.CONTENT_TYPE)

YAML = ("application/yaml", "application/x-yaml", "text/yaml")
APPLIED = "application/apply-patch+yaml"

LARGE = 16 << 10
"""Bytes of YAML that are read beside other requests: a megabyte takes seconds."""

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
    if kind not in YAML:
        raise unsupported()
    return msgspec.json.encode(as_value(body))


MOST_NODES = 1_000_000
"""Values that a YAML text may stand for once its aliases are followed."""


DEEPEST = 500
"""Lists and maps within one another that a YAML text may have: the parser's C stack holds some thousands."""


def as_value(body: bytes) -> Any:
    """A YAML text as a JSON value. Raises 400.

    What is JSON is read as that, three hundred times as fast: kubectl sends its applied configurations so.
    """
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        check_depth(body)
        value = yaml.load(body, Loader)  # noqa: S506 - a safe loader
        if b"*" in body and _size(value, {}) > MOST_NODES:
            raise ValueError("document contains excessive aliasing")
        msgspec.json.encode(value)
    except yaml.YAMLError as error:
        raise bad_request(f"error converting YAML to JSON: {' '.join(str(error).split())}") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise bad_request(f"error converting YAML to JSON: {error}") from None
    return value


def check_depth(body: bytes) -> None:
    """Raises ValueError for a text that is nested too deeply to be read. One with few brackets and dashes cannot be."""
    if sum(body.count(sign) for sign in (b"[", b"{", b"-", b":", b"?")) <= DEEPEST:
        return
    depth = 0
    for event in yaml.parse(body, Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                raise ValueError("exceeded max depth")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _size(value: Any, known: dict[int, int]) -> int:
    """How many values one stands for, those that aliases repeat counted each time. Raises ValueError for a circle."""
    if not isinstance(value, dict | list):
        return 1
    size = known.get(id(value))
    if size == 0:
        raise ValueError("anchor contains itself")
    if size is None:
        known[id(value)] = 0
        items = value.values() if isinstance(value, dict) else value
        size = known[id(value)] = 1 + sum(_size(item, known) for item in items)
    return size


class Header(msgspec.Struct, gc=False):
    """What a body says that it is."""

    kind: str | None = None
    apiVersion: str | None = None


def read_object(
    kind: type[T], name: str, api_version: str, data: bytes, validation: str, of: schema.Type | None = None
) -> tuple[T, tuple[str, ...]]:
    """The object in a JSON text, with warnings about unknown fields.

    `validation` is the request's `fieldValidation`, "" being Warn: Strict refuses what Warn warns of. `of` is its type
    in the table, by which its moments are looked at. Raises `Unreadable` for text that cannot be read as this kind.
    """
    try:
        obj = decode(kind, data)
    except msgspec.ValidationError as error:
        raise unreadable(name, api_version, str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise unreadable(name, api_version, f"couldn't get version/kind; json parse error: {error}") from None
    check_header(obj, name, api_version, data)
    typed: Any = obj
    if not typed.kind or not typed.apiVersion:
        obj = msgspec.structs.replace(typed, kind=name, apiVersion=api_version)
    strictly = read_strictly(kind, data)
    if strictly is None and of is not None:
        try:
            checked(data, of)
        except NoMoment as error:
            raise unreadable(name, api_version, str(error)) from None
    if validation == "Ignore":
        return obj, ()
    found = faults(kind, data, strictly, thorough=validation == "Strict")
    if found and validation == "Strict":
        raise unreadable(name, api_version, strict_error(found))
    return obj, tuple(found)


def strict_error(found: Iterable[str]) -> str:
    """What a Strict request is told."""
    return f"strict decoding error: {', '.join(found)}"


class Unreadable(StatusError):
    """400: the body is no object of this kind. `why` is what is wrong with it, without the kind."""

    def __init__(self, status: Status, why: str) -> None:
        super().__init__(status)
        self.why = why


def unreadable(name: str, api_version: str, why: str) -> Unreadable:
    """The refusal of a body."""
    version = api_version.rpartition("/")[2]
    error = bad_request(f'{name} in version "{version}" cannot be handled as a {name}: {why}')
    return Unreadable(error.status, why)


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
