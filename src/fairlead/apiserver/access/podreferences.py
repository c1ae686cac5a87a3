"""What the pods of each node refer to: by it a node is told from those that have no business with an object.

Read from what is stored, without the rest of the pod. Upstream: plugin/pkg/auth/authorizer/node/graph.go,
pkg/api/v1/pod (VisitPodSecretNames, VisitPodConfigmapNames).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from fairlead.apiserver.kinds import PODS
from fairlead.apiserver.podaccounts import MIRROR
from fairlead.objects.codec import decoder

Thing = tuple[str, str, str]
"""Plural, namespace, name."""


class Named(msgspec.Struct, gc=False):
    """A reference by name."""

    name: str = ""


class Source(msgspec.Struct, gc=False):
    """Where the value of a variable comes from."""

    secretKeyRef: Named | None = None
    configMapKeyRef: Named | None = None


class Variable(msgspec.Struct, gc=False):
    """A variable of a container's environment."""

    valueFrom: Source | None = None


class Variables(msgspec.Struct, gc=False):
    """Many variables at once."""

    secretRef: Named | None = None
    configMapRef: Named | None = None


class Container(msgspec.Struct, gc=False):
    """Of a container, its environment."""

    env: tuple[Variable, ...] = ()
    envFrom: tuple[Variables, ...] = ()


class Spec(msgspec.Struct, gc=False):
    """Of a pod's spec, whatever names other objects."""

    nodeName: str = ""
    serviceAccountName: str = ""
    containers: tuple[Container, ...] = ()
    initContainers: tuple[Container, ...] = ()
    ephemeralContainers: tuple[Container, ...] = ()
    imagePullSecrets: tuple[Named, ...] = ()
    volumes: tuple[dict[str, Any], ...] = ()


class Metadata(msgspec.Struct, gc=False):
    """Of a pod's metadata, what tells it from others."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    annotations: dict[str, str] = {}


class Referring(msgspec.Struct, gc=False):
    """A pod, so far as it refers to others."""

    metadata: Metadata
    spec: Spec = msgspec.field(default_factory=Spec)

    def references(self) -> Iterator[tuple[str, str]]:
        """Plural and name of each object of its namespace that the pod needs to run."""
        spec = self.spec
        if spec.serviceAccountName:
            yield "serviceaccounts", spec.serviceAccountName
        for secret in spec.imagePullSecrets:
            yield "secrets", secret.name
        for container in (*spec.initContainers, *spec.containers, *spec.ephemeralContainers):
            for variable in container.env:
                if variable.valueFrom is not None:
                    yield from _both(variable.valueFrom.secretKeyRef, variable.valueFrom.configMapKeyRef)
            for variables in container.envFrom:
                yield from _both(variables.secretRef, variables.configMapRef)
        for volume in spec.volumes:
            yield from _of_volume(self.metadata.name, volume)


def _both(secret: Named | None, config: Named | None) -> Iterator[tuple[str, str]]:
    if secret is not None:
        yield "secrets", secret.name
    if config is not None:
        yield "configmaps", config.name


def _of_volume(pod: str, volume: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for kind, source in volume.items():
        if not isinstance(source, dict):
            if kind == "name" and "ephemeral" in volume:
                yield "persistentvolumeclaims", f"{pod}-{source}"
            continue
        if kind == "configMap":
            yield "configmaps", source.get("name", "")
        elif kind == "persistentVolumeClaim":
            yield "persistentvolumeclaims", source.get("claimName", "")
        elif kind == "projected":
            for part in source.get("sources") or ():
                for plural, name in (("secrets", "secret"), ("configmaps", "configMap")):
                    if part.get(name):
                        yield plural, part[name].get("name", "")
        else:
            if source.get("secretName"):  # secret, azureFile
                yield "secrets", source["secretName"]
            for name in ("secretRef", "nodePublishSecretRef"):  # of the drivers
                if source.get(name):
                    yield "secrets", source[name].get("name", "")


class Bond(msgspec.Struct, frozen=True, gc=False):
    """A pod on a node, with what that gives the node."""

    mark: bytes
    """The pod's uid as it stands in what is stored."""
    node: str
    things: tuple[Thing, ...]


class PodReferences:
    """The pods of all nodes, by node and by what they refer to.

    A write of a pod that is known costs two searches in its text, 1 us; a new binding is decoded, 5 us.
    """

    def __init__(self) -> None:
        self._bonds: dict[str, Bond] = {}
        self._nodes: dict[Thing, dict[str, int]] = {}

    def told(self, key: str, value: bytes | None) -> None:
        """A pod is so now, or is gone. What a bound pod refers to only changes by containers that are added to it."""
        old = self._bonds.get(key)
        if value is None:
            if old is not None:
                self._drop(key, old)
            return
        if old is None and b'"nodeName"' not in value:
            return
        if old is not None and old.mark in value and b'"ephemeralContainers"' not in value:
            return
        pod = decoder(Referring).decode(value)
        if old is not None:
            self._drop(key, old)
        if pod.spec.nodeName:
            self._add(key, pod)

    def _add(self, key: str, pod: Referring) -> None:
        namespace, name = PODS.place(key)
        things: list[Thing] = [("pods", namespace, name)]
        if MIRROR not in pod.metadata.annotations:  # or a node could make one that gives it whatever it wants
            things += [(plural, namespace, other) for plural, other in pod.references() if other]
        mark = f'"uid":"{pod.metadata.uid}"'.encode()
        bond = self._bonds[key] = Bond(mark, pod.spec.nodeName, tuple(dict.fromkeys(things)))
        for thing in bond.things:
            there = self._nodes.setdefault(thing, {})
            there[bond.node] = there.get(bond.node, 0) + 1

    def _drop(self, key: str, bond: Bond) -> None:
        del self._bonds[key]
        for thing in bond.things:
            there = self._nodes[thing]
            there[bond.node] -= 1
            if not there[bond.node]:
                del there[bond.node]
            if not there:
                del self._nodes[thing]

    def bound(self, node: str, thing: Thing) -> bool:
        """Whether the thing is a pod of the node, or one of the node's pods needs it."""
        return node in self._nodes.get(thing, ())
