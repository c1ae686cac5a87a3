"""The group metrics.k8s.io: what nodes and pods use at the moment, asked of the nodes' own servers.

It is stored nowhere; what a node said is good for some seconds. Upstream: metrics-server, k8s.io/metrics.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from fairlead.apiserver.connect import locations
from fairlead.apiserver.connect.backends import Answering, Backends
from fairlead.apiserver.kind import Kind
from fairlead.apiserver.kinds import NODES, PODS
from fairlead.apiserver.lists import ListOptions, read
from fairlead.apiserver.messages import Request, Response
from fairlead.apiserver.registry import Registry
from fairlead.apiserver.replies import NotAllowed, no_such_path, send
from fairlead.apiserver.requests import Query, RequestInfo
from fairlead.apiserver.selection import selection
from fairlead.objects.codec import decoder, encode
from fairlead.objects.core_v1 import Node, Pod
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.resources import Resource
from fairlead.objects.scalars import timestamp
from fairlead.objects.status import StatusError, not_found

GROUP, VERSION = "metrics.k8s.io", "v1beta1"

KEPT_SECONDS = 5.0
"""How long a node's answer is good."""

NODE_SECONDS = 10.0
"""How long a node may take."""

MOST_BYTES = 16 << 20
"""Bytes of a node's answer."""

AT_ONCE = 16
"""Nodes that are asked at a time."""


def _kind(plural: str, kind: str, singular: str, *, namespaced: bool) -> Kind:
    resource = Resource(GROUP, VERSION, plural, kind, ObjectMeta, namespaced)
    return Kind(resource, singular, verbs=("get", "list"), kept=False)


KINDS = (
    _kind("nodes", "NodeMetrics", "node", namespaced=False),
    _kind("pods", "PodMetrics", "pod", namespaced=True),
)
"""For discovery; they are in no store."""


class _Cpu(msgspec.Struct):
    usageNanoCores: int = 0


class _Memory(msgspec.Struct):
    workingSetBytes: int = 0


class _Usage(msgspec.Struct):
    name: str = ""
    cpu: _Cpu = msgspec.field(default_factory=_Cpu)
    memory: _Memory = msgspec.field(default_factory=_Memory)


class _Reference(msgspec.Struct):
    name: str = ""
    namespace: str = ""
    uid: str = ""


class _PodStats(msgspec.Struct):
    podRef: _Reference
    containers: list[_Usage] = []


class Summary(msgspec.Struct):
    """What a node says of itself: the parts of stats.v1alpha1.Summary that count here."""

    node: _Usage = msgspec.field(default_factory=_Usage)
    pods: list[_PodStats] = []


def quantities(usage: _Usage) -> dict[str, str]:
    """Usage as quantities, in the units that metrics-server writes."""
    return {"cpu": f"{usage.cpu.usageNanoCores}n", "memory": f"{usage.memory.workingSetBytes // 1024}Ki"}


def node_metrics(node: Node, summary: Summary, at: str) -> dict[str, Any]:
    """A node's NodeMetrics."""
    metadata = _metadata(node.metadata, at)
    return {"metadata": metadata, "timestamp": at, "window": WINDOW, "usage": quantities(summary.node)}


def pod_metrics(pod: Pod, stats: _PodStats, at: str) -> dict[str, Any]:
    """A pod's PodMetrics."""
    containers = [{"name": one.name, "usage": quantities(one)} for one in stats.containers]
    return {
        "metadata": _metadata(pod.metadata, at),
        "timestamp": at,
        "window": WINDOW,
        "containers": containers,
    }


WINDOW = "60s"
"""Over which time rates are made, at the most."""


def _metadata(of: ObjectMeta, at: str) -> dict[str, Any]:
    found: dict[str, Any] = {"name": of.name, "creationTimestamp": at}
    if of.namespace:
        found["namespace"] = of.namespace
    if of.labels:
        found["labels"] = of.labels
    return found


