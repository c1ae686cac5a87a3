"""Custom resources: what their objects are between the bytes of a request and those of the store.

There is no type: an object is JSON, with typed metadata, read and judged by the schema of its version. What is stored
is in the storage version; it is completed by the defaults of the version that it was stored in, and cut to the version
that it is shown in. Upstream: customresource_handler.go and pkg/registry/customresource of apiextensions-apiserver.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import msgspec
from msgspec.structs import replace

from fairlead.apiserver.bodies import as_json, media_type, strict_error, unreadable, unsupported
from fairlead.apiserver.strictness import read_strictly, repeated_fields, unknown_fields
from fairlead.objects import embedded, jsonpaths, jsonschema, listtypes, names, protobuf, pruning, schema
from fairlead.objects.apiextensions_v1 import (
    CustomResourceDefinitionVersion,
    JSONSchemaProps,
)
from fairlead.objects.codec import decode, decoder, encode, plain
from fairlead.objects.definitions import schema_of
from fairlead.objects.jsonvalues import copied, deeper_than
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.metadata import validate_metadata, validate_metadata_update
from fairlead.objects.moments import NoMoment, checked, in_usual_form
from fairlead.objects.resources import Resource
from fairlead.objects.rules import Rules
from fairlead.objects.schemas import type_of_schema
from fairlead.objects.status import FieldError, bad_request, invalid

DEEPEST = 200
"""How deep an object may be nested, so that whatever was written can be read again from wherever in the program."""

MOST_REPLICAS = (1 << 31) - 1


class Custom(msgspec.Struct, frozen=True, kw_only=True):
    """A custom resource. `content` is all of it but for kind, apiVersion, metadata; nobody changes it in place."""

    kind: str
    apiVersion: str
    metadata: ObjectMeta
    content: dict[str, Any]
    size: int = 0
    """Bytes of the JSON that it was read from."""


class Metadata(msgspec.Struct):
    """What of a custom resource has a type. The rest is any JSON."""

    metadata: ObjectMeta | None = None


METADATA = schema.Type("Metadata", {"metadata": schema.Field("metadata", f"{schema.META}.ObjectMeta", 0)})


class CustomModel:
    """The model of one version of a custom resource."""

    protobuf = False
    strategic = False

    def __init__(
        self, resource: Resource[Any], version: Version, stored: Version, all_: Mapping[str, Version]
    ) -> None:
        self._resource = resource
        self._version = version
        self._stored = stored
        self._versions = all_

    @property
    def rules(self) -> Rules[Any]:
        """Those of metadata and schema."""
        return Rules(validate=self._validate, validate_status=self._validate_status)

    @cached_property
    def schema(self) -> schema.Type | None:
        """The schema, as patches and apply read it."""
        return type_of_schema(self._version.schema, self._resource)

    @property
    def openapi(self) -> JSONSchemaProps:
        """The schema, as OpenAPI publishes it."""
        return self._version.schema

    def body(self, data: bytes, content_type: str | None) -> bytes:
        """JSON or YAML as JSON; protobuf is 415."""
        if media_type(content_type) == protobuf.CONTENT_TYPE:
            raise unsupported(("application/json", "application/yaml"))
        return as_json(data, content_type)

    def read(self, data: bytes, validation: str) -> tuple[Any, tuple[str, ...]]:
        """The object, cut to its schema and completed by it. Raises 400 or 422."""
        resource = self._resource
        try:
            value = msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise unreadable(
                resource.kind, resource.api_version, f"couldn't get version/kind; json parse error: {error}"
            ) from None
        self._check_header(value)
        if data.count(b"{") + data.count(b"[") > DEEPEST and deeper_than(DEEPEST, value):
            why = f"it is nested deeper than {DEEPEST} objects and lists"
            raise unreadable(resource.kind, resource.api_version, why)
        found = [f'unknown field "{path}"' for path in pruning.settle(value, self._version.schema)]
        given = encode({"metadata": value.pop("metadata", None)})
        strictly = read_strictly(Metadata, given)
        try:
            given = checked(given, METADATA) if strictly is None else in_usual_form(given, METADATA)
            metadata = decode(Metadata, given).metadata or ObjectMeta()
        except (msgspec.ValidationError, NoMoment) as error:
            raise unreadable(resource.kind, resource.api_version, str(error)) from None
        kind, api_version = value.pop("kind"), value.pop("apiVersion")
        obj = Custom(kind=kind, apiVersion=api_version, metadata=metadata, content=value, size=len(data))
        if validation == "Ignore":
            return obj, ()
        unknown = unknown_fields(Metadata, given) if strictly is None else []
        found = [*repeated_fields(data, thorough=validation == "Strict"), *unknown, *found]
        if found and validation == "Strict":
            raise unreadable(resource.kind, resource.api_version, strict_error(found))
        return obj, tuple(found)

    def _check_header(self, value: Any) -> None:
        if not isinstance(value, dict):
            raise unreadable(self._resource.kind, self._resource.api_version, "it is no JSON object")
        for name, title in (("kind", "Kind"), ("apiVersion", "apiVersion")):
            given = value.get(name)
            if not given or not isinstance(given, str):
                raise bad_request(
                    f"Object '{title}' is missing in the body: every custom resource says what it is"
                )
        expected = self._resource.api_version
        if value["apiVersion"] != expected:
            raise bad_request(
                f"the API version in the data ({value['apiVersion']}) does not match the expected API version "
                f"({expected})"
            )

    def knows(self, data: bytes) -> bool:
        """Never for sure: what the schema says is looked at in the whole object."""
        return False

    def decode(self, value: bytes) -> Custom:
        """The object in this version, with the defaults of the version that it was stored in."""
        found = msgspec.json.decode(value)
        written = found.pop("apiVersion")
        kind = found.pop("kind")
        del found["metadata"]
        metadata = decoder(Metadata).decode(value).metadata or ObjectMeta()
        was = self._versions.get(written.rpartition("/")[2], self._version)
        pruning.settle(found, was.schema)
        if was is not self._version:
            pruning.prune(found, self._version.schema)
        return Custom(
            kind=kind,
            apiVersion=self._resource.api_version,
            metadata=metadata,
            content=found,
            size=len(value),
        )

    def stored(self, obj: Custom) -> bytes:
        """The object in the storage version."""
        content, metadata = obj.content, obj.metadata
        if self._stored is not self._version:
            content = copied(content)
            pruning.prune(content, self._stored.schema)
        if metadata.resourceVersion:
            metadata = replace(metadata, resourceVersion="")
        return encode(
            {"kind": obj.kind, "apiVersion": self._stored.api_version, "metadata": metadata, **content}
        )

    def document(self, obj: Custom) -> dict[str, Any]:
        """The object's members."""
        own = {"kind": obj.kind, "apiVersion": obj.apiVersion, "metadata": plain(obj.metadata)}
        return {**own, **obj.content}

    def shown(self, value: bytes) -> bytes:
        """The object in this version."""
        obj = self.decode(value)
        return encode(
            {"kind": obj.kind, "apiVersion": obj.apiVersion, "metadata": obj.metadata, **obj.content}
        )

    def _validate(self, obj: Custom, old: Custom | None = None) -> list[FieldError]:
        errors = self._validate_kind(obj)
        if old is None:
            namespaced = self._resource.namespaced
            errors += validate_metadata(obj.metadata, names.is_dns1123_subdomain, namespaced=namespaced)
        else:
            errors += validate_metadata_update(obj.metadata, old.metadata)
        return errors + self._validate_content(obj, old) + self._validate_scale(obj)

    def _validate_status(self, obj: Custom, old: Custom) -> list[FieldError]:
        errors = validate_metadata_update(obj.metadata, old.metadata)
        return errors + self._validate_content(obj, old) + self._validate_scale(obj)

    def _validate_kind(self, obj: Custom) -> list[FieldError]:
        expected = self._resource.kind
        return [] if obj.kind == expected else [invalid("kind", obj.kind, f"must be {expected}")]

    def _validate_content(self, obj: Custom, old: Custom | None) -> list[FieldError]:
        """What the schema has against the object, but for what was so before (upstream: CRDValidationRatcheting)."""
        of = self._version.schema
        before = self._whole(old) if old is not None else None
        whole = self._whole(obj)
        errors = jsonschema.validate(whole, of)
        if errors and before is not None:
            errors = jsonschema.validate(whole, of, old=before)
        errors += embedded.validate(obj.content, of)
        if before is None or not listtypes.validate(before, of):
            errors += listtypes.validate(obj.content, of)
        return errors

    def _whole(self, obj: Custom) -> dict[str, Any]:
        """What schemas may speak of: of the metadata, the names."""
        named = {"name": obj.metadata.name, "generateName": obj.metadata.generateName}
        metadata = {name: value for name, value in named.items() if value}
        return {"kind": obj.kind, "apiVersion": obj.apiVersion, "metadata": metadata, **obj.content}

    def _validate_scale(self, obj: Custom) -> list[FieldError]:
        scale = self._version.scale
        if scale is None:
            return []
        errors: list[FieldError] = []
        for path in (scale.specReplicasPath, scale.statusReplicasPath):
            found = jsonpaths.dotted(path).first(obj.content)
            if found is None:
                continue
            if isinstance(found, bool) or not isinstance(found, int):
                said = f"{path} accessor error: {found} is of the type {type(found).__name__}, expected int64"
                errors.append(invalid(path, 0, said))
            elif found < 0:
                errors.append(invalid(path, found, "should be a non-negative integer"))
            elif found > MOST_REPLICAS:
                errors.append(invalid(path, found, f"should be less than or equal to {MOST_REPLICAS}"))
        if scale.labelSelectorPath:
            found = jsonpaths.dotted(scale.labelSelectorPath).first(obj.content)
            if found is not None and not isinstance(found, str):
                said = f"{scale.labelSelectorPath} accessor error: the value is no string"
                errors.append(invalid(scale.labelSelectorPath, "", said))
        return errors


class Version:
    """A version of a definition, as much of it as its objects are read and judged by."""

    def __init__(self, group: str, of: CustomResourceDefinitionVersion) -> None:
        parts = of.subresources
        self.name = of.name
        self.api_version = f"{group}/{of.name}"
        self.schema = schema_of(of) or JSONSchemaProps(
            type="object", x_kubernetes_preserve_unknown_fields=True
        )
        self.status = parts is not None and parts.status is not None
        self.scale = parts.scale if parts is not None else None
