"""The objects that the controllers of workloads look at, one informer a resource however many look at it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, TypeVar

from fairlead.client.api import Api
from fairlead.client.informer import Informer
from fairlead.objects.labels import DOUBLE_EQUALS, EQUALS, IN, Selector
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.resources import PODS, Resource, Stored
from fairlead.workloads.claiming import controller_of

T = TypeVar("T", bound=Stored)

CONTROLLER = "controller"
NAMESPACE = "namespace"
NODE = "node"
ORPHAN = "orphan"


class Cluster:
    """Informers by resource, of one namespace or of all.

    Each has the indexes "controller" and "orphan" (see `dependents`), and "namespace"; pods "node" too.
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
            found.index(ORPHAN, _orphans)
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


def orphans(informer: Informer[T], namespace: str, selector: Selector) -> Collection[T]:
    """The objects of the namespace that nobody controls, and that may be selected; some may not be.

    Cost: the number of those with the rarest label that the selector asks for.
    """
    if selector.nothing:
        return ()
    wanted = [
        _labelled(namespace, each.key, each.values[0])
        for each in selector.requirements
        if each.operator in (IN, EQUALS, DOUBLE_EQUALS) and len(each.values) == 1
    ]
    if not wanted:
        return informer.by_index(CONTROLLER, _nobody(namespace))
    return informer.by_index(ORPHAN, min(wanted, key=lambda value: informer.count(ORPHAN, value)))


def dependents(informer: Informer[T], owner: ObjectMeta, selector: Selector) -> Iterable[T]:
    """What the owner controls, and what of its namespace it could adopt."""
    return (*owned(informer, owner), *orphans(informer, owner.namespace, selector))


def _controllers(obj: Stored) -> Iterable[str]:
    controller = controller_of(obj)
    return [controller.uid if controller is not None else _nobody(obj.metadata.namespace)]


def _orphans(obj: Stored) -> Iterable[str]:
    if controller_of(obj) is not None:
        return ()
    meta = obj.metadata
    return [_labelled(meta.namespace, key, value) for key, value in meta.labels.items()]


def _labelled(namespace: str, key: str, value: str) -> str:
    return f"{namespace}/{key}={value}"


def _nobody(namespace: str) -> str:
    return f"nobody in {namespace}"
