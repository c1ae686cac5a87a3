"""The kinds that a definition of custom resources gives rise to: one for each version.

Upstream: customresource_handler.go and pkg/registry/customresource of apiextensions-apiserver.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from msgspec.structs import replace

from fairlead.apiserver import columns
from fairlead.apiserver.aside import LARGE
from fairlead.apiserver.catalog import Family
from fairlead.apiserver.custom import Custom, CustomModel, Version
from fairlead.apiserver.kind import Kind, Scaling
from fairlead.apiserver.kinds import SCALE
from fairlead.apiserver.strategies import Claim, Strategy
from fairlead.objects import jsonpaths
from fairlead.objects.apiextensions_v1 import (
    CustomResourceDefinition,
    CustomResourceDefinitionVersion,
    CustomResourceSubresourceScale,
)
from fairlead.objects.autoscaling_v1 import Scale, ScaleSpec, ScaleStatus
from fairlead.objects.resources import Resource
from fairlead.objects.scales import identity
from fairlead.objects.status import failure, not_found
from fairlead.objects.versions import preference
from fairlead.store import Condition, Store


class CustomStrategy(Strategy):
    """Custom resources: with a status subresource, nothing else writes the status."""

    status_resets = MappingProxyType({"f:spec": {}, "f:metadata": {}})

    def __init__(self, definition: str, status: bool) -> None:
        self._definition = definition
        self._status = status

    def prepare_create(self, obj: Custom) -> Custom:
        """Without a status, if that has a path of its own."""
        if not self._status or "status" not in obj.content:
            return obj
        return replace(obj, content={name: value for name, value in obj.content.items() if name != "status"})

    def prepare_update(self, obj: Custom, old: Custom) -> Custom:
        """With the old status, if that has a path of its own."""
        return replace(obj, content=_with_status(obj.content, old.content)) if self._status else obj

    def prepare_status(self, obj: Custom, old: Custom) -> Custom:
        """The old object with the new status."""
        metadata = replace(old.metadata, resourceVersion=obj.metadata.resourceVersion)
        return replace(old, content=_with_status(old.content, obj.content), metadata=metadata)

    async def claim(self, store: Store, obj: Any, old: Any | None, *, dry_run: bool) -> Claim:
        """A new one is made only while its definition stays: none may be left behind. Raises 404, 405."""
        if old is not None:
            return Claim(obj)
        entry = await store.get(self._definition)
        if entry is None:
            raise not_found("customresourcedefinitions", self._definition, "apiextensions.k8s.io")
        if b'"deletionTimestamp"' in entry.value:
            said = "create not allowed while custom resource definition is terminating"
            raise failure(405, "MethodNotAllowed", said)
        return Claim(obj, [Condition(entry.key, entry.revision)])

    def spec(self, obj: Custom) -> Any:
        """Everything but the metadata, and the status where that is counted for itself."""
        if not self._status:
            return obj.content
        return {name: value for name, value in obj.content.items() if name != "status"}


def _with_status(content: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The content with the status of another."""
    found = {name: value for name, value in content.items() if name != "status"}
    if "status" in other:
        found["status"] = other["status"]
    return found


def family(definition: CustomResourceDefinition, key: str) -> Family:
    """The kinds of a definition, by the names that were accepted. `key` is that of the definition in the store."""
    group = definition.spec.group
    versions = {of.name: Version(group, of) for of in definition.spec.versions}
    stored = next(versions[of.name] for of in definition.spec.versions if of.storage)
    kinds = {of.name: _kind(definition, of, versions, stored, key) for of in definition.spec.versions}
    served = sorted((of.name for of in definition.spec.versions if of.served), key=preference)
    return Family(kinds[stored.name], tuple(kinds[name] for name in served))


def _kind(
    definition: CustomResourceDefinition,
    of: CustomResourceDefinitionVersion,
    versions: Mapping[str, Version],
    stored: Version,
    key: str,
) -> Kind:
    accepted, spec = definition.status.acceptedNames, definition.spec
    resource = Resource(
        spec.group, of.name, accepted.plural, accepted.kind, Custom, namespaced=spec.scope == "Namespaced"
    )
    version = versions[of.name]
    return Kind(
        resource,
        accepted.singular,
        accepted.shortNames,
        accepted.categories,
        status=version.status,
        subresources=(SCALE,) if version.scale is not None else (),
        selectable_fields={field.jsonPath[1:]: _selected(field.jsonPath) for field in of.selectableFields},
        generation=True,
        unconditional_update=False,
        scaling=scaling(version.scale) if version.scale is not None else None,
        own_model=CustomModel(resource, version, stored, versions),
        strategy=CustomStrategy(key, version.status),
        own_list_kind=accepted.listKind,
        columns=columns.table(of.additionalPrinterColumns),
        deprecation=deprecation(definition, of),
        heavy=lambda obj: obj.size > LARGE,
    )


def _selected(path: str) -> Any:
    found = jsonpaths.dotted(path)

    def text(obj: Custom) -> str:
        value = found.first(obj.content)
        if isinstance(value, bool):
            return "true" if value else "false"
        return "" if value is None else str(value)

    return text


def deprecation(definition: CustomResourceDefinition, of: CustomResourceDefinitionVersion) -> str:
    """What those who use a version are warned of. Upstream: handleDeprecated of customresource_handler.go."""
    if not of.deprecated:
        return ""
    if of.deprecationWarning is not None:
        return of.deprecationWarning
    spec, kind = definition.spec, definition.status.acceptedNames.kind
    said = f"{spec.group}/{of.name} {kind} is deprecated"
    for name in sorted(
        (one.name for one in spec.versions if one.served and not one.deprecated), key=preference
    ):
        if preference(name) < preference(of.name):
            return f"{said}; use {spec.group}/{name} {kind}"
    return said


def scaling(of: CustomResourceSubresourceScale) -> Scaling:
    """How the scale of an object is read and written by the paths of its definition."""
    wanted, actual = jsonpaths.dotted(of.specReplicasPath), jsonpaths.dotted(of.statusReplicasPath)
    selector = jsonpaths.dotted(of.labelSelectorPath) if of.labelSelectorPath else None
    steps = of.specReplicasPath.removeprefix(".").split(".")

    def read(obj: Custom) -> Scale:
        replicas = wanted.first(obj.content)
        if replicas is None:
            # Upstream says so as an internal error, which it is not.
            raise failure(404, "NotFound", f'the spec replicas field "{of.specReplicasPath}" does not exist')
        return Scale(
            metadata=identity(obj.metadata),
            spec=ScaleSpec(replicas=_whole_number(replicas)),
            status=ScaleStatus(
                replicas=_whole_number(actual.first(obj.content)),
                selector=str((selector.first(obj.content) if selector is not None else None) or ""),
            ),
        )

    def write(obj: Custom, replicas: int) -> Custom:
        return replace(obj, content=_put(obj.content, steps, replicas))

    return Scaling(read, write)


def _whole_number(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _put(content: Mapping[str, Any], steps: list[str], value: Any) -> dict[str, Any]:
    """The content with another value at a path, which is made where it is not there."""
    if not steps[1:]:
        return {**content, steps[0]: value}
    inner = content.get(steps[0])
    return {**content, steps[0]: _put(inner if isinstance(inner, dict) else {}, steps[1:], value)}
