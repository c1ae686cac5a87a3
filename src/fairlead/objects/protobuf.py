"""Objects as protobuf: the JSON form of a type's value to and from the bytes that Go's clients send.

What is on the wire is what is in the JSON form: a field that is absent there is not written, one that is zero is. Go
writes every field that is no pointer: a decoded object is full of zero values, which its typed form takes for absent.
Readers and writers are made once for each type, of the one table of types.

Upstream: apimachinery/pkg/runtime/serializer/protobuf.
"""

from __future__ import annotations

import base64
import struct
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from fairlead.objects.schema import (
    ANY,
    APIEXTENSIONS,
    FREE,
    INLINED,
    META,
    SCHEMA_OR,
    STRINGS,
    table,
    type_name,
)

MAGIC = b"k8s\0"
CONTENT_TYPE = "application/vnd.kubernetes.protobuf"
WATCH_CONTENT_TYPE = f"{CONTENT_TYPE};stream=watch"

UNKNOWN = "k8s.io.apimachinery.pkg.runtime.Unknown"
QUANTITY = "k8s.io.apimachinery.pkg.api.resource.Quantity"
INT_OR_STRING = "k8s.io.apimachinery.pkg.util.intstr.IntOrString"

DEEPEST = 100
"""How many messages may be nested."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MASK = (1 << 64) - 1
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

Writer = Callable[[Any], bytes]
Reader = Callable[[Any, int], Any]
"""Makes a JSON value of what is on the wire, a number or bytes, at some depth."""


def varint(value: int) -> bytes:
    """A number as protobuf has it; negative ones take ten bytes."""
    if 0 <= value < 0x80:
        return bytes((value,))
    value &= MASK
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at a place, without sign, and the place after it. Raises ValueError."""
    value = shift = 0
    try:
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & MASK, at
            shift += 7
            if shift > 63:
                raise ValueError("a protobuf number has more than 10 bytes")
    except IndexError:
        raise ValueError("the protobuf message ends within a number") from None


def fields(data: bytes) -> Iterable[tuple[int, int, Any]]:
    """Number, wire type and value of all that is in a message. Raises ValueError."""
    at, size = 0, len(data)
    while at < size:
        tag, at = read_varint(data, at)
        number, wire = tag >> 3, tag & 7
        value: int | bytes
        if not number:
            raise ValueError("a protobuf field has the number 0")
        if wire == VARINT:
            value, at = read_varint(data, at)
        elif wire in (BYTES, FIXED64, FIXED32):
            if wire == BYTES:
                length, at = read_varint(data, at)
            else:
                length = 8 if wire == FIXED64 else 4
            if length > size - at:
                raise ValueError(f"field {number} of a protobuf message is longer than the message")
            value = data[at : at + length]
            at += length
        else:
            raise ValueError(f"field {number} of a protobuf message has the wire type {wire}")
        yield number, wire, value


def delimited(number: int, content: bytes) -> bytes:
    """A field that is bytes, text or a message."""
    return varint(number << 3 | BYTES) + varint(len(content)) + content


def _signed(bits: int) -> Reader:
    sign, mask = 1 << bits - 1, (1 << bits) - 1

    def read(value: int, depth: int) -> int:
        value &= mask
        return value - (value & sign) * 2

    return read


def _text(value: bytes, depth: int) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise ValueError("a protobuf string is not UTF-8") from None


def _octets(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else base64.b64decode(value)


def _time(value: str) -> bytes:
    """Go's zero time is an empty message, and so is a text that looks like a time and is none (a 31st of June)."""
    return _moment(value, micro=False)


def _micro_time(value: str) -> bytes:
    return _moment(value, micro=True)


def _moment(value: str, *, micro: bool) -> bytes:
    try:
        since = datetime.fromisoformat(value.upper()) - EPOCH
    except (ValueError, TypeError):
        return b""
    seconds = since.days * 86400 + since.seconds
    # Upstream: meta/v1/time_proto.go leaves fractions of a second out of Time.
    return b"\x08" + varint(seconds) + b"\x10" + varint(since.microseconds * 1000 if micro else 0)


def _read_moment(micro: bool) -> Reader:
    def read(data: bytes, depth: int) -> str | None:
        if not data:
            return None
        found = {number: value for number, wire, value in fields(data) if wire == VARINT}
        seconds, nanos = _signed(64)(found.get(1, 0), 0), _signed(32)(found.get(2, 0), 0)
        try:
            moment = EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000)
        except OverflowError:
            raise ValueError(f"the time {seconds} s after 1970 is in no year that can be written") from None
        return moment.strftime("%Y").zfill(4) + moment.strftime(
            "-%m-%dT%H:%M:%S.%fZ" if micro else "-%m-%dT%H:%M:%SZ"
        )

    return read


