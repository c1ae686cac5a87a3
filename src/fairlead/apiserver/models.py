"""Models: what the objects of a kind are between the bytes of a request and those of the store.

A built-in kind has a type, which msgspec reads and writes. What a definition adds at run time brings a model of its
own (`custom.py`), so that whoever reads, changes, judges or shows an object need not know which of the two it is. In
either case an object has `kind`, `apiVersion` and a typed `metadata`, and changes by `msgspec.structs.replace`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, Protocol, cast

from msgspec.structs import replace

from fairlead.apiserver.bodies import as_json, read_object, unreadable
from fairlead.apiserver.strictness import read_strictly
from fairlead.objects import protobuf, schema
from fairlead.objects.apiextensions_v1 import JSONSchemaProps
from fairlead.objects.codec import decode, decoder, encode, plain
from fairlead.objects.moments import NoMoment, in_usual_form
from fairlead.objects.resources import Resource
from fairlead.objects.rules import Rules, rules_for


class Model(Protocol):
    """How objects of one kind, in one version, come from bytes, are judged, and become bytes."""

    @property
    def protobuf(self) -> bool:
        """Whether they can be given and taken as protobuf."""

    @property
    def strategic(self) -> bool:
        """Whether a strategic merge patch can be made of them; else it is 415."""

    @property
    def rules(self) -> Rules[Any]:
        """What is filled in and what is refused."""

    @property
    def schema(self) -> schema.Type | None:
        """Their fields, with the types of their lists; None where nothing is known of them."""

    @property
    def openapi(self) -> JSONSchemaProps | None:
        """The schema that OpenAPI publishes, where it is not drawn from the table of types."""

    def body(self, data: bytes, content_type: str | None) -> bytes:
        """The body of a request as JSON. Raises 415 or 400."""

    def read(self, data: bytes, validation: str) -> tuple[Any, tuple[str, ...]]:
        """The object in a JSON text, with warnings, by the request's `fieldValidation`. Raises 400 or 422."""

    def knows(self, data: bytes) -> bool:
        """Whether a JSON text, a part of an object, surely has no unknown fields, nor moments that are none."""

    def decode(self, value: bytes) -> Any:
        """The object of a stored value; it has no resourceVersion."""

    def stored(self, obj: Any) -> bytes:
        """The value that an object has in the store: without its resourceVersion."""

    def document(self, obj: Any) -> dict[str, Any]:
        """The object as a plain JSON value, as patches work on it."""

    def shown(self, value: bytes) -> bytes:
        """A stored value as JSON in this version; it begins as `Kind.head` has it."""


class Typed:
    """The model of a kind with a type: what is stored is shown as it is."""

    strategic = True
    openapi = None

    def __init__(self, resource: Resource[Any]) -> None:
        self._resource = resource
        self._type = resource.type
        self._decoder = decoder(resource.type)

    @cached_property
    def protobuf(self) -> bool:
        """Whether the table of types has it, with its list."""
        return protobuf.serves(self._resource.api_version, self._resource.kind)

    @cached_property
    def rules(self) -> Rules[Any]:
        """Those of the type."""
        return rules_for(self._type)

    @cached_property
    def schema(self) -> schema.Type | None:
        """The type in the table of types."""
        resource = self._resource
        return schema.type_named(schema.type_name(resource.group, resource.version, resource.kind))

    def body(self, data: bytes, content_type: str | None) -> bytes:
        """JSON, YAML or protobuf as JSON."""
        return as_json(data, content_type, self._resource.api_version, self._resource.kind)

    def read(self, data: bytes, validation: str) -> tuple[Any, tuple[str, ...]]:
        """Reads the type, its moments in whatever form they come."""
        resource, of = self._resource, self.schema
        obj, warnings = read_object(self._type, resource.kind, resource.api_version, data, validation, of)
        try:
            usual = in_usual_form(data, of)
        except NoMoment as error:
            raise unreadable(resource.kind, resource.api_version, str(error)) from None
        return obj if usual is data else decode(self._type, usual), warnings

    def knows(self, data: bytes) -> bool:
        """Whether the type's twin reads it; one decoding in C."""
        return read_strictly(self._type, data) is not None

    def decode(self, value: bytes) -> Any:
        """Reads the type; what was stored has no nulls."""
        return self._decoder.decode(value)

    def stored(self, obj: Any) -> bytes:
        """The object as msgspec writes it."""
        if obj.metadata.resourceVersion:
            obj = replace(obj, metadata=replace(obj.metadata, resourceVersion=""))
        return encode(obj)

    def document(self, obj: Any) -> dict[str, Any]:
        """The object's members; through JSON, so that a list is a list, which patches go by."""
        return cast(dict[str, Any], plain(obj))

    def shown(self, value: bytes) -> bytes:
        """The value itself."""
        return value


class Converted(Typed):
    """The model of a kind whose objects are stored as those of another kind."""

    def __init__(
        self,
        resource: Resource[Any],
        stored: Resource[Any],
        read: Callable[[Any], Any],
        write: Callable[[Any], Any],
    ) -> None:
        super().__init__(resource)
        self._decoder = decoder(stored.type)
        self._read = read
        self._write = write

    def decode(self, value: bytes) -> Any:
        """Reads the other type, and makes this one of it."""
        return self._read(super().decode(value))

    def stored(self, obj: Any) -> bytes:
        """Writes the other type."""
        return super().stored(self._write(obj))

    def shown(self, value: bytes) -> bytes:
        """The object as this type."""
        return encode(self.decode(value))
