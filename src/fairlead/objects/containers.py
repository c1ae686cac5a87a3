"""Containers of a pod: what is filled in for the user, and what is refused.

Upstream: SetDefaults_Container, validateContainers in pkg/apis/core/validation.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import TypeVar

from msgspec.structs import replace

from fairlead.objects import addresses, names, quantities
from fairlead.objects.core_v1 import (
    Container,
    ContainerPort,
    EnvFromSource,
    EnvVar,
    EnvVarSource,
    EphemeralContainer,
    PodSpec,
    ResourceRequirements,
    VolumeMount,
)
from fairlead.objects.probes import default_lifecycle, default_probe, validate_lifecycle, validate_probe
from fairlead.objects.restartrules import validate_restarts
from fairlead.objects.services import validate_protocol
from fairlead.objects.status import FieldError, duplicate, forbidden, invalid, not_supported, required

AnyContainer = TypeVar("AnyContainer", Container, EphemeralContainer)

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
MESSAGE_POLICIES = ("FallbackToLogsOnError", "File")
POD_FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
"""What an environment variable may take from the pod, besides single labels and annotations."""


def default_container(container: AnyContainer) -> AnyContainer:
    """The container with its pull policy, which follows from the image's tag, its ports' protocols and its probes."""
    return replace(
        container,
        imagePullPolicy=container.imagePullPolicy
        or ("Always" if is_latest(container.image) else "IfNotPresent"),
        terminationMessagePath=container.terminationMessagePath or "/dev/termination-log",
        terminationMessagePolicy=container.terminationMessagePolicy or "File",
        ports=tuple(p if p.protocol else replace(p, protocol="TCP") for p in container.ports),
        env=tuple(_default_env(variable) for variable in container.env),
        livenessProbe=default_probe(container.livenessProbe),
        readinessProbe=default_probe(container.readinessProbe),
        startupProbe=default_probe(container.startupProbe),
        lifecycle=default_lifecycle(container.lifecycle),
    )


def is_latest(image: str) -> bool:
    """Whether the image may change behind its name: it has neither a digest nor a tag but `latest`."""
    name = image.rpartition("/")[2]
    if "@" in name:
        return False
    return name.partition(":")[2] in ("", "latest")


def _default_env(variable: EnvVar) -> EnvVar:
    source = variable.valueFrom
    if source is None or source.fieldRef is None or source.fieldRef.apiVersion:
        return variable
    return replace(variable, valueFrom=replace(source, fieldRef=replace(source.fieldRef, apiVersion="v1")))


def default_requests(resources: ResourceRequirements) -> ResourceRequirements:
    """The requirements with a request for everything that is limited. Only pods have it, not their templates."""
    if resources.limits.keys() <= resources.requests.keys():
        return resources
    return replace(resources, requests={**resources.limits, **resources.requests})


def validate_containers(
    containers: Sequence[Container], path: str, volumes: Collection[str], *, host_network: bool
) -> list[FieldError]:
    """The errors in the containers of a pod, of which there has to be one."""
    if not containers:
        return [required(path)]
    errors: list[FieldError] = []
    for i, container in enumerate(containers):
        at = f"{path}[{i}]"
        errors += _validate_common(container, at, volumes, host_network=host_network)
        errors += validate_restarts(container, at)
        if container.name in [other.name for other in containers[:i]]:
            errors.append(duplicate(f"{at}.name", container.name))
        errors += validate_lifecycle(container.lifecycle, f"{at}.lifecycle")
        errors += validate_probe(container.livenessProbe, f"{at}.livenessProbe", once=True)
        errors += validate_probe(container.readinessProbe, f"{at}.readinessProbe", once=False)
        errors += validate_probe(container.startupProbe, f"{at}.startupProbe", once=True)
    return errors + _validate_host_ports(containers, path)


def validate_init_containers(
    init: Sequence[Container],
    regular: Sequence[Container],
    path: str,
    volumes: Collection[str],
    *,
    host_network: bool,
) -> list[FieldError]:
    """The errors in the containers that run before the others; those that restart run beside them, as sidecars."""
    errors: list[FieldError] = []
    for i, container in enumerate(init):
        at = f"{path}[{i}]"
        errors += _validate_common(container, at, volumes, host_network=host_network)
        errors += validate_restarts(container, at)
        if container.name in [other.name for other in (*regular, *init[:i])]:
            errors.append(duplicate(f"{at}.name", container.name))
        if container.restartPolicy == "Always":
            errors += validate_lifecycle(container.lifecycle, f"{at}.lifecycle")
            errors += validate_probe(container.livenessProbe, f"{at}.livenessProbe", once=True)
            errors += validate_probe(container.readinessProbe, f"{at}.readinessProbe", once=False)
            errors += validate_probe(container.startupProbe, f"{at}.startupProbe", once=True)
            continue
        said = "may not be set for init containers without restartPolicy=Always"
        for field in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
            if getattr(container, field) is not None:
                errors.append(forbidden(f"{at}.{field}", said))
    return errors


EPHEMERAL_LACKS = (
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicyRules",
    "lifecycle",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
)
"""What a container that somebody looks around with cannot have, since nothing may rely on it."""


def validate_ephemeral_containers(spec: PodSpec, path: str) -> list[FieldError]:
    """The errors in the containers that were added to a running pod."""
    errors: list[FieldError] = []
    volumes = {volume.name for volume in spec.volumes}
    others = [container.name for container in (*spec.containers, *spec.initContainers)]
    said = "cannot be set for an Ephemeral Container"
    for i, container in enumerate(spec.ephemeralContainers):
        at = f"{path}[{i}]"
        errors += _validate_common(container, at, volumes, host_network=spec.hostNetwork)
        before = [other.name for other in spec.ephemeralContainers[:i]]
        if container.name in (*others, *before):
            errors.append(duplicate(f"{at}.name", container.name))
        if container.targetContainerName and container.targetContainerName not in others:
            target = container.targetContainerName
            errors.append(FieldError("FieldValueNotFound", f"{at}.targetContainerName", "", target))
        for field in EPHEMERAL_LACKS:
            value = getattr(container, field)
            if value and value != ResourceRequirements():
                errors.append(forbidden(f"{at}.{field}", said))
        for j, mount in enumerate(container.volumeMounts):
            for field in ("subPath", "subPathExpr"):
                if getattr(mount, field):
                    errors.append(forbidden(f"{at}.volumeMounts[{j}].{field}", said))
    return errors


def _validate_common(
    container: Container | EphemeralContainer, path: str, volumes: Collection[str], *, host_network: bool
) -> list[FieldError]:
    errors: list[FieldError] = []
    if not container.name:
        errors.append(required(f"{path}.name"))
    else:
        errors += names.wrong(names.is_dns1123_label, f"{path}.name", container.name)
    if not container.image:
        errors.append(required(f"{path}.image"))
    elif container.image != container.image.strip():
        said = "must not have leading or trailing whitespace"
        errors.append(invalid(f"{path}.image", container.image, said))
    policy = container.terminationMessagePolicy
    if policy not in MESSAGE_POLICIES:
        errors.append(not_supported(f"{path}.terminationMessagePolicy", policy, MESSAGE_POLICIES))
    errors += _validate_ports(container.ports, f"{path}.ports", host_network=host_network)
    errors += _validate_env(container.env, f"{path}.env")
    errors += _validate_env_from(container.envFrom, f"{path}.envFrom")
    errors += _validate_mounts(container.volumeMounts, f"{path}.volumeMounts", volumes)
    if container.imagePullPolicy not in PULL_POLICIES:
        errors.append(not_supported(f"{path}.imagePullPolicy", container.imagePullPolicy, PULL_POLICIES))
    return errors + _validate_resources(container.resources, f"{path}.resources")


def _validate_ports(ports: Sequence[ContainerPort], path: str, *, host_network: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    for i, port in enumerate(ports):
        at = f"{path}[{i}]"
        if port.name:
            if said := names.is_port_name(port.name):
                errors += [invalid(f"{at}.name", port.name, one) for one in said]
            elif port.name in [other.name for other in ports[:i]]:
                errors.append(duplicate(f"{at}.name", port.name))
        if not port.containerPort:
            errors.append(required(f"{at}.containerPort"))
        else:
            found = names.is_port_number(port.containerPort)
            errors += [invalid(f"{at}.containerPort", port.containerPort, one) for one in found]
        if port.hostPort:
            found = names.is_port_number(port.hostPort)
            errors += [invalid(f"{at}.hostPort", port.hostPort, one) for one in found]
            if host_network and port.hostPort != port.containerPort:
                said_host = "must match `hostPort` when `hostNetwork` is true"
                errors.append(invalid(f"{at}.containerPort", port.containerPort, said_host))
        if port.hostIP:
            errors += addresses.wrong(addresses.is_ip, f"{at}.hostIP", port.hostIP)
        errors += validate_protocol(port.protocol, f"{at}.protocol")
    return errors


def _validate_host_ports(containers: Sequence[Container], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    taken: set[str] = set()
    for i, container in enumerate(containers):
        for j, port in enumerate(container.ports):
            if not port.hostPort:
                continue
            wanted = f"{port.protocol}/{port.hostIP}/{port.hostPort}"
            if wanted in taken:
                errors.append(duplicate(f"{path}[{i}].ports[{j}].hostPort", wanted))
            taken.add(wanted)
    return errors


def _validate_env(env: Sequence[EnvVar], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for i, variable in enumerate(env):
        at = f"{path}[{i}]"
        if not variable.name:
            errors.append(required(f"{at}.name"))
        else:
            errors += names.wrong(names.is_environment_name, f"{at}.name", variable.name)
        if variable.valueFrom is not None:
            errors += _validate_source(variable.valueFrom, f"{at}.valueFrom", value=variable.value)
    return errors


def _validate_source(source: EnvVarSource, path: str, *, value: str) -> list[FieldError]:
    errors: list[FieldError] = []
    chosen = [field for field in source.__struct_fields__ if getattr(source, field) is not None]
    if not chosen:
        options = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        return [invalid(path, "", f"must specify one of: {options}")]
    if value:
        errors.append(invalid(path, "", "may not be specified when `value` is not empty"))
    elif len(chosen) > 1:
        errors.append(invalid(path, "", "may not have more than one field specified at a time"))
    if source.fieldRef is not None:
        errors += validate_field_path(source.fieldRef.fieldPath, f"{path}.fieldRef.fieldPath")
    for field in ("configMapKeyRef", "secretKeyRef"):
        selected = getattr(source, field)
        if selected is None:
            continue
        if not selected.name:
            errors.append(required(f"{path}.{field}.name"))
        if not selected.key:
            errors.append(required(f"{path}.{field}.key"))
        else:
            errors += names.wrong(names.is_config_key, f"{path}.{field}.key", selected.key)
    return errors


def validate_field_path(field: str, path: str) -> list[FieldError]:
    """The errors in the name of a pod's field that its containers get to know (downward API)."""
    if not field:
        return [required(path)]
    name, bracket, rest = field.partition("['")
    if bracket and rest.endswith("']"):
        if name not in ("metadata.labels", "metadata.annotations"):
            return [invalid(path, name, "does not support subscript")]
        key = rest[:-2].lower() if name == "metadata.annotations" else rest[:-2]
        return [invalid(path, rest[:-2], said) for said in names.is_qualified_name(key)]
    return [] if field in POD_FIELDS else [not_supported(path, field, POD_FIELDS)]