def _int_or_string(value: int | str) -> bytes:
    if isinstance(value, str):
        return b"\x08\x01\x10\x00" + delimited(3, value.encode())
    return b"\x08\x00\x10" + varint(int(value)) + b"\x1a\x00"


def _read_int_or_string(data: bytes, depth: int) -> int | str:
    kind: int = 0
    number: int = 0
    text = ""
    for field, wire, value in fields(data):
        if field == 1 and wire == VARINT:
            kind = value
        elif field == 2 and wire == VARINT:
            number = _signed(32)(value, depth)
        elif field == 3 and wire == BYTES:
            text = _text(value, depth)
    return text if kind else number


def _read_quantity(data: bytes, depth: int) -> str:
    text = "0"
    for number, wire, value in fields(data):
        if number == 1 and wire == BYTES:
            text = _text(value, depth) or "0"
    return text


def _read_strings(data: bytes, depth: int) -> list[str]:
    return [_text(value, depth) for number, wire, value in fields(data) if number == 1 and wire == BYTES]


def _read_free(data: bytes, depth: int) -> Any:
    for number, wire, value in fields(data):
        if number == 1 and wire == BYTES and value:
            try:
                return msgspec.json.decode(value)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                raise ValueError("a raw part of the protobuf message is not JSON") from None
    return None


def _schema_or(name: str) -> tuple[Writer, Reader]:
    """Writes and reads a schema (field 1 of them but for booleans, where it is 2), or what stands in its place."""
    schema = f"{APIEXTENSIONS}.JSONSchemaProps"

    def write(value: Any) -> bytes:
        if isinstance(value, bool):
            return b"\x08\x01" if value else b"\x08\x00"
        if isinstance(value, Mapping):
            content = message(schema).write(value)
            return b"\x08\x01" + delimited(2, content) if name.endswith("Bool") else delimited(1, content)
        return message(name).write({"jSONSchemas": value, "property": value})

    def read(data: bytes, depth: int) -> Any:
        found = message(name).read(data, {}, depth + 1)
        if "schema" in found:
            return found["schema"]
        if name.endswith("Bool"):
            return found.get("allows", False)
        return found.get("jSONSchemas", found.get("property", []))

    return write, read


SPECIAL: Mapping[str, tuple[Writer, Reader]] = {
    f"{META}.Time": (_time, _read_moment(False)),
    f"{META}.MicroTime": (_micro_time, _read_moment(True)),
    INT_OR_STRING: (_int_or_string, _read_int_or_string),
    QUANTITY: (lambda value: delimited(1, str(value).encode()), _read_quantity),
    **dict.fromkeys(
        STRINGS, (lambda value: b"".join([delimited(1, one.encode()) for one in value]), _read_strings)
    ),
    **dict.fromkeys((*FREE, ANY), (lambda value: delimited(1, msgspec.json.encode(value)), _read_free)),
    **{name: (_schema_or(name)) for name in SCHEMA_OR},
    "string": (str.encode, _text),
    "bytes": (_octets, lambda value, depth: base64.b64encode(value).decode()),
}
"""What is one value in JSON and bytes of some length on the wire."""

NUMBERS: Mapping[str, Reader] = {
    "int32": _signed(32),
    "int64": _signed(64),
    "bool": lambda value, depth: bool(value),
}


@dataclass(frozen=True, slots=True)
class Part:
    """How a field is read."""

    name: str
    wire: int
    read: Reader
    repeated: bool = False
    map: bool = False
    message: Message | None = None


