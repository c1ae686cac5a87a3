"""The messages of etcd's gRPC API that the store needs, to and from their bytes.

They are few, and none of them has changed since etcd 3.0; a generated library for them would be larger than this file.
Upstream: etcd/api/etcdserverpb/rpc.proto, api/mvccpb/kv.proto.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from fairlead.objects.protobuf import delimited, fields, varint

RANGE = "/etcdserverpb.KV/Range"
PUT = "/etcdserverpb.KV/Put"
DELETE = "/etcdserverpb.KV/DeleteRange"
TXN = "/etcdserverpb.KV/Txn"
COMPACT = "/etcdserverpb.KV/Compact"
WATCH = "/etcdserverpb.Watch/Watch"
STATUS = "/etcdserverpb.Maintenance/Status"

MOD, VERSION = 2, 0
"""What a comparison looks at."""


class KeyValue(msgspec.Struct, frozen=True, gc=False):
    """A key as it was last written at `revision`, for the `version`th time since it was made."""

    key: bytes
    value: bytes = b""
    revision: int = 0
    version: int = 0


class Found(msgspec.Struct, frozen=True, gc=False):
    """An answer to a range: the entries, the number of all, and the revision of the whole store."""

    entries: list[KeyValue]
    count: int
    revision: int


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """An answer to a transaction: whether its comparisons held, what its ranges found and how much it deleted."""

    succeeded: bool
    revision: int
    found: list[Found]
    deleted: int


class Told(msgspec.Struct, frozen=True, gc=False):
    """An answer of a watch: what was written (False: deleted), or why it ended."""

    revision: int
    events: list[tuple[bool, KeyValue]]
    created: bool
    canceled: bool
    compacted: int
    reason: str


def number(field: int, value: int) -> bytes:
    """A field that is a number; zero is not written."""
    return varint(field << 3) + varint(value) if value else b""


def range_request(
    key: bytes, end: bytes = b"", *, limit: int = 0, revision: int = 0, keys_only: bool = False
) -> bytes:
    """The keys from `key` up to `end`, or one."""
    bounds = delimited(1, key) + (delimited(2, end) if end else b"")
    return bounds + number(3, limit) + number(4, revision) + number(8, keys_only)


def put_request(key: bytes, value: bytes) -> bytes:
    """A key gets a value."""
    return delimited(1, key) + delimited(2, value)


def delete_request(key: bytes, end: bytes = b"") -> bytes:
    """The keys from `key` up to `end`, or one, are deleted."""
    return delimited(1, key) + (delimited(2, end) if end else b"")


def compare(key: bytes, value: int, target: int = MOD) -> bytes:
    """A condition: the key was last written at a revision (MOD), or so many times (VERSION); 0: it is not there."""
    of = 6 if target == MOD else 4
    return number(2, target) + delimited(3, key) + varint(of << 3) + varint(value)


def txn_request(compares: Sequence[bytes], success: Sequence[bytes], failure: Sequence[bytes] = ()) -> bytes:
    """Does what `success` lists if all comparisons hold, what `failure` lists otherwise."""
    parts = [delimited(1, part) for part in compares]
    parts += [delimited(2, part) for part in success]
    parts += [delimited(3, part) for part in failure]
    return b"".join(parts)


def to_read(request: bytes) -> bytes:
    """A range in a transaction."""
    return delimited(1, request)


def to_put(key: bytes, value: bytes) -> bytes:
    """A write in a transaction."""
    return delimited(2, put_request(key, value))


def to_delete(key: bytes) -> bytes:
    """A deletion in a transaction."""
    return delimited(3, delete_request(key))


def compact_request(revision: int) -> bytes:
    """History up to a revision is forgotten."""
    return number(1, revision)


def watch_request(key: bytes, end: bytes, revision: int) -> bytes:
    """The events from `revision` on, with a notice now and then that there were none."""
    create = delimited(1, key) + delimited(2, end) + number(3, revision) + number(4, 1)
    return delimited(1, create)


def _header(data: bytes) -> int:
    return next((value for field, _, value in fields(data) if field == 3), 0)


def _key_value(data: bytes) -> KeyValue:
    key = content = b""
    revision = version = 0
    for field, _, value in fields(data):
        if field == 1:
            key = value
        elif field == 5:
            content = value
        elif field == 3:
            revision = value
        elif field == 4:
            version = value
    return KeyValue(key, content, revision, version)


def read_found(data: bytes) -> Found:
    """A RangeResponse."""
    entries: list[KeyValue] = []
    count = revision = 0
    for field, _, value in fields(data):
        if field == 2:
            entries.append(_key_value(value))
        elif field == 1:
            revision = _header(value)
        elif field == 4:
            count = value
    return Found(entries, count, revision)


def read_outcome(data: bytes) -> Outcome:
    """A TxnResponse."""
    succeeded, revision, deleted = False, 0, 0
    found: list[Found] = []
    for field, _, value in fields(data):
        if field == 1:
            revision = _header(value)
        elif field == 2:
            succeeded = bool(value)
        elif field == 3:
            for kind, _, part in fields(value):
                if kind == 1:
                    found.append(read_found(part))
                elif kind == 3:
                    deleted += next((n for of, _, n in fields(part) if of == 2), 0)
    return Outcome(succeeded, revision, found, deleted)


def read_told(data: bytes) -> Told:
    """A WatchResponse."""
    revision = compacted = 0
    created = canceled = False
    reason = ""
    events: list[tuple[bool, KeyValue]] = []
    for field, _, value in fields(data):
        if field == 11:
            written, entry = True, b""
            for of, _, part in fields(value):
                if of == 1:
                    written = part == 0
                elif of == 2:
                    entry = part
            events.append((written, _key_value(entry)))
        elif field == 1:
            revision = _header(value)
        elif field == 3:
            created = bool(value)
        elif field == 4:
            canceled = bool(value)
        elif field == 5:
            compacted = value
        elif field == 6:
            reason = value.decode(errors="replace")
    return Told(revision, events, created, canceled, compacted, reason)


def read_size(data: bytes) -> int:
    """The bytes of the database in a StatusResponse."""
    return next((value for field, _, value in fields(data) if field == 3), 0)
