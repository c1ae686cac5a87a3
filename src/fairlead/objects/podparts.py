"""The parts of a pod that change while it runs, each by a subresource: ephemeral containers, resources.

Upstream: ValidatePodEphemeralContainersUpdate, ValidatePodResize, and the strategies of both in pkg/registry/core/pod.
"""

from __future__ import annotations

from msgspec.structs import replace

from fairlead.objects.containers import validate_ephemeral_containers
from fairlead.objects.core_v1 import Container, Pod
from fairlead.objects.metadata import validate_metadata_update
from fairlead.objects.pods import qos_class, validate_spec
from fairlead.objects.status import FieldError, forbidden, invalid

RESIZABLE = ("cpu", "memory")


def with_ephemeral_containers(new: Pod, old: Pod) -> Pod:
    """The old pod with nothing of the new one but its ephemeral containers."""
    return replace(
        old,
        metadata=replace(old.metadata, resourceVersion=new.metadata.resourceVersion),
        spec=replace(old.spec, ephemeralContainers=new.spec.ephemeralContainers),
    )


def validate_ephemeral(pod: Pod, old: Pod) -> list[FieldError]:
    """The errors of a change of ephemeral containers: they may be added, nothing else."""
    errors = validate_metadata_update(pod.metadata, old.metadata)
    errors += validate_spec(pod.spec, "spec")
    path = "spec.ephemeralContainers"
    errors += validate_ephemeral_containers(pod.spec, path)
    added = {container.name: container for container in pod.spec.ephemeralContainers}
    for container in old.spec.ephemeralContainers:
        named = f'existing ephemeral containers "{container.name}"'
        if container.name not in added:
            errors.append(forbidden(path, f"{named} may not be removed\n"))
        elif added[container.name] != container:
            errors.append(forbidden(path, f"{named} may not be changed\n"))
    return errors


def with_resources(new: Pod, old: Pod) -> Pod:
    """The old pod with nothing of the new one but what its containers get, as far as they are the same."""
    spec = replace(
        old.spec,
        containers=_resized(new.spec.containers, old.spec.containers),
        initContainers=_resized(new.spec.initContainers, old.spec.initContainers),
    )
    return replace(
        old, metadata=replace(old.metadata, resourceVersion=new.metadata.resourceVersion), spec=spec
    )


def _resized(new: tuple[Container, ...], old: tuple[Container, ...]) -> tuple[Container, ...]:
    if [container.name for container in new] != [container.name for container in old]:
        return new
    return tuple(
        replace(was, resources=wanted.resources, resizePolicy=wanted.resizePolicy)
        for wanted, was in zip(new, old, strict=True)
    )


def validate_resize(pod: Pod, old: Pod) -> list[FieldError]:
    """The errors of a change of resources."""
    errors = validate_metadata_update(pod.metadata, old.metadata)
    errors += validate_spec(pod.spec, "spec")
    before = old.status.qosClass or qos_class(old.spec)
    if qos_class(pod.spec) != before:
        said = "Pod QOS Class may not change as a result of resizing"
        errors.append(invalid("spec", before, said))
    if not _supported(old):
        errors.append(forbidden("spec", "Pod running on node without support for resize"))
    for field in ("containers", "initContainers"):
        errors += _validate_containers(getattr(pod.spec, field), getattr(old.spec, field), f"spec.{field}")
    return errors


def _supported(pod: Pod) -> bool:
    """Whether its node says what its containers have got; only then does it know how to change that."""
    running = [c for c in pod.status.containerStatuses if c.state.running is not None]
    return all(container.resources is not None for container in running)


def _validate_containers(
    new: tuple[Container, ...], old: tuple[Container, ...], path: str
) -> list[FieldError]:
    if [container.name for container in new] != [container.name for container in old]:
        return [forbidden(path, "containers may not be renamed or reordered on resize")]
    errors: list[FieldError] = []
    for i, (wanted, was) in enumerate(zip(new, old, strict=True)):
        for field in ("limits", "requests"):
            after, before = getattr(wanted.resources, field), getattr(was.resources, field)
            if before.keys() - after.keys():
                said = f"resource {field} cannot be removed"
                errors.append(forbidden(f"{path}[{i}].resources.{field}", said))
            elif any(after[name] != before.get(name) for name in after if name not in RESIZABLE):
                errors.append(forbidden("spec", "only cpu and memory resources are mutable"))
    return errors
