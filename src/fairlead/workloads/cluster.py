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
    """Informers by resource, each with the indexes "controller" (see `dependents`) and "namespace"; pods "node" too."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._informers: dict[str, Informer[Any]] = {}

    def informer(self, resource: Resource[T]) -> Informer[T]:
        """The informer of the resource; ask for it before the first list."""
        found = self._informers.get(resource.full_name)
        if found is None:
            found = self._informers[resource.full_name] = Informer(self._api, resource)
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
