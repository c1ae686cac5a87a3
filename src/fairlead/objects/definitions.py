"""Definitions of custom resources: what is filled in, and what is refused.

A rule that all versions share is reported at the path that it has in upstream's internal form, which is that of the
definition itself (`spec.validation`, `spec.subresources`), as upstream does.
Upstream: pkg/apis/apiextensions/{v1/defaults.go,v1/conversion.go,validation/validation.go} of apiextensions-apiserver.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from fairlead.objects import formats, names, structural
from fairlead.objects.apiextensions_v1 import (
    CustomResourceColumnDefinition,
    CustomResourceConversion,
    CustomResourceDefinition,
    CustomResourceDefinitionNames,
    CustomResourceDefinitionSpec,
    CustomResourceDefinitionVersion,
    CustomResourceSubresources,
    CustomResourceValidation,
    JSONSchemaProps,
    SelectableField,
)
from fairlead.objects.jsonvalues import deeper_than
from fairlead.objects.metadata import validate_metadata, validate_metadata_update
from fairlead.objects.pruning import member_of
from fairlead.objects.status import (
    FieldError,
    duplicate,
    forbidden,
    immutable,
    invalid,
    not_supported,
    required,
    too_many,
)

SCOPES = ("Cluster", "Namespaced")
COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
MOST_SELECTABLE = 8
DEEPEST = 300
"""How deep the JSON of a schema may be: two levels for one of its objects."""
MOST_WARNINGS = 16

NOT_AT_STATUS_ROOT = frozenset(
    {"nullable", "enum", "maxProperties", "minProperties", "allOf", "oneOf", "anyOf", "not", "default"}
    | {"additionalProperties", "x-kubernetes-embedded-resource", "x-kubernetes-int-or-string"}
    | {"x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type"}
)
"""Fields that a schema may not have at its root where there is a status subresource."""
AT_STATUS_ROOT = (
    "[Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength Pattern "
    "MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example XPreserveUnknownFields "
    "XValidations]"
)

PROTECTED_GROUPS = ("k8s.io", "kubernetes.io")
APPROVAL = "api-approved.kubernetes.io"
APPROVED, UNAPPROVED = "ApprovedAnnotation", "UnapprovedAnnotation"
"""The annotations that are good."""


def default(obj: CustomResourceDefinition) -> CustomResourceDefinition:
    """With the names that follow from the kind, and no conversion."""
    spec = obj.spec
    given = spec.names
    full = replace(
        given,
        singular=given.singular or given.kind.lower(),
        listKind=given.listKind or (f"{given.kind}List" if given.kind else ""),
    )
    conversion = spec.conversion or CustomResourceConversion(strategy="None")
    return replace(obj, spec=replace(spec, names=full, conversion=conversion))


def condition(obj: CustomResourceDefinition, kind: str) -> str:
    """The status of a condition: True, False, or "" where there is none."""
    return next((one.status for one in obj.status.conditions if one.type == kind), "")


def schema_of(version: CustomResourceDefinitionVersion) -> JSONSchemaProps | None:
    """The schema of a version."""
    return version.schema.openAPIV3Schema if version.schema is not None else None


def validate(obj: CustomResourceDefinition, old: CustomResourceDefinition | None = None) -> list[FieldError]:
    """The errors of a new definition, or of a change of one."""

    def is_named(name: str) -> tuple[str, ...]:
        wrong = names.is_dns1123_subdomain(name)
        if name != f"{obj.spec.names.plural}.{obj.spec.group}":
            wrong += ('must be spec.names.plural+"."+spec.group',)
        return wrong

    if old is None:
        errors = validate_metadata(obj.metadata, is_named, namespaced=False)
    else:
        errors = validate_metadata_update(obj.metadata, old.metadata)
    if deep := list(_too_deep(obj.spec.versions)):
        return errors + deep
    errors += _spec(obj.spec)
    if old is not None:
        errors += _immutable(obj.spec, old.spec, established=condition(old, "Established") == "True")
    errors += _names(obj.status.acceptedNames, "status.acceptedNames")
    errors += _stored_versions(obj)
    errors += _approval(obj, old)
    return errors


def _too_deep(versions: Sequence[CustomResourceDefinitionVersion]) -> Iterator[FieldError]:
    """Whoever works with a schema walks through it, and so do all readers of OpenAPI."""
    for i, version in enumerate(versions):
        schema = schema_of(version)
        if schema is not None and deeper_than(DEEPEST, msgspec.to_builtins(schema)):
            said = f"must not be nested deeper than {DEEPEST} objects and lists of JSON"
            yield invalid(f"spec.versions[{i}].schema.openAPIV3Schema", "", said)


def validate_status(obj: CustomResourceDefinition, old: CustomResourceDefinition) -> list[FieldError]:
    """The errors of a change of status."""
    errors = validate_metadata_update(obj.metadata, old.metadata)
    return errors + list(_names(obj.status.acceptedNames, "status.acceptedNames"))


def warnings(obj: CustomResourceDefinition) -> list[str]:
    """What the writer of a definition has to know: what in its schemas has no effect."""
    return list(dict.fromkeys(_remarks(obj)))[:MOST_WARNINGS]


def _remarks(obj: CustomResourceDefinition) -> Iterator[str]:
    for version in obj.spec.versions:
        schema = schema_of(version)
        for path, one in structural.everywhere(schema) if schema is not None else ():
            if one.format and not formats.recognized(one.format):
                yield f'unrecognized format "{one.format}"'
            if one.x_kubernetes_validations:
                where = f"spec.versions[{version.name}].schema.openAPIV3Schema{'.' if path else ''}{path}"
                yield f"{where}.x-kubernetes-validations: rules in CEL are stored but not enforced by this server"


def _spec(spec: CustomResourceDefinitionSpec) -> list[FieldError]:
    errors: list[FieldError] = []
    if not spec.group:
        errors.append(required("spec.group"))
    elif wrong := names.is_dns1123_subdomain(spec.group):
        errors.append(invalid("spec.group", spec.group, ",".join(wrong)))
    elif "." not in spec.group:
        errors.append(invalid("spec.group", spec.group, "should be a domain with at least one dot"))
    if not spec.scope:
        errors.append(required("spec.scope"))
    elif spec.scope not in SCOPES:
        errors.append(not_supported("spec.scope", spec.scope, SCOPES))
    errors += _versions(spec)
    for name in ("plural", "singular", "kind", "listKind"):
        if not getattr(spec.names, name):
            errors.append(required(f"spec.names.{name}"))
    errors += _names(spec.names, "spec.names")
    if spec.preserveUnknownFields:
        said = (
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in "
            "spec.versions[*].schema instead"
        )
        errors.append(invalid("spec.preserveUnknownFields", True, said))
    errors += _conversion(spec.conversion)
    return errors


def _versions(spec: CustomResourceDefinitionSpec) -> Iterator[FieldError]:
    versions = spec.versions
    for i, version in enumerate(versions):
        here = f"spec.versions[{i}]"
        if schema_of(version) is None:
            yield required(f"{here}.schema.openAPIV3Schema", "schemas are required")
        if wrong := names.is_dns1035_label(version.name):
            yield invalid(f"{here}.name", version.name, ",".join(wrong))
        yield from _deprecation(version, here)
    status = [
        version.subresources is not None and version.subresources.status is not None for version in versions
    ]
    for path, i, schema in _by_version(versions, "schema", "spec.validation"):
        at_root = status[i] if path.startswith("spec.versions") else any(status)
        yield from _schema(schema, path, status=at_root)
    for path, _, parts in _by_version(versions, "subresources", "spec.subresources"):
        yield from _subresources(parts, path)
    for path, _, columns in _by_version(
        versions, "additionalPrinterColumns", "spec.additionalPrinterColumns"
    ):
        for j, column in enumerate(columns):
            yield from _column(column, f"{path}[{j}]")
    for path, i, fields in _by_version(versions, "selectableFields", "spec.selectableFields"):
        yield from _selectable(fields, schema_of(versions[i]), path)
    named = [version.name for version in versions]
    listed = [{"name": name} for name in named]
    if len(set(named)) < len(named):
        yield invalid("spec.versions", listed, "must contain unique version names")
    if sum(version.storage for version in versions) != 1:
        yield invalid("spec.versions", listed, "must have exactly one version marked as storage version")


def _by_version(
    versions: Sequence[CustomResourceDefinitionVersion], field: str, shared: str
) -> Iterator[tuple[str, int, Any]]:
    """A field of each version that has it, with the path of its errors: once if it is the same in all."""
    values = [getattr(version, field) for version in versions]
    if values and values[0] and all(value == values[0] for value in values):
        yield shared, 0, values[0]
        return
    yield from ((f"spec.versions[{i}].{field}", i, value) for i, value in enumerate(values) if value)


def _schema(of: CustomResourceValidation, path: str, *, status: bool) -> Iterator[FieldError]:
    schema, here = of.openAPIV3Schema, f"{path}.openAPIV3Schema"
    if schema is None:
        return
    if status and schema.type and schema.type != "object":
        said = 'only "object" is allowed as the type at the root of the schema if the status subresource is enabled'
        yield invalid(f"{here}.type", schema.type, said)
    if status and NOT_AT_STATUS_ROOT & structural.present(schema).keys():
        said = "fields are allowed at the root of the schema if the status subresource is enabled"
        said = f"only {AT_STATUS_ROOT} {said}"
        yield invalid(here, schema, said)
    yield from structural.validate(schema, here)


def _deprecation(version: CustomResourceDefinitionVersion, path: str) -> Iterator[FieldError]:
    said = version.deprecationWarning
    if said is None:
        return
    wrong = []
    if not version.deprecated:
        wrong.append("can only be set for deprecated versions")
    else:
        if len(said.encode()) > 256:
            wrong.append("must be <= 256 characters long")
        if not said:
            wrong.append("must not be an empty string")
        strange = next((i for i, letter in enumerate(said) if not letter.isprintable()), None)
        if strange is not None:
            only = "must only contain printable UTF-8 characters"
            wrong.append(f"{only}; non-printable character found at index {strange}")
    for one in wrong:
        yield invalid(f"{path}.deprecationWarning", said, one)


def _names(given: CustomResourceDefinitionNames, path: str) -> Iterator[FieldError]:
    for name in ("plural", "singular"):
        value = getattr(given, name)
        if value and (wrong := names.is_dns1035_label(value)):
            yield invalid(f"{path}.{name}", value, ",".join(wrong))
    for name in ("kind", "listKind"):
        value = getattr(given, name)
        if value and (wrong := names.is_dns1035_label(value.lower())):
            said = f"may have mixed case, but should otherwise match: {','.join(wrong)}"
            yield invalid(f"{path}.{name}", value, said)
    for name in ("shortNames", "categories"):
        for i, value in enumerate(getattr(given, name)):
            if wrong := names.is_dns1035_label(value):
                yield invalid(f"{path}.{name}[{i}]", value, ",".join(wrong))
    if given.kind and given.kind == given.listKind:
        yield invalid(f"{path}.listKind", given.listKind, "kind and listKind may not be the same")


def _conversion(conversion: CustomResourceConversion | None) -> Iterator[FieldError]:
    if conversion is None:
        return
    if not conversion.strategy:
        yield required("spec.conversion.strategy")
    elif conversion.strategy == "Webhook":
        said = "this server converts by None only: it calls no webhooks"
        yield forbidden("spec.conversion.strategy", said)
    elif conversion.strategy != "None":
        yield not_supported("spec.conversion.strategy", conversion.strategy, ("None", "Webhook"))
    elif conversion.webhook is not None:
        said = "should not be set when strategy is not set to Webhook"
        yield forbidden("spec.conversion.webhookClientConfig", said)


def _path_form(text: str, path: str) -> FieldError | None:
    if not text:
        return required(path)
    if not text.startswith("."):
        return invalid(path, text, "must be a simple json path starting with .")
    return None


def _subresources(parts: CustomResourceSubresources, path: str) -> Iterator[FieldError]:
    scale = parts.scale
    if scale is None:
        return
    for name, roots, said in (
        ("specReplicasPath", (".spec.",), "should be a json path under .spec"),
        ("statusReplicasPath", (".status.",), "should be a json path under .status"),
        ("labelSelectorPath", (".spec.", ".status."), "should be a json path under either .spec or .status"),
    ):
        text, here = getattr(scale, name), f"{path}.scale.{name}"
        if name == "labelSelectorPath" and not text:
            continue
        if (wrong := _path_form(text, here)) is not None:
            yield wrong
        elif not text.startswith(roots):
            yield invalid(here, text, said)


def _column(column: CustomResourceColumnDefinition, path: str) -> Iterator[FieldError]:
    if not column.name:
        yield required(f"{path}.name")
    if not column.type:
        yield required(f"{path}.type", f"must be one of {','.join(COLUMN_TYPES)}")
    elif column.type not in COLUMN_TYPES:
        yield invalid(f"{path}.type", column.type, f"must be one of {','.join(COLUMN_TYPES)}")
    if column.format and column.format not in COLUMN_FORMATS:
        yield invalid(f"{path}.format", column.format, f"must be one of {','.join(COLUMN_FORMATS)}")
    if (wrong := _path_form(column.jsonPath, f"{path}.JSONPath")) is not None:
        yield wrong


def _selectable(
    fields: Sequence[SelectableField], schema: JSONSchemaProps | None, path: str
) -> Iterator[FieldError]:
    seen: set[str] = set()
    for i, field in enumerate(fields):
        here, text = f"{path}[{i}].jsonPath", field.jsonPath
        if not text:
            yield required(here)
            continue
        of: JSONSchemaProps | None = schema
        steps = text.split(".")
        for step in steps[1:]:
            of = member_of(of, step)
        if steps[0] or of is None:
            yield invalid(here, text, "is an invalid path: does not refer to a valid field")
            continue
        if steps[1] == "metadata":
            yield invalid(here, text, "must not point to fields in metadata")
        if of.type not in ("string", "boolean", "integer"):
            said = (
                "must point to a field of type string, boolean or integer. Enum string fields and strings with formats "
                "are allowed."
            )
            yield invalid(here, text, said)
        if text in seen:
            yield duplicate(here, text)
        seen.add(text)
    if len(seen) > MOST_SELECTABLE:
        yield too_many(path, len(seen), MOST_SELECTABLE)


def _immutable(
    spec: CustomResourceDefinitionSpec, old: CustomResourceDefinitionSpec, *, established: bool
) -> Iterator[FieldError]:
    if established and spec.scope != old.scope:
        yield immutable("spec.scope", spec.scope)
    if established and spec.names.kind != old.names.kind:
        yield immutable("spec.names.kind", spec.names.kind)
    if spec.group != old.group:
        yield immutable("spec.group", spec.group)
    if spec.names.plural != old.names.plural:
        yield immutable("spec.names.plural", spec.names.plural)


def _stored_versions(obj: CustomResourceDefinition) -> Iterator[FieldError]:
    path, stored = "status.storedVersions", obj.status.storedVersions
    if not stored:
        yield invalid(path, [], "must have at least one stored version")
        return
    for version in obj.spec.versions:
        if version.storage and version.name not in stored:
            yield invalid(path, list(stored), f"must have the storage version {version.name}")
    known = {version.name for version in obj.spec.versions}
    for i, name in enumerate(stored):
        if name not in known:
            said = (
                f"missing from spec.versions; {name} was previously a storage version, and must remain in "
                f"spec.versions until a storage migration ensures no data remains persisted in {name} and removes "
                f"{name} from status.storedVersions"
            )
            yield invalid(f"{path}[{i}]", name, said)


def protected(group: str) -> bool:
    """Whether a group belongs to the Kubernetes project."""
    return any(group == one or group.endswith(f".{one}") for one in PROTECTED_GROUPS)


def approval(obj: CustomResourceDefinition) -> tuple[str, str]:
    """What is to be said of the annotation that a protected group asks for: a reason, and a sentence.

    Upstream: apihelpers.GetAPIApprovalState, and the reasons of apiapproval_controller.go.
    """
    given = obj.metadata.annotations.get(APPROVAL, "")
    see = "see https://github.com/kubernetes/enhancements/pull/1111"
    if not given:
        return "MissingAnnotation", f'protected groups must have approval annotation "{APPROVAL}", {see}'
    if given.startswith("unapproved"):
        return UNAPPROVED, f'not approved: "{given}"'
    scheme, _, rest = given.partition("://")
    if scheme and rest:
        return APPROVED, f"approved in {given}"
    asked = 'either a URL or a reason starting with "unapproved"'
    return (
        "InvalidAnnotation",
        f'protected groups must have approval annotation "{APPROVAL}" with {asked}, {see}',
    )


def _approval(obj: CustomResourceDefinition, old: CustomResourceDefinition | None) -> Iterator[FieldError]:
    if not protected(obj.spec.group):
        return
    reason, said = approval(obj)
    if reason in (APPROVED, UNAPPROVED):
        return
    if old is not None and approval(old)[0] not in (APPROVED, UNAPPROVED):
        # What was so before may stay.
        return
    path = f"metadata.annotations[{APPROVAL}]"
    given = obj.metadata.annotations.get(APPROVAL, "")
    yield invalid(path, given, said) if given else required(path, said)
