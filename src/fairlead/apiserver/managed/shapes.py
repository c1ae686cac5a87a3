"""How the values at each place of an object merge: whole, member by member, item by item.

A shape is made of a `schema.Type`, which the table of types gives for built-in kinds and a definition's schema for
custom resources. Where neither says anything the shape is deduced from the value: maps merge by member, lists are
replaced whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any

from fairlead.objects import schema
from fairlead.objects.schema import FREE, SCALARS, STRINGS, Field, Type

Json = Any

KEY_DEFAULTS: Mapping[tuple[str, str], Json] = MappingProxyType(
    {
        ("k8s.io.api.core.v1.ContainerPort", "protocol"): "TCP",
        ("k8s.io.api.core.v1.ServicePort", "protocol"): "TCP",
    }
)
"""What a key of a list's item is where an applied configuration leaves it out (upstream: the OpenAPI's defaults)."""

UNTYPED = frozenset(
    {
        f"{schema.META}.Time",
        f"{schema.META}.MicroTime",
        f"{schema.META}.Duration",
        "k8s.io.apimachinery.pkg.api.resource.Quantity",
        "k8s.io.apimachinery.pkg.util.intstr.IntOrString",
        "double",
    }
)
"""The scalars whose JSON may be of several types."""

WORDS = {"string": "string", "boolean": "boolean", "integer": "numeric", "number": "numeric"}


class Shape:
    """How a value merges. The usual one is a scalar; the other kinds are below."""

    leaf = True
    """Whether the value is changed, owned and replaced as a whole."""

    def __init__(self, scalar: str = "untyped") -> None:
        self.scalar = scalar
        """"string", "numeric", "boolean", or "untyped"; "" of a shape that is no scalar."""


class MapShape(Shape):
    """A map: members with names of their own (a struct), members all of one shape, or both."""

    def __init__(
        self,
        fields: Mapping[str, Field] = MappingProxyType({}),
        element: Shape | None = None,
        *,
        atomic: bool = False,
    ) -> None:
        super().__init__("")
        self._fields = fields
        self.element = element
        self.leaf = atomic

    @cached_property
    def fields(self) -> dict[str, Shape]:
        """The shapes of the members that the type names."""
        return {name: shape_of_field(field) for name, field in self._fields.items()}

    @cached_property
    def steps(self) -> dict[str, tuple[str, Shape]]:
        """The same with what FieldsV1 calls each."""
        return {name: (f"f:{name}", shape) for name, shape in self.fields.items()}

    def step(self, name: str) -> tuple[str, Shape]:
        """What FieldsV1 calls a member, and its shape."""
        return self.steps.get(name) or (f"f:{name}", self.element or DEDUCED)


class ListShape(Shape):
    """A list: atomic, a set of scalars (no keys), or items that are told apart by keys."""

    def __init__(
        self,
        element: Shape,
        keys: tuple[str, ...] = (),
        defaults: Mapping[str, Json] = MappingProxyType({}),
        *,
        atomic: bool = False,
    ) -> None:
        super().__init__("")
        self.element = element
        self.keys = keys
        self.defaults = defaults
        self.leaf = atomic


class DeducedShape(Shape):
    """What the value itself says: maps merge by member, everything else is a leaf."""

    leaf = False

    def __init__(self) -> None:
        super().__init__("")


DEDUCED = DeducedShape()
_SCALARS = {word: Shape(word) for word in ("string", "numeric", "boolean", "untyped")}
_ANY_MAP = MapShape(element=DEDUCED)
_ATOMIC_LIST = ListShape(DEDUCED, atomic=True)


def deduced(value: Json) -> Shape:
    """The shape of a value about which nothing else is known."""
    if isinstance(value, dict):
        return _ANY_MAP
    return _ATOMIC_LIST if isinstance(value, list | tuple) else _SCALARS["untyped"]


@lru_cache(maxsize=1024)
def _shape_of_name(name: str, *, atomic: bool) -> Shape:
    """The shape of a type of the table, or of a scalar."""
    if name in UNTYPED:
        return _SCALARS["untyped"]
    if name in SCALARS:
        return _SCALARS[WORDS[SCALARS[name]]]
    if name in STRINGS:
        return ListShape(_SCALARS["string"], atomic=True)
    of = None if name in FREE else schema.type_named(name)
    return DEDUCED if of is None else MapShape(of.fields, atomic=atomic or of.map_type == "atomic")


def _shape_of_value(field: Field) -> Shape:
    """The shape of a field's value, or of its items or members."""
    atomic = field.map_type == "atomic" and not field.is_map
    of = field.of
    if of is not None:
        other = DEDUCED if of.open else None
        return MapShape(of.fields, other, atomic=atomic or of.map_type == "atomic")
    return _shape_of_name(field.type, atomic=atomic)


def _default_of_key(field: Field, key: str) -> Json:
    """What a key of a list's item is where it is left out; None where it may not be."""
    own = field.of.fields.get(key) if field.of is not None else None
    return KEY_DEFAULTS.get((field.type, key)) if own is None else own.default


def shape_of_field(field: Field) -> Shape:
    """The shape of a field."""
    element = _shape_of_value(field)
    if field.is_map:
        return MapShape(element=element, atomic=field.map_type == "atomic")
    if not field.is_list:
        return element
    if field.list_type == "map":
        defaults = {
            key: value for key in field.list_keys if (value := _default_of_key(field, key)) is not None
        }
        return ListShape(element, tuple(sorted(field.list_keys)), defaults)
    return ListShape(element, atomic=field.list_type != "set")


def shape_of(of: Type | None) -> MapShape:
    """The shape of the objects of a type; of an unknown one, metadata like everyone's and the rest deduced."""
    fields: dict[str, Field] = dict(of.fields) if of is not None else {}
    for name in ("apiVersion", "kind"):
        fields.setdefault(name, Field(name, "string", 0))
    fields.setdefault("metadata", Field("metadata", f"{schema.META}.ObjectMeta", 0))
    return MapShape(fields, DEDUCED if of is None or of.open else None)
