"""The objects that decide about endpoints, as the API server shows them, with the ways from one to the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from fairlead.client.api import Api
from fairlead.client.informer import Change, Informer, key_of
from fairlead.endpoints import pods as pod_endpoints
from fairlead.endpoints.capacity import Capacity
from fairlead.objects.core_v1 import Node, Pod, Service
from fairlead.objects.resources import ENDPOINTS, ENDPOINTSLICES, NODES, PODS, SERVICES

Concerned = set[tuple[str, str]]
"""Keys of Services, each with the name of a pod that changed."""


class Cluster:
    """Informers, and indexes such that finding what a change concerns does not walk all objects."""

    def __init__(self, api: Api) -> None:
        self.services = Informer(api, SERVICES)
        self.pods = Informer(api, PODS)
        self.nodes = Informer(api, NODES)
        self.slices = Informer(api, ENDPOINTSLICES)
        self.endpoints = Informer(api, ENDPOINTS)
        self.services.index("selector", _selector_pair)
        self.pods.index("label", _label_pairs)
        self.pods.index("node", lambda pod: [pod.spec.nodeName])
        self.capacity = Capacity()
        self._shares_handlers: list[Callable[[], None]] = []
        self._pods_handlers: list[Callable[[Concerned], None]] = []
        self.nodes.subscribe(self._on_node)
        self.pods.subscribe(self._on_pod)

    @property
    def informers(self) -> tuple[Informer[Any], ...]:
        """All of them."""
        return (self.services, self.pods, self.nodes, self.slices, self.endpoints)

    def on_shares(self, handler: Callable[[], None]) -> None:
        """Calls `handler` whenever the zones' parts of the CPU change."""
        self._shares_handlers.append(handler)

    def on_pods(self, handler: Callable[[Concerned], None]) -> None:
        """Calls `handler` with the Services whose endpoints the change of a pod may change, if there are any."""
        self._pods_handlers.append(handler)

    def _on_pod(self, change: Change[Pod]) -> None:
        concerned = self.concerned_by_pod(change)
        if concerned:
            for handler in self._pods_handlers:
                handler(concerned)

    def _on_node(self, change: Change[Node]) -> None:
        if self.capacity.change(change.old, change.new):
            for handler in self._shares_handlers:
                handler()

    def selected(self, service: Service) -> list[Pod]:
        """The pods that the Service selects. Cost: the pods with the rarest of the labels that it asks for."""
        selector = service.spec.selector
        namespace = service.metadata.namespace
        pairs = [_pair(namespace, name, value) for name, value in selector.items()]
        if not pairs:
            return []
        rarest = min(pairs, key=lambda pair: self.pods.count("label", pair))
        found = self.pods.by_index("label", rarest)
        if len(pairs) == 1:
            return list(found)
        return [pod for pod in found if pod_endpoints.matches(selector, pod.metadata.labels)]

    def selecting(self, pod: Pod) -> list[str]:
        """The keys of the Services that select the pod. Cost: the Services indexed under one of its labels."""
        namespace = pod.metadata.namespace
        labels = pod.metadata.labels
        return [
            key_of(service)
            for name, value in labels.items()
            for service in self.services.by_index("selector", _pair(namespace, name, value))
            if pod_endpoints.matches(service.spec.selector, labels)
        ]

    def pod_of(self, service: Service, name: str) -> Pod | None:
        """The pod of this name if the Service selects it."""
        pod = self.pods.items.get(f"{service.metadata.namespace}/{name}")
        if pod is None or not pod_endpoints.matches(service.spec.selector, pod.metadata.labels):
            return None
        return pod

    def concerned_by_pod(self, change: Change[Pod]) -> Concerned:
        """The keys of the Services whose endpoints the change of a pod may change, each with the pod's name."""
        old, new = change.old, change.new
        if old is not None and new is not None and not pod_endpoints.concerns_endpoints(old, new):
            return set()
        return {
            (key, pod.metadata.name) for pod in (old, new) if pod is not None for key in self.selecting(pod)
        }

    def concerned_by_node(self, change: Change[Node]) -> Concerned:
        """The keys of the Services and their pods on a node that came, went, or moved to another zone."""
        if _zone(change.old) == _zone(change.new):
            return set()
        return {
            (key, pod.metadata.name)
            for pod in self.pods.by_index("node", change.key)
            for key in self.selecting(pod)
        }


def concerned_by_service(change: Change[Service]) -> set[str]:
    """The Service's own key, unless only its status or the like changed."""
    old, new = change.old, change.new
    if (
        old is not None
        and new is not None
        and old.spec == new.spec
        and old.metadata.uid == new.metadata.uid
        and old.metadata.labels == new.metadata.labels
        and old.metadata.annotations == new.metadata.annotations
        and old.metadata.deletionTimestamp == new.metadata.deletionTimestamp
    ):
        return set()
    return {change.key}


def _zone(node: Node | None) -> str | None:
    return None if node is None else node.metadata.labels.get(pod_endpoints.ZONE, "")


def _pair(namespace: str, name: str, value: str) -> str:
    return f"{namespace}/{name}={value}"


def _label_pairs(pod: Pod) -> Iterable[str]:
    namespace = pod.metadata.namespace
    return [_pair(namespace, name, value) for name, value in pod.metadata.labels.items()]


def _selector_pair(service: Service) -> Iterable[str]:
    """One pair that every pod of the Service has: the one with the longest value, for it is rarely shared."""
    selector = service.spec.selector
    if not selector:
        return []
    name, value = max(selector.items(), key=lambda pair: (len(pair[1]), pair))
    return [_pair(service.metadata.namespace, name, value)]
