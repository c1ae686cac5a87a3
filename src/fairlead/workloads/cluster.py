"""The objects that the controllers of workloads look at, one informer a resource however many look at it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, TypeVar

from fairlead.client.api import Api
from fairlead.client.informer import Informer
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.resources import PODS, Resource, Stored
from fairlead.workloads.claiming import controller_of

T = TypeVar("T", bound=Stored)

CONTROLLER = "controller"
NAMESPACE = "namespace"
NODE = "node"


class Cluster:
    """Informers by resource, of one namespace or of all.

    Each has the indexes "controller" (see `dependents`) and "namespace"; pods "node" too.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._informers: dict[tuple[str, str], Informer[Any]] = {}

    def informer(self, resource: Resource[T], namespace: str = "") -> Informer[T]:
        """The informer of the resource, in one namespace or in all; ask for it before the first list."""
        found = self._informers.get((resource.full_name, namespace))
        if found is None:
            found = Informer(self._api, resource, namespace=namespace)
            self._informers[resource.full_name, namespace] = found
            found.index(CONTROLLER, _controllers)
            found.index(NAMESPACE, lambda obj: [obj.metadata.namespace])
            if resource is PODS:
                found.index(NODE, lambda pod: [pod.spec.nodeName] if pod.spec.nodeName else [])
        return found

    @property
    def informers(self) -> tuple[Informer[Any], ...]:
        """All that were asked for."""
        return tuple(self._informers.values())


def owned(informer: Informer[T], owner: ObjectMeta) -> Collection[T]:
    """The objects that the owner controls. Cost: their number."""
    return informer.by_index(CONTROLLER, owner.uid)


def orphans(informer: Informer[T], namespace: str) -> Collection[T]:
    """The objects of the namespace that nobody controls. Cost: their number."""
    return informer.by_index(CONTROLLER, _nobody(namespace))


def dependents(informer: Informer[T], owner: ObjectMeta) -> Iterable[T]:
    """What the owner controls, and what of its namespace it could adopt."""
    return (*owned(informer, owner), *orphans(informer, owner.namespace))


def _controllers(obj: Stored) -> Iterable[str]:
    controller = controller_of(obj)
    return [controller.uid if controller is not None else _nobody(obj.metadata.namespace)]


def _nobody(namespace: str) -> str:
    return f"nobody in {namespace}"