class Metrics:
    """Answers requests for the group."""

    def __init__(self, registry: Registry, backends: Backends) -> None:
        self._registry = registry
        self._backends = backends
        self._known: dict[str, tuple[float, Summary]] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def answer(self, request: Request, info: RequestInfo, query: Query) -> Response:
        """What is asked for. Raises StatusError. Asks each node that matters, all at a time, once in some seconds."""
        if info.version != VERSION or info.resource not in ("nodes", "pods") or info.subresource:
            raise no_such_path()
        if info.verb not in ("get", "list"):
            raise NotAllowed(["GET"])
        kind = NODES if info.resource == "nodes" else PODS
        if (bool(info.namespace) and kind is NODES) or (kind is PODS and info.name and not info.namespace):
            raise no_such_path()
        wanted = selection(kind, query.text("labelSelector"), query.text("fieldSelector"))
        if info.name:
            entries = [await self._registry.get(kind, info.namespace, info.name)]
        else:
            entries, _ = await read(self._registry.store, kind, info.namespace, wanted, ListOptions())
        values = [decoder(kind.resource.type).decode(entry.value) for entry in entries]
        items = await (self._nodes(values) if kind is NODES else self._pods(values))
        name = "NodeMetrics" if kind is NODES else "PodMetrics"
        if info.name and not items:
            raise not_found(info.resource, f"{info.namespace}/{info.name}".lstrip("/"), GROUP)
        about = {"kind": name, "apiVersion": f"{GROUP}/{VERSION}"}
        body = (
            {**about, **items[0]}
            if info.name
            else {**about, "kind": f"{name}List", "metadata": {}, "items": items}
        )
        return await send(request, encode(body))

    async def _nodes(self, nodes: Sequence[Node]) -> list[dict[str, Any]]:
        summaries = await self._ask(node.metadata.name for node in nodes)
        return [
            node_metrics(node, found[1], timestamp(found[0]))
            for node in nodes
            if (found := summaries.get(node.metadata.name)) is not None
        ]

    async def _pods(self, pods: Sequence[Pod]) -> list[dict[str, Any]]:
        summaries = await self._ask({pod.spec.nodeName for pod in pods if pod.spec.nodeName})
        stats = {
            one.podRef.uid: (one, at)
            for at, summary in summaries.values()
            for one in summary.pods
            if one.containers
        }
        return [
            pod_metrics(pod, found[0], timestamp(found[1]))
            for pod in pods
            if (found := stats.get(pod.metadata.uid)) is not None
        ]

    async def _ask(self, names: Iterable[str]) -> dict[str, tuple[float, Summary]]:
        """What nodes say, with the time when they said it; those that say nothing are left out."""
        wanted = list(names)
        answers = await asyncio.gather(*(self._summary(name) for name in wanted))
        return {name: answer for name, answer in zip(wanted, answers, strict=True) if answer is not None}

    async def _summary(self, name: str) -> tuple[float, Summary] | None:
        known = self._known.get(name)
        if known is not None and time.time() - known[0] < KEPT_SECONDS:
            return known
        self._known.pop(name, None)
        with contextlib.suppress(StatusError, ConnectionError, TimeoutError, msgspec.DecodeError):
            async with self._turns, asyncio.timeout(NODE_SECONDS):
                entry = await self._registry.get(NODES, "", name)
                node = decoder(Node).decode(entry.value)
                location = locations.kubelet(node, "/stats/summary")
                async with self._backends.ask(location, "GET", [("Connection", "close")]) as backend:
                    answering = Answering(bodiless=False)
                    if answering.head(await backend.head).status != 200:
                        return None
                    body = bytearray()
                    async for piece in answering.body(backend):
                        body += piece
                        if len(body) > MOST_BYTES:
                            return None
                found = time.time(), msgspec.json.decode(body, type=Summary)
                self._known[name] = found
                return found
        return None
