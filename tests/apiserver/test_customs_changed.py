"""Definitions whose schemas change while there are objects: the new schema is what they are read by."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from fairlead.apiserver.catalog import Family
from fairlead.apiserver.customkinds import family
from fairlead.apiserver.kinds import CUSTOMRESOURCEDEFINITIONS
from fairlead.apiserver.tables import table
from fairlead.objects import definitions
from tests.apiserver.customs import definition, widget

STRING, INTEGER = {"type": "string"}, {"type": "integer"}
KEEP = {"x-kubernetes-preserve-unknown-fields": True}

FIELDS: dict[str, tuple[dict[str, Any], Any]] = {
    "string": ({**STRING, "default": "x"}, "s"),
    "integer": ({**INTEGER, "default": 1, "minimum": 0}, 5),
    "boolean": ({"type": "boolean"}, True),
    "object": (
        {"type": "object", "properties": {"b": {**STRING, "default": "d"}}, "default": {}},
        {"b": "x"},
    ),
    "map": ({"type": "object", "additionalProperties": INTEGER}, {"k": 1}),
    "list": ({"type": "array", "items": STRING}, ["a", "b"]),
    "list that is a map": (
        {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["n"],
            "items": {
                "type": "object",
                "required": ["n"],
                "properties": {"n": STRING, "v": {**INTEGER, "default": 7}},
            },
        },
        [{"n": "a"}],
    ),
    "set": ({"type": "array", "x-kubernetes-list-type": "set", "items": STRING}, ["a"]),
    "number or text": ({"x-kubernetes-int-or-string": True}, "80%"),
    "anything": (KEEP, {"z": [1, {"y": None}]}),
    "embedded": (
        {"type": "object", "x-kubernetes-embedded-resource": True, **KEEP},
        {"apiVersion": "v1", "kind": "X", "metadata": {"name": "a"}},
    ),
    "nullable": ({"type": "object", "nullable": True, "properties": {"b": {**STRING, "default": "d"}}}, None),
}
COLUMNS = [
    {"name": kind.title(), "type": kind, "jsonPath": ".spec.f"}
    for kind in ("string", "integer", "number", "boolean", "date")
]


def served(field: dict[str, Any]) -> Family:
    """The kinds of a definition whose objects have one field."""
    obj = definition(schema={"type": "object", "properties": {"f": field}})
    obj["spec"]["versions"][0]["additionalPrinterColumns"] = COLUMNS
    read, _ = CUSTOMRESOURCEDEFINITIONS.model.read(msgspec.json.encode(obj), "Strict")
    full = definitions.default(read)
    return family(replace(full, status=replace(full.status, acceptedNames=full.spec.names)), "key")


KINDS = {name: served(field).stored for name, (field, _) in FIELDS.items()}


def read(name: str) -> Any:
    """An object that is good by one of the schemas."""
    obj, _ = KINDS[name].model.read(msgspec.json.encode(widget(spec={"f": FIELDS[name][1]})), "Strict")
    return replace(obj, metadata=replace(obj.metadata, namespace="default", uid="1", resourceVersion="1"))


@pytest.mark.parametrize("before", FIELDS)
def test_what_was_stored_is_there_by_the_new_schema(before: str) -> None:
    value = KINDS[before].model.stored(read(before))
    for after in FIELDS.keys() - {before}:
        new = KINDS[after]
        shown = msgspec.json.decode(new.model.shown(value))
        assert (shown["kind"], shown["metadata"]["name"]) == ("Widget", "a")
        found = new.model.decode(value)
        found = replace(found, metadata=replace(found.metadata, resourceVersion="1"))
        if after != "embedded":  # which is judged every time, upstream too
            # It may be wrong by the new schema, and stays as it is while others of its fields are changed.
            changed = replace(found, content={**found.content, "status": {}})
            assert new.model.rules.validate(changed, found) == [], after
        assert len(table(new, [found], "Object", 0.0).rows) == 1
        assert new.model.rules.validate(read(after), found) == [], after
