"""The table of types as the protobuf library has it: descriptors, messages, and these as the JSON form of objects."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import import_module
from typing import Any

import msgspec

from fairlead.objects import schema

# The library has no types.
descriptor_pb2: Any = import_module("google.protobuf.descriptor_pb2")
descriptor_pool: Any = import_module("google.protobuf.descriptor_pool")
message_factory: Any = import_module("google.protobuf.message_factory")

Field = descriptor_pb2.FieldDescriptorProto

TYPES = {
    "string": Field.TYPE_STRING,
    "bool": Field.TYPE_BOOL,
    "int32": Field.TYPE_INT32,
    "int64": Field.TYPE_INT64,
    "bytes": Field.TYPE_BYTES,
    "double": Field.TYPE_DOUBLE,
}
FROM_THE_FUTURE = 7777
"""The number of a field that only `messages(future=True)` have."""

TIME, MICRO_TIME = f"{schema.META}.Time", f"{schema.META}.MicroTime"
QUANTITY = "k8s.io.apimachinery.pkg.api.resource.Quantity"
INT_OR_STRING = "k8s.io.apimachinery.pkg.util.intstr.IntOrString"
RAW = {f"{schema.META}.FieldsV1": "Raw", "k8s.io.apimachinery.pkg.runtime.RawExtension": "raw"}


@cache
def pool(future: bool) -> Any:
    """All types of the table, in a file a package."""
    files: dict[str, Any] = {}
    for name, facts in schema.table().items():
        package, _, short = name.rpartition(".")
        file = files.setdefault(package, descriptor_pb2.FileDescriptorProto(name=package, package=package))
        message = file.message_type.add(name=short)
        for field, of in facts["fields"].items():
            add_field(file, message, name, field, of)
        if future:
            message.field.add(
                name="fromTheFuture",
                number=FROM_THE_FUTURE,
                type=Field.TYPE_STRING,
                label=Field.LABEL_OPTIONAL,
            )
    found = descriptor_pool.DescriptorPool()
    waiting = dict(files)
    while waiting:
        ready = [one for one in waiting.values() if not set(one.dependency) & waiting.keys()]
        assert ready, "packages that need each other"
        for file in ready:
            found.Add(file)
            del waiting[file.package]
    return found


def add_field(file: Any, message: Any, name: str, field: str, of: dict[str, Any]) -> None:
    """Declares one field of the table."""
    several = of.get("repeated", False) or "map" in of
    made = message.field.add(name=field, number=of["number"])
    made.label = Field.LABEL_REPEATED if several else Field.LABEL_OPTIONAL
    if "map" in of:
        entry = message.nested_type.add(name=f"{field[0].upper()}{field[1:]}Entry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, type=Field.TYPE_STRING, label=Field.LABEL_OPTIONAL)
        value = entry.field.add(name="value", number=2, label=Field.LABEL_OPTIONAL)
        set_type(file, value, of["type"])
        made.type, made.type_name = Field.TYPE_MESSAGE, f".{name}.{entry.name}"
    else:
        set_type(file, made, of["type"])


def set_type(file: Any, field: Any, kind: str) -> None:
    """Says of what type a field is."""
    if kind in TYPES:
        field.type = TYPES[kind]
        return
    package = kind.rpartition(".")[0]
    field.type, field.type_name = Field.TYPE_MESSAGE, f".{kind}"
    if package not in (file.package, *file.dependency):
        file.dependency.append(package)


def new(name: str, *, future: bool = False) -> Any:
    """An empty message of a type."""
    found = pool(future).FindMessageTypeByName(name)
    return message_factory.GetMessageClass(found)()


def fill(message: Any, name: str, value: Any) -> None:
    """Puts a value in the JSON form into a message."""
    message.SetInParent()
    if any(field.number == FROM_THE_FUTURE for field in message.DESCRIPTOR.fields):
        message.fromTheFuture = "unheard of"
    if name in (TIME, MICRO_TIME):
        since = datetime.fromisoformat(value) - datetime(1970, 1, 1, tzinfo=UTC)
        message.seconds = since // timedelta(seconds=1)
        message.nanos = since % timedelta(seconds=1) // timedelta(microseconds=1) * 1000
    elif name == QUANTITY:
        message.string = value
    elif name == INT_OR_STRING:
        message.type = int(isinstance(value, str))
        setattr(message, "strVal" if isinstance(value, str) else "intVal", value)
    elif name in schema.STRINGS:
        message.items.extend(value)
    elif name in RAW:
        setattr(message, RAW[name], msgspec.json.encode(value))
    else:
        fill_fields(message, name, value)


def fill_fields(message: Any, name: str, value: dict[str, Any]) -> None:
    """Puts the members of an object into a message."""
    for field, of in schema.table()[name]["fields"].items():
        kind = of["type"]
        if field in schema.INLINED and not of.get("repeated"):
            if value.keys() & schema.unfolded(kind).keys():
                fill(getattr(message, field), kind, value)
        elif field not in value:
            continue
        elif "map" in of:
            into = getattr(message, field)
            for key, one in value[field].items():
                if kind in TYPES:
                    into[key] = scalar(kind, one)
                else:
                    fill(into[key], kind, one)
        elif of.get("repeated"):
            into = getattr(message, field)
            for one in value[field]:
                if kind in TYPES:
                    into.append(scalar(kind, one))
                else:
                    fill(into.add(), kind, one)
        elif kind in TYPES:
            setattr(message, field, scalar(kind, value[field]))
        else:
            fill(getattr(message, field), kind, value[field])


def scalar(kind: str, value: Any) -> Any:
    """A number or a text as the library takes it."""
    return base64.b64decode(value) if kind == "bytes" else value


def read(message: Any, name: str) -> Any:
    """What is in a message, in the JSON form."""
    if name in (TIME, MICRO_TIME):
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=message.seconds)
        text = moment.replace(tzinfo=None).isoformat()
        return f"{text}.{message.nanos // 1000:06}Z" if name == MICRO_TIME else f"{text}Z"
    if name == QUANTITY:
        return message.string
    if name == INT_OR_STRING:
        return message.strVal if message.type else message.intVal
    if name in schema.STRINGS:
        return list(message.items)
    if name in RAW:
        return msgspec.json.decode(getattr(message, RAW[name]))
    found: dict[str, Any] = {}
    for descriptor, value in message.ListFields():
        field = descriptor.name
        of = schema.table()[name]["fields"][field]
        kind = of["type"]
        if field in schema.INLINED and not of.get("repeated"):
            found |= read(value, kind)
        elif "map" in of:
            found[field] = {key: member(value[key], kind) for key in value}
        elif of.get("repeated"):
            found[field] = [member(item, kind) for item in value]
        else:
            found[field] = member(value, kind)
    return found


def member(value: Any, kind: str) -> Any:
    """A field, or an item of one, as JSON has it."""
    if kind == "bytes":
        return base64.b64encode(value).decode()
    return value if kind in TYPES else read(value, kind)
