"""A container's environment: what its spec says, expanded, with the node's share in front. Pure.

Upstream: makeEnvironmentVariables in pkg/kubelet/kubelet_pods.go, third_party/forked/golang/expansion.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from fairlead.node import fieldrefs
from fairlead.node.fieldrefs import NodeFacts
from fairlead.objects.core_v1 import ConfigMap, Container, EnvVarSource, Pod, Secret
from fairlead.objects.resources import CONFIGMAPS, SECRETS, Resource

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_REFERENCE = re.compile(r"\$(?:\$|\(([^()$]*)\))")


class ConfigError(Exception):
    """The container cannot be made as its spec says; the message is for its status (CreateContainerConfigError)."""


Reference = tuple[Resource[ConfigMap] | Resource[Secret], str]
"""A ConfigMap or Secret of the pod's namespace, by name."""


@dataclass(frozen=True)
class Sources:
    """What references in a spec lead to, beyond the pod itself."""

    facts: NodeFacts = field(default_factory=NodeFacts)
    configs: Mapping[tuple[str, str], Mapping[str, str]] = field(default_factory=dict)
    """By plural ("configmaps", "secrets") and name; what does not exist is absent."""


def references(container: Container) -> set[Reference]:
    """The ConfigMaps and Secrets that the container's environment is made of."""
    found: set[Reference] = set()
    for source in container.envFrom:
        if source.configMapRef:
            found.add((CONFIGMAPS, source.configMapRef.name))
        if source.secretRef:
            found.add((SECRETS, source.secretRef.name))
    for variable in container.env:
        origin = variable.valueFrom
        if origin and origin.configMapKeyRef:
            found.add((CONFIGMAPS, origin.configMapKeyRef.name))
        if origin and origin.secretKeyRef:
            found.add((SECRETS, origin.secretKeyRef.name))
    return found


def contents(obj: ConfigMap | Secret) -> dict[str, str]:
    """The values of a ConfigMap or a Secret as text."""
    if isinstance(obj, ConfigMap):
        return dict(obj.data)
    return {key: value.decode(errors="surrogateescape") for key, value in obj.data.items()}


def make(pod: Pod, container: Container, given: Mapping[str, str], sources: Sources) -> dict[str, str]:
    """The whole environment: `given` (the image's, the cluster's), envFrom, then env, each able to use the former.

    Raises `ConfigError` where something that is not optional does not exist.
    """
    result = dict(given)
    for source in container.envFrom:
        for reference, plural, what in (
            (source.configMapRef, "configmaps", "configmap"),
            (source.secretRef, "secrets", "secret"),
        ):
            if reference is None:
                continue
            values = sources.configs.get((plural, reference.name))
            if values is None and not reference.optional:
                raise ConfigError(f'{what} "{reference.name}" not found')
            result.update({source.prefix + key: value for key, value in (values or {}).items()})
    for variable in container.env:
        value: str | None = expand(variable.value, result)
        if variable.valueFrom is not None:
            value = _value_from(pod, container, variable.valueFrom, sources)
        if value is not None:
            result[variable.name] = value
    return result


def expand(text: str, values: Mapping[str, str]) -> str:
    """Replaces $(NAME) by its value, where it has one; $$ is a dollar sign."""

    def replaced(match: re.Match[str]) -> str:
        if match.group() == "$$":
            return "$"
        return values.get(match.group(1), match.group())

    return _REFERENCE.sub(replaced, text)


def _value_from(pod: Pod, container: Container, origin: EnvVarSource, sources: Sources) -> str | None:
    if origin.fieldRef is not None:
        try:
            return fieldrefs.value(pod, origin.fieldRef.fieldPath, sources.facts)
        except fieldrefs.FieldError as error:
            raise ConfigError(str(error)) from error
    for selector, plural, what in (
        (origin.configMapKeyRef, "configmaps", "ConfigMap"),
        (origin.secretKeyRef, "secrets", "Secret"),
    ):
        if selector is None:
            continue
        values = sources.configs.get((plural, selector.name))
        if values is not None and selector.key in values:
            return values[selector.key]
        if selector.optional:
            return None
        if values is None:
            raise ConfigError(f'{what.lower()} "{selector.name}" not found')
        raise ConfigError(
            f"couldn't find key {selector.key} in {what} {pod.metadata.namespace}/{selector.name}"
        )
    if origin.resourceFieldRef is not None:
        try:
            return fieldrefs.resource(pod, container, origin.resourceFieldRef, sources.facts)
        except fieldrefs.FieldError as error:
            raise ConfigError(str(error)) from error
    raise ConfigError("valueFrom has a source that this node does not know")