class Message:
    """How the values of a type are written and read."""

    def __init__(self) -> None:
        self.writers: dict[str, Writer] = {}
        self.parts: dict[int, Part] = {}
        self.inlined: list[tuple[bytes, Message]] = []
        self.inlined_numbers: dict[int, Message] = {}

    def write(self, value: Mapping[str, Any]) -> bytes:
        """The message of a JSON object; members that the type does not have are left out."""
        writers = self.writers
        found = [
            writers[name](member) for name, member in value.items() if member is not None and name in writers
        ]
        for tag, inner in self.inlined:
            if content := inner.write(value):
                found += (tag, varint(len(content)), content)
        return b"".join(found)

    def read(self, data: bytes, into: dict[str, Any], depth: int) -> dict[str, Any]:
        """The JSON object of a message, with fields unknown left out. Raises ValueError."""
        if depth > DEEPEST:
            raise ValueError(f"the protobuf message is nested deeper than {DEEPEST} messages")
        for number, wire, value in fields(data):
            part = self.parts.get(number)
            if part is None:
                if (inner := self.inlined_numbers.get(number)) is not None and wire == BYTES:
                    inner.read(value, into, depth + 1)
                continue
            if wire != part.wire:
                if not (part.repeated and part.wire == VARINT and wire == BYTES):
                    raise ValueError(f"protobuf field {part.name} has the wire type {wire}")
                into.setdefault(part.name, []).extend(_packed(value, part.read, depth))
            elif part.map:
                key, content = _entry(value)
                one = part.read(content, depth + 1)
                into.setdefault(part.name, {})[_text(key, depth)] = one
            elif part.repeated:
                into.setdefault(part.name, []).append(part.read(value, depth + 1))
            elif part.message is not None:
                # A message that comes in several pieces is all of them together, as protobuf has it.
                part.message.read(value, into.setdefault(part.name, {}), depth + 1)
            elif (one := part.read(value, depth + 1)) is not None:
                into[part.name] = one
        return into


def _packed(data: bytes, read: Reader, depth: int) -> Iterable[Any]:
    at = 0
    while at < len(data):
        value, at = read_varint(data, at)
        yield read(value, depth)


def _entry(data: bytes) -> tuple[bytes, bytes]:
    """Key and value of a map's entry."""
    key = content = b""
    for number, wire, value in fields(data):
        if number in (1, 2) and wire != BYTES:
            raise ValueError(f"an entry of a protobuf map has the wire type {wire}")
        if number == 1:
            key = value
        elif number == 2:
            content = value
    return key, content


_messages: dict[str, Message] = {}
_being_made: dict[str, Message] = {}
_making = threading.RLock()


def message(name: str) -> Message:
    """How a type of the table is written and read; made once. Raises KeyError for one that is not in it.

    A type may have parts of its own kind, so it is known while it is made, to whoever makes it; to others after that.
    """
    found = _messages.get(name)
    if found is not None:
        return found
    with _making:
        found = _messages.get(name) or _being_made.get(name)
        if found is not None:
            return found
        outermost = not _being_made
        found = _being_made[name] = Message()
        try:
            _fill(found, table()[name]["fields"])
            if outermost:
                _messages.update(_being_made)
        finally:
            if outermost:
                _being_made.clear()
        return found


def _fill(found: Message, of_fields: Mapping[str, Any]) -> None:
    for field, facts in of_fields.items():
        number, kind = facts["number"], facts["type"]
        repeated, is_map = facts.get("repeated", False), "map" in facts
        if field in INLINED and not repeated:
            inner = message(kind)
            found.inlined.append((varint(number << 3 | BYTES), inner))
            found.inlined_numbers[number] = inner
            continue
        if kind in NUMBERS:
            tag = varint(number << 3 | VARINT)
            found.writers[field] = _number_writer(tag, repeated)
            found.parts[number] = Part(field, VARINT, NUMBERS[kind], repeated)
            continue
        if kind == "double":
            found.writers[field] = _double_writer(varint(number << 3 | FIXED64))
            found.parts[number] = Part(field, FIXED64, _read_double)
            continue
        tag = varint(number << 3 | BYTES)
        of: Message | None = None
        if kind in SPECIAL:
            write, read = SPECIAL[kind]
        else:
            of = message(kind)
            write, read = of.write, _message_reader(of)
        found.writers[field] = _writer(tag, write, repeated, is_map)
        found.parts[number] = Part(field, BYTES, read, repeated, is_map, of)


def _double_writer(tag: bytes) -> Writer:
    return lambda value: tag + struct.pack("<d", value)


