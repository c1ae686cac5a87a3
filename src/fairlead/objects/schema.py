"""The one table of types: which fields a type has, of what type each is, how its lists merge.

Drawn from upstream's protobuf descriptors and OpenAPI (1.36) into `fields.json`, which is read once, when it is first
asked (about 2 ms). Everything that has to know fields goes by it: patches, OpenAPI, the protobuf codec, and the typed
kinds themselves (tools/generate_objects.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

import msgspec

META = "k8s.io.apimachinery.pkg.apis.meta.v1"
APIEXTENSIONS = "k8s.io.apiextensions-apiserver.pkg.apis.apiextensions.v1"

INLINED = frozenset(
    {
        "volumeSource",
        "persistentVolumeSource",
        "handler",
        "ephemeralContainerCommon",
        "ingressRuleValue",
        "localObjectReference",
        "admissionRule",  # RuleWithOperations.rule: other types have fields of that name
    }
)
"""Fields of messages that JSON does not have: the fields of their type stand in their place."""

SCALARS: Mapping[str, str] = MappingProxyType(
    {
        "string": "string",
        "bool": "boolean",
        "int32": "integer",
        "int64": "integer",
        "double": "number",
        "bytes": "string",
        f"{META}.Time": "string",
        f"{META}.MicroTime": "string",
        f"{META}.Duration": "string",
        "k8s.io.apimachinery.pkg.api.resource.Quantity": "string",
        "k8s.io.apimachinery.pkg.util.intstr.IntOrString": "string",
    }
)
"""The types whose JSON form is no object, and what it is in JSON Schema's words."""

STRINGS = frozenset(
    {f"{META}.Verbs", "k8s.io.api.authentication.v1.ExtraValue", "k8s.io.api.authorization.v1.ExtraValue"}
)
"""The messages whose JSON form is a list of strings."""

FREE = frozenset({f"{META}.FieldsV1", "k8s.io.apimachinery.pkg.runtime.RawExtension"})
"""The messages whose JSON form is any object at all."""

ANY = f"{APIEXTENSIONS}.JSON"
"""The message whose JSON form is any value at all."""

SCHEMA_OR = frozenset(
    f"{APIEXTENSIONS}.JSONSchemaPropsOr{other}" for other in ("Array", "Bool", "StringArray")
)
"""The messages whose JSON form is a schema, or else what their other fields say."""

NO_FIELDS = frozenset({*SCALARS, *STRINGS, *FREE, *SCHEMA_OR, ANY})
"""The types that are one value in JSON, whatever fields their messages have."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a type, by its JSON name. `type` is that of the items where it is a list or a map."""

    name: str
    type: str
    number: int
    """Its number in protobuf; of one that is inlined, within the inlined message."""
    is_list: bool = False
    is_map: bool = False
    required: bool = False
    list_type: str = ""
    """"atomic", "set", "map" (by `list_keys`) or nothing, which is atomic."""
    list_keys: tuple[str, ...] = ()
    map_type: str = ""
    merge_key: str = ""
    """The key by which a strategic merge patch finds the items of a list."""
    strategies: frozenset[str] = frozenset()
    """Of a strategic merge patch: "merge", "replace", "retainKeys"."""
    default: Any = None
    """Its value where it is left out, as a definition's schema says."""
    of: Type | None = None
    """The type itself, where it is none of the table's: a schema that a definition gives (`type_of`)."""


@dataclass(frozen=True, slots=True)
class Type:
    """A type of the API as JSON has it."""

    name: str
    fields: Mapping[str, Field]
    group: str = ""
    version: str = ""
    kind: str = ""
    """Empty where it is only a part of others."""
    map_type: str = ""
    open: bool = False
    """Whether it may have members that are none of its fields (`x-kubernetes-preserve-unknown-fields`)."""


@cache
def table() -> Mapping[str, Any]:
    """The table itself, by full type name, as protobuf has the types."""
    content: dict[str, Any] = msgspec.json.decode(
        resources.files(__package__).joinpath("fields.json").read_bytes()
    )
    return content


def unfolded(name: str) -> dict[str, Mapping[str, Any]]:
    """The table's facts on the fields of a type as JSON has them, in its order."""
    found: dict[str, Mapping[str, Any]] = {}
    for field, facts in table()[name]["fields"].items():
        if field in INLINED and "repeated" not in facts:
            found.update(unfolded(facts["type"]))
        else:
            found[field] = facts
    return found


@cache
def type_named(name: str) -> Type | None:
    """The type of that full name, such as `k8s.io.api.core.v1.Service`; None for scalars and names unknown."""
    if name in NO_FIELDS or name not in table():
        return None
    facts = table()[name]
    fields = {field: _field(field, of) for field, of in unfolded(name).items()}
    own = facts.get("gvk", {})
    if own:
        kind = {field: Field(field, "string", 0) for field in ("apiVersion", "kind")}
        fields = {**kind, **fields}
    return Type(
        name=name,
        fields=MappingProxyType(fields),
        group=own.get("group", ""),
        version=own.get("version", ""),
        kind=own.get("kind", ""),
        map_type=facts.get("mapType", ""),
    )


def type_of(field: Field) -> Type | None:
    """The type of a field's value, or of its items; None where that has no fields."""
    return field.of or type_named(field.type)


def _field(name: str, facts: Mapping[str, Any]) -> Field:
    return Field(
        name=name,
        type=facts["type"],
        number=facts["number"],
        is_list=facts.get("repeated", False),
        is_map="map" in facts,
        required=facts.get("required", False),
        list_type=facts.get("listType", ""),
        list_keys=tuple(facts.get("listMapKeys", ())),
        map_type=facts.get("mapType", ""),
        merge_key=facts.get("patchMergeKey", ""),
        strategies=frozenset(filter(None, facts.get("patchStrategy", "").split(","))),
    )


@cache
def _by_kind() -> Mapping[tuple[str, str, str], str]:
    kinds: dict[tuple[str, str, str], str] = {}
    for name, facts in table().items():
        if "gvk" in facts:
            own = facts["gvk"]
            kinds[own["group"], own["version"], own["kind"]] = name
    return kinds


def type_name(group: str, version: str, kind: str) -> str:
    """The full name of a kind's type. Raises KeyError for kinds that are not in the table."""
    return _by_kind()[group, version, kind]