def _validate_env_from(sources: Sequence[EnvFromSource], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for i, source in enumerate(sources):
        at = f"{path}[{i}]"
        if source.prefix:
            errors += names.wrong(names.is_environment_name, f"{at}.prefix", source.prefix)
        chosen = [ref for ref in (source.configMapRef, source.secretRef) if ref is not None]
        if not chosen:
            errors.append(invalid(at, "", "must specify one of: `configMapRef` or `secretRef`"))
        elif len(chosen) > 1:
            errors.append(invalid(at, "", "may not have more than one field specified at a time"))
        elif not chosen[0].name:
            field = "configMapRef" if source.configMapRef is not None else "secretRef"
            errors.append(required(f"{at}.{field}.name"))
    return errors


def _validate_mounts(mounts: Sequence[VolumeMount], path: str, volumes: Collection[str]) -> list[FieldError]:
    errors: list[FieldError] = []
    for i, mount in enumerate(mounts):
        at = f"{path}[{i}]"
        if not mount.name:
            errors.append(required(f"{at}.name"))
        elif mount.name not in volumes:
            errors.append(FieldError("FieldValueNotFound", f"{at}.name", "", mount.name))
        if not mount.mountPath:
            errors.append(required(f"{at}.mountPath"))
        if mount.mountPath in [other.mountPath for other in mounts[:i]]:
            errors.append(invalid(f"{at}.mountPath", mount.mountPath, "must be unique"))
        for field in ("subPath", "subPathExpr"):
            value: str = getattr(mount, field)
            if value.startswith("/"):
                errors.append(invalid(f"{at}.{field}", value, "must be a relative path"))
            if ".." in value.split("/"):
                errors.append(invalid(f"{at}.{field}", value, "must not contain '..'"))
        if mount.subPath and mount.subPathExpr:
            errors.append(
                invalid(
                    f"{at}.subPathExpr", mount.subPathExpr, "subPathExpr and subPath are mutually exclusive"
                )
            )
    return errors


def _validate_resources(resources: ResourceRequirements, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    amounts: dict[str, Decimal] = {}
    for field in ("limits", "requests"):
        for name, quantity in getattr(resources, field).items():
            at = f"{path}.{field}[{name}]"
            errors += names.wrong(names.is_qualified_name, at, name)
            try:
                amount = quantities.parse(quantity)
            except ValueError as error:
                errors.append(invalid(at, quantity, str(error)))
                continue
            if amount < 0:
                errors.append(invalid(at, quantity, "must be greater than or equal to 0"))
            if field == "limits":
                amounts[name] = amount
            elif name in amounts and amount > amounts[name]:
                said = f"must be less than or equal to {name} limit of {resources.limits[name]}"
                errors.append(invalid(f"{path}.requests", quantity, said))
    return errors
