"""Answers in the form that the client asked for: objects, tables, metadata alone.

Stored values have no resourceVersion, and begin with kind, apiVersion and metadata in that order; so it is put in by
cutting the bytes, and lists are joined from stored bytes without decoding them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import yaml

from fairlead.apiserver.kind import Kind
from fairlead.apiserver.negotiation import Form
from fairlead.objects import protobuf
from fairlead.objects.codec import decoder, encode
from fairlead.objects.meta_v1 import ListMeta, ObjectMeta, Status
from fairlead.objects.scalars import Object
from fairlead.store import Entry

META = "meta.k8s.io/v1"

SLICE = 400
"""Objects that are encoded as JSON before other requests have their turn, which takes some 0.5 ms."""


def slice_of(how: Form) -> int:
    """How many are encoded at a time in a form: the others than JSON take twenty times as long."""
    return SLICE if how.plain else max(SLICE // 10, 1)


def with_version(kind: Kind, value: bytes, revision: int) -> bytes:
    """The stored object with its resourceVersion, as JSON."""
    start = kind.head
    return b'%b"resourceVersion":"%d",%b' % (start, revision, kind.model.shown(value)[len(start) :])


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
        body = with_version(kind, value, revision)
        return msgspec.json.format(body, indent=2) + b"\n" if how.pretty else body
    if how.protobuf:
        return protobuf.encode(msgspec.json.decode(with_version(kind, value, revision)))
    if how.shape == "Table":
        metadata = ListMeta(resourceVersion=str(revision))
        body = table(kind, [Entry("", value, revision)], metadata, how)
    elif how.shape:
        body = encode(partial(value, revision))
    else:
        body = with_version(kind, value, revision)
    return written(body, how)


async def many(
    kind: Kind, entries: Sequence[Entry], metadata: ListMeta, how: Form, turn: asyncio.Lock
) -> bytes:
    """The answer that is a list, encoded in slices between which other requests have their turn.

    Who holds `turn` encodes a slice: of many lists under way one at a time, so that the others wait for one slice.
    """
    start, items, separator, end = parts(kind, metadata, how)
    pieces: list[bytes] = []
    size = slice_of(how)
    for at in range(0, len(entries), size):
        async with turn:
            pieces.append(items(entries[at : at + size]))
        await asyncio.sleep(0)
    body = start + separator.join([piece for piece in pieces if piece]) + end
    if how.protobuf:
        resource = kind.resource
        return protobuf.envelope(resource.api_version, kind.list_kind, body)
    return await asyncio.to_thread(written, body, how) if how.yaml or how.pretty else body


class Encoded:
    """Items of lists in protobuf, kept for the next who asks: writing one takes some 80 us, and nodes ask all alike."""

    def __init__(self, most_bytes: int = 32 << 20) -> None:
        self._items: dict[tuple[Kind, str, int], tuple[bytes, bytes]] = {}
        self._bytes = 0
        self._most = most_bytes

    def of(self, kind: Kind, list_kind: str, entry: Entry) -> bytes:
        """The item that an entry is. Its value is compared too: several servers may share a process."""
        key = (kind, entry.key, entry.revision)
        known = self._items.get(key)
        if known is not None and known[0] == entry.value:
            return known[1]
        obj = msgspec.json.decode(with_version(kind, entry.value, entry.revision))
        item = protobuf.list_item(list_kind, obj)
        if known is not None:
            self._bytes -= len(known[0]) + len(known[1])
        self._bytes += len(entry.value) + len(item)
        self._items[key] = (entry.value, item)
        while self._bytes > self._most:
            value, gone = self._items.pop(next(iter(self._items)))
            self._bytes -= len(value) + len(gone)
        return item


ITEMS = Encoded()

Items = Callable[[Sequence[Entry]], bytes]


def parts(kind: Kind, metadata: ListMeta, how: Form) -> tuple[bytes, Items, bytes, bytes]:
    """How a list is put together: what it begins with, how items are written, what is between them and at the end."""
    if how.protobuf:
        version, list_kind = kind.resource.api_version, kind.list_kind
        begin = protobuf.list_head(version, list_kind, msgspec.to_builtins(metadata))
        return begin, lambda some: b"".join([ITEMS.of(kind, list_kind, entry) for entry in some]), b"", b""
    if how.shape == "Table":
        empty = table(kind, [], metadata, how)
        rows_of = Form(shape="Table", include_object=how.include_object)
        cut = len(table(kind, [], ListMeta(), rows_of, columns=False)) - 2
        return (
            empty[:-2],
            lambda some: table(kind, some, ListMeta(), rows_of, columns=False)[cut:-2],
            b",",
            b"]}",
        )
    if how.shape:
        begin = b'{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":'
        return (
            begin + encode(metadata) + b',"items":[',
            lambda some: b",".join([encode(partial(entry.value, entry.revision)) for entry in some]),
            b",",
            b"]}",
        )
    cut, shown = len(kind.head), kind.model.shown
    begin = f'{{"kind":"{kind.list_kind}","apiVersion":"{kind.resource.api_version}","metadata":'.encode()
    return (
        begin + encode(metadata) + b',"items":[',
        # Items have no kind and apiVersion, as upstream's.
        lambda some: b",".join(
            [b'{"metadata":{"resourceVersion":"%d",%b' % (e.revision, shown(e.value)[cut:]) for e in some]
        ),
        b",",
        b"]}",
    )


def status(of: Status | Object, how: Form) -> bytes:
    """The answer that is a Status, or another object that is not stored."""
    return protobuf.encode(msgspec.to_builtins(of)) if how.protobuf else written(encode(of), how)


def written(body: bytes, how: Form) -> bytes:
    """JSON text as YAML, or indented, where it is to be read."""
    if how.yaml:
        return as_yaml(body)
    return msgspec.json.format(body, indent=2) + b"\n" if how.pretty else body


def as_yaml(body: bytes) -> bytes:
    """JSON text as YAML."""
    text: str = yaml.dump(msgspec.json.decode(body), Dumper=yaml.CSafeDumper, default_flow_style=False)
    return text.encode()
