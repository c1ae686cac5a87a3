"""What files a volume has: configMap, secret, downwardAPI and projected volumes as paths and bytes. Pure.

Upstream: pkg/volume/configmap, secret, downwardapi and projected (MakePayload, collectData).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from fairlead.node import fieldrefs
from fairlead.node.fieldrefs import FieldError, NodeFacts
from fairlead.objects.core_v1 import (
    ConfigMap,
    DownwardAPIVolumeFile,
    KeyToPath,
    Pod,
    Secret,
    ServiceAccountTokenProjection,
    Volume,
)

DEFAULT_MODE = 0o644

Values = Mapping[str, bytes]


class PayloadError(Exception):
    """The volume cannot be filled now; the message is upstream's, for a FailedMount Event."""


@dataclass(frozen=True)
class File:
    """A file of a volume: what is in it, its permissions, and its owner where that is not the agent."""

    data: bytes
    mode: int = DEFAULT_MODE
    owner: int | None = None


@dataclass(frozen=True)
class Token:
    """What makes one token of the pod's account different from another."""

    audience: str
    seconds: int


@dataclass(frozen=True)
class Sources:
    """What volumes are made of, beyond the pod itself."""

    configs: Mapping[tuple[str, str], Values] = field(default_factory=dict)
    """By plural ("configmaps", "secrets") and name, in the pod's namespace; what does not exist is absent."""
    tokens: Mapping[Token, str] = field(default_factory=dict)
    facts: NodeFacts = field(default_factory=NodeFacts)
    reader: int | None = None
    """The user that all containers run as, if they are one: a token is that user's alone."""


def references(volumes: Iterable[Volume]) -> set[tuple[str, str]]:
    """The ConfigMaps and Secrets that volumes are made of: plural and name."""
    found = set()
    for volume in volumes:
        if volume.configMap:
            found.add(("configmaps", volume.configMap.name))
        if volume.secret:
            found.add(("secrets", volume.secret.secretName))
        for source in volume.projected.sources if volume.projected else ():
            if source.configMap:
                found.add(("configmaps", source.configMap.name))
            if source.secret:
                found.add(("secrets", source.secret.name))
    return found


def tokens(volumes: Iterable[Volume]) -> set[Token]:
    """The tokens that volumes hold."""
    return {
        token(source.serviceAccountToken)
        for volume in volumes
        for source in (volume.projected.sources if volume.projected else ())
        if source.serviceAccountToken
    }


def token(projection: ServiceAccountTokenProjection) -> Token:
    """The token that a projection asks for; an hour is the API's default."""
    return Token(projection.audience, projection.expirationSeconds or 3600)


def contents(obj: ConfigMap | Secret) -> Values:
    """The values of a ConfigMap or a Secret as bytes."""
    if isinstance(obj, ConfigMap):
        return {key: value.encode() for key, value in obj.data.items()} | dict(obj.binaryData)
    return obj.data


def payload(pod: Pod, volume: Volume, sources: Sources) -> Mapping[str, File] | None:
    """The volume's files by path; None for a volume that is not made of files. Raises `PayloadError`."""
    if volume.configMap:
        config = volume.configMap
        found = _config(sources, "configmaps", config.name, config.items, bool(config.optional))
        return dict(_filed(found, config.defaultMode))
    if volume.secret:
        secret = volume.secret
        found = _config(sources, "secrets", secret.secretName, secret.items, bool(secret.optional))
        return dict(_filed(found, secret.defaultMode))
    if volume.downwardAPI:
        return dict(_filed(_downward(pod, volume.downwardAPI.items, sources), volume.downwardAPI.defaultMode))
    if volume.projected:
        return _projected(pod, volume, sources)
    return None


def _projected(pod: Pod, volume: Volume, sources: Sources) -> dict[str, File]:
    assert volume.projected is not None
    default = volume.projected.defaultMode
    files: dict[str, File] = {}
    for source in volume.projected.sources:
        if source.configMap:
            one = source.configMap
            found = _config(sources, "configmaps", one.name, one.items, bool(one.optional))
            files.update(_filed(found, default))
        elif source.secret:
            two = source.secret
            found = _config(sources, "secrets", two.name, two.items, bool(two.optional))
            files.update(_filed(found, default))
        elif source.downwardAPI:
            files.update(_filed(_downward(pod, source.downwardAPI.items, sources), default))
        elif source.serviceAccountToken:
            said = sources.tokens.get(token(source.serviceAccountToken))
            if said is None:
                raise PayloadError("failed to fetch token: the API server has not given one yet")
            context = pod.spec.securityContext
            single = sources.reader is not None or (context is not None and context.fsGroup is not None)
            mode = 0o600 if single else default or DEFAULT_MODE
            files[source.serviceAccountToken.path] = File(said.encode(), mode, sources.reader)
        else:
            raise PayloadError(
                "only configMap, secret, downwardAPI and serviceAccountToken can be projected here"
            )
    return files


Found = Iterator[tuple[str, bytes, int | None]]


def _filed(found: Found, default: int | None) -> Iterator[tuple[str, File]]:
    for path, data, mode in found:
        yield path, File(data, mode if mode is not None else DEFAULT_MODE if default is None else default)


def _config(sources: Sources, plural: str, name: str, items: Sequence[KeyToPath], optional: bool) -> Found:
    kind = plural.removesuffix("s")
    values = sources.configs.get((plural, name))
    if values is None:
        if not optional:
            raise PayloadError(f'{kind} "{name}" not found')
        values = {}
    if not items:
        for key, data in values.items():
            yield key, data, None
    for item in items:
        if item.key in values:
            yield item.path, values[item.key], item.mode
        elif not optional:
            prefix = "configmap " if plural == "configmaps" else ""
            word = "config" if plural == "configmaps" else "secret"
            raise PayloadError(f"{prefix}references non-existent {word} key: {item.key}")


def _downward(pod: Pod, items: Sequence[DownwardAPIVolumeFile], sources: Sources) -> Found:
    for item in items:
        try:
            if item.fieldRef:
                said = fieldrefs.value(pod, item.fieldRef.fieldPath, sources.facts)
            elif item.resourceFieldRef:
                said = fieldrefs.resource(pod, None, item.resourceFieldRef, sources.facts)
            else:
                continue
        except FieldError as error:
            raise PayloadError(str(error)) from error
        yield item.path, said.encode(), item.mode
