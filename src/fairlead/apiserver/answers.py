"""Answers in the form that the client asked for: objects, tables, metadata alone.

Stored values have no resourceVersion, and begin with kind, apiVersion and metadata in that order; so it is put in by
cutting the bytes, and lists are joined from stored bytes without decoding them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec
import yaml

from fairlead.apiserver.kinds import Kind
from fairlead.objects import protobuf
from fairlead.objects.codec import decoder, encode
from fairlead.objects.meta_v1 import ListMeta, ObjectMeta, Status
from fairlead.objects.scalars import Object
from fairlead.objects.status import failure
from fairlead.store import Entry

META = "meta.k8s.io/v1"


@dataclass(frozen=True, slots=True)
class Form:
    """How an answer is to be written. `shape` is "" for the objects themselves, or one of `SHAPES`."""

    shape: str = ""
    yaml: bool = False
    include_object: str = "Metadata"
    protobuf: bool = False

    @property
    def plain(self) -> bool:
        """Whether stored bytes can be sent as they are."""
        return not self.shape and not self.yaml and not self.protobuf

    @property
    def content_type(self) -> str:
        """The header of the answer."""
        if self.protobuf:
            return protobuf.CONTENT_TYPE
        return "application/yaml" if self.yaml else "application/json"


SHAPES = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")


def options(accept: str) -> list[tuple[str, dict[str, str]]]:
    """The media types of an Accept header with their parameters, the preferred ones first."""
    found: list[tuple[float, str, dict[str, str]]] = []
    for option in accept.split(",") if accept.strip() else ("*/*",):
        kind, *rest = (part.strip() for part in option.split(";"))
        parameters = dict(part.split("=", 1) for part in rest if "=" in part)
        try:
            quality = float(parameters.get("q", "1"))
        except ValueError:
            quality = 1.0
        found.append((quality, kind, parameters))
    found.sort(key=lambda option: -option[0])
    return [(kind, parameters) for _, kind, parameters in found]


@lru_cache(maxsize=256)
def form(accept: str, include_object: str = "", serves_protobuf: bool = True) -> Form:
    """The form in an Accept header that is preferred of those that can be given. Raises 406 where there is none.

    Tables and bare metadata are given as JSON only, and so is a type that protobuf does not have.
    """
    for kind, parameters in options(accept):
        if kind == protobuf.CONTENT_TYPE and serves_protobuf and "as" not in parameters:
            return Form(protobuf=True)
        if kind not in ("application/json", "application/yaml", "*/*", "application/*"):
            continue
        shape = parameters.get("as", "")
        if shape and (
            shape not in SHAPES
            or parameters.get("g", "meta.k8s.io") != "meta.k8s.io"
            or parameters.get("v", "v1") != "v1"
        ):
            continue
        return Form(shape, kind == "application/yaml", include_object or "Metadata")
    raise failure(
        406,
        "NotAcceptable",
        "only the following media types are accepted: application/json, application/yaml, "
        f"{protobuf.CONTENT_TYPE}, "
        "application/json;as=Table;v=v1;g=meta.k8s.io",
    )


def with_version(kind: Kind, value: bytes, revision: int) -> bytes:
    """The stored object with its resourceVersion, as JSON."""
    start = kind.head
    return b'%b"resourceVersion":"%d",%b' % (start, revision, kind.model.shown(value)[len(start) :])


def list_of(kind: Kind, entries: Sequence[Entry], metadata: ListMeta) -> bytes:
    """A list as JSON. Its items have no kind and apiVersion, as upstream's."""
    cut, shown = len(kind.head), kind.model.shown
    items = b",".join(
        [b'{"metadata":{"resourceVersion":"%d",%b' % (e.revision, shown(e.value)[cut:]) for e in entries]
    )
    start = f'{{"kind":"{kind.resource.kind}List","apiVersion":"{kind.resource.api_version}","metadata":'
    return b'%b%b,"items":[%b]}' % (start.encode(), encode(metadata), items)


def decoded(kind: Kind, value: bytes, revision: int) -> Any:
    """The stored object as a value with its resourceVersion."""
    obj = kind.model.decode(value)
    metadata = msgspec.structs.replace(obj.metadata, resourceVersion=str(revision))
    return msgspec.structs.replace(obj, metadata=metadata)


class Partial(Object, frozen=True, kw_only=True):
    """An object with nothing but its metadata."""

    kind: str = msgspec.field(default_factory=lambda: "PartialObjectMetadata")
    apiVersion: str = msgspec.field(default_factory=lambda: META)
    metadata: ObjectMeta


class PartialList(Object, frozen=True, kw_only=True):
    """A list of them."""

    kind: str = msgspec.field(default_factory=lambda: "PartialObjectMetadataList")
    apiVersion: str = msgspec.field(default_factory=lambda: META)
    metadata: ListMeta
    items: tuple[Partial, ...]


class MetadataOnly(msgspec.Struct, gc=False):
    """What is read of an object of which only the metadata is wanted."""

    metadata: ObjectMeta


def partial(value: bytes, revision: int) -> Partial:
    """The metadata of a stored object."""
    metadata = decoder(MetadataOnly).decode(value).metadata
    return Partial(metadata=msgspec.structs.replace(metadata, resourceVersion=str(revision)))


def table(
    kind: Kind, entries: Iterable[Entry], metadata: ListMeta, how: Form, *, columns: bool = True
) -> bytes:
    """Objects as the rows of a Table."""
    from fairlead.apiserver import tables

    objects = [decoded(kind, entry.value, entry.revision) for entry in entries]
    rows = tables.table(kind, objects, how.include_object, time.time(), metadata=metadata, columns=columns)
    return encode(rows)


def one(kind: Kind, value: bytes, revision: int, how: Form) -> bytes:
    """The answer that is one object."""
    if how.plain:
        return with_version(kind, value, revision)
    if how.protobuf:
        return protobuf.encode(msgspec.json.decode(with_version(kind, value, revision)))
    if how.shape == "Table":
        metadata = ListMeta(resourceVersion=str(revision))
        body = table(kind, [Entry("", value, revision)], metadata, how)
    elif how.shape:
        body = encode(partial(value, revision))
    else:
        body = with_version(kind, value, revision)
    return as_yaml(body) if how.yaml else body


def many(kind: Kind, entries: Sequence[Entry], metadata: ListMeta, how: Form) -> bytes:
    """The answer that is a list."""
    if how.protobuf:
        items = (msgspec.json.decode(with_version(kind, e.value, e.revision)) for e in entries)
        resource = kind.resource
        return protobuf.encode_list(
            resource.api_version, f"{resource.kind}List", msgspec.to_builtins(metadata), items
        )
    if how.shape == "Table":
        body = table(kind, entries, metadata, how)
    elif how.shape:
        parts = tuple(partial(entry.value, entry.revision) for entry in entries)
        body = encode(PartialList(metadata=metadata, items=parts))
    else:
        body = list_of(kind, entries, metadata)
    return as_yaml(body) if how.yaml else body


def status(of: Status, how: Form) -> bytes:
    """The answer that is a Status."""
    return protobuf.encode(msgspec.to_builtins(of)) if how.protobuf else encode(of)


def as_yaml(body: bytes) -> bytes:
    """JSON text as YAML."""
    text: str = yaml.dump(msgspec.json.decode(body), Dumper=yaml.CSafeDumper, default_flow_style=False)
    return text.encode()