def _read_double(value: bytes, depth: int) -> int | float:
    """A number; whole ones are written without a point in JSON, as Go does it."""
    found: float = struct.unpack("<d", value)[0]
    return int(found) if found.is_integer() and abs(found) < 1e21 else found


def _message_reader(of: Message) -> Reader:
    return lambda data, depth: of.read(data, {}, depth)


def _number_writer(tag: bytes, repeated: bool) -> Writer:
    if repeated:
        return lambda values: b"".join([tag + varint(int(value)) for value in values])
    return lambda value: tag + varint(int(value))


def _writer(tag: bytes, write: Writer, repeated: bool, is_map: bool) -> Writer:
    def one(value: Any) -> bytes:
        content = write(value)
        return b"%b%b%b" % (tag, varint(len(content)), content)

    def several(values: Iterable[Any]) -> bytes:
        return b"".join([one(value) for value in values if value is not None])

    def entries(values: Mapping[str, Any]) -> bytes:
        parts: list[bytes] = []
        # Sorted as Go does it, so that one object has one form.
        for key, value in sorted(values.items()):
            content = delimited(1, key.encode()) + delimited(2, b"" if value is None else write(value))
            parts += (tag, varint(len(content)), content)
        return b"".join(parts)

    return entries if is_map else several if repeated else one


def type_of(api_version: str, kind: str) -> str:
    """The full name of a kind's type. Raises KeyError where it has none."""
    group, _, version = api_version.rpartition("/")
    if kind == "DeleteOptions":
        # Upstream registers these in every group.
        return f"{META}.DeleteOptions"
    return type_name(group, version, kind)


def serves(api_version: str, kind: str) -> bool:
    """Whether objects of a kind can be written as protobuf; then so can lists of those that have lists."""
    try:
        return bool(message(type_of(api_version, kind)))
    except KeyError:
        return False


def envelope(api_version: str, kind: str, raw: bytes) -> bytes:
    """A message as what it is: `runtime.Unknown`, after four bytes that say so."""
    meta = delimited(1, api_version.encode()) + delimited(2, kind.encode())
    return b"%b%b%b\x1a\x00\x22\x00" % (MAGIC, delimited(1, meta), delimited(2, raw))


def encode(obj: Mapping[str, Any]) -> bytes:
    """An object in its JSON form, with kind and apiVersion. Raises KeyError for kinds that the table does not have."""
    api_version, kind = obj["apiVersion"], obj["kind"]
    return envelope(api_version, kind, message(type_of(api_version, kind)).write(obj))


def list_head(api_version: str, kind: str, metadata: Mapping[str, Any]) -> bytes:
    """What a list begins with; its items follow, and `envelope` goes around it all. `kind` is that of the list."""
    return message(type_of(api_version, kind)).write({"metadata": metadata})


def list_item(list_kind: str, obj: Mapping[str, Any]) -> bytes:
    """An object as an item of its list."""
    return message(type_of(obj["apiVersion"], list_kind)).writers["items"]((obj,))


def frame(change: str, obj: bytes) -> bytes:
    """A frame of a watch, of an object in its envelope: its length in four bytes, and a WatchEvent without one."""
    event = delimited(1, change.encode()) + delimited(2, delimited(1, obj))
    return len(event).to_bytes(4, "big") + event


def decode(data: bytes, api_version: str = "", kind: str = "") -> dict[str, Any]:
    """The JSON form of an object in its envelope; `api_version` and `kind` where that does not say them.

    Raises ValueError with a sentence on what is wrong, also for kinds that the table does not have.
    """
    if not data.startswith(MAGIC):
        raise ValueError("the data does not begin as a Kubernetes protobuf message does")
    meta: dict[str, str] = {}
    raw = b""
    for number, wire, value in fields(data[len(MAGIC) :]):
        if number == 1 and wire == BYTES:
            meta = {str(n): _text(v, 0) for n, w, v in fields(value) if w == BYTES}
        elif number == 2 and wire == BYTES:
            raw = value
        elif number == 3 and value:
            raise ValueError("the content of the protobuf message is encoded once more")
    api_version, kind = meta.get("1") or api_version, meta.get("2") or kind
    try:
        of = message(type_of(api_version, kind))
    except KeyError:
        raise ValueError(f'no kind "{kind}" is registered for version "{api_version}"') from None
    return of.read(raw, {"kind": kind, "apiVersion": api_version}, 0)
