"""The cluster as the scheduler sees it: its nodes, and the pods on them, those just decided included."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from fairlead.objects.core_v1 import Node, Taint
from fairlead.workloads.scheduling import taints
from fairlead.workloads.scheduling.amounts import Amounts, amounts
from fairlead.workloads.scheduling.census import Census
from fairlead.workloads.scheduling.hostports import HostPort
from fairlead.workloads.scheduling.profile import Profile


class Place:
    """A node, and what its pods take of it. Changed by `Cluster` alone."""

    __slots__ = (
        "allocatable",
        "cpu",
        "hard",
        "labels",
        "memory",
        "name",
        "node",
        "pods",
        "ports",
        "priorities",
        "requested",
        "room",
        "soft",
        "unschedulable",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.pods: dict[str, Profile] = {}
        self.requested: Amounts = {}
        self.cpu = 0
        self.memory = 0
        """What is asked of cpu and memory, with the least amounts of containers that ask for none."""
        self.ports: Counter[HostPort] = Counter()
        self.priorities: Counter[int] = Counter()
        """How many pods have each priority."""
        self.describe(None)

    def describe(self, node: Node | None) -> None:
        """The node is like this now; None: it is not there."""
        self.node = node
        self.labels: Mapping[str, str] = node.metadata.labels if node else {}
        self.allocatable: Amounts = amounts(node.status.allocatable) if node else {}
        self.room = self.allocatable.get("pods", 0)
        self.hard: tuple[Taint, ...] = taints.hard(node) if node else ()
        self.soft: tuple[Taint, ...] = taints.soft(node) if node else ()
        self.unschedulable = node is not None and node.spec.unschedulable

    def put(self, pod: Profile) -> None:
        """The pod is on the node."""
        self.pods[pod.key] = pod
        self._change(pod, 1)
        self.priorities[pod.priority] += 1
        self.ports.update(pod.ports)

    def take(self, pod: Profile) -> None:
        """The pod is on the node no more."""
        del self.pods[pod.key]
        self._change(pod, -1)
        self.priorities[pod.priority] -= 1
        if not self.priorities[pod.priority]:
            del self.priorities[pod.priority]
        for port in pod.ports:
            self.ports[port] -= 1
            if not self.ports[port]:
                del self.ports[port]

    def _change(self, pod: Profile, by: int) -> None:
        self.cpu += by * pod.cpu
        self.memory += by * pod.memory
        requested = self.requested
        for name, number in pod.requests.items():
            requested[name] = requested.get(name, 0) + by * number


class Cluster:
    """Nodes by name, and where each pod is. A change costs what it changes, however many pods and nodes there are."""

    def __init__(self) -> None:
        self.nodes: dict[str, Place] = {}
        """The nodes that are there."""
        self.census = Census()
        self._places: dict[str, Place] = {}
        self._pods: dict[str, tuple[Place, Profile]] = {}

    def set_node(self, node: Node) -> None:
        """The node is there, and like this."""
        name = node.metadata.name
        place = self.nodes[name] = self._place(name)
        place.describe(node)

    def remove_node(self, name: str) -> None:
        """The node is gone; pods on it may still be known."""
        place = self.nodes.pop(name, None)
        if place is not None:
            place.describe(None)
            self._drop_empty(place)

    def put(self, pod: Profile, node: str) -> None:
        """The pod is on this node, wherever it was before."""
        self.take(pod.key)
        place = self._place(node)
        self._pods[pod.key] = (place, pod)
        place.put(pod)
        self.census.add(pod, node)

    def take(self, key: str) -> Profile | None:
        """The pod is on no node; gives it if it was on one."""
        place, pod = self._pods.pop(key, (None, None))
        if place is None or pod is None:
            return None
        place.take(pod)
        self.census.remove(pod, place.name)
        self._drop_empty(place)
        return pod

    def where(self, key: str) -> str:
        """The name of the node that the pod is on; "" if it is on none."""
        found = self._pods.get(key)
        return found[0].name if found else ""

    def _place(self, name: str) -> Place:
        place = self._places.get(name)
        if place is None:
            place = self._places[name] = Place(name)
        return place

    def _drop_empty(self, place: Place) -> None:
        if place.node is None and not place.pods:
            del self._places[place.name]
