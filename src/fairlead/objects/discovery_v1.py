"""The types of api.discovery.v1. Written by tools/generate_objects.py: change that."""

from __future__ import annotations

from msgspec import field

from fairlead.objects.core_v1 import ObjectReference
from fairlead.objects.meta_v1 import ListMeta, ObjectMeta
from fairlead.objects.scalars import Object, empty, text


class Endpoint(Object, frozen=True, kw_only=True):
    addresses: tuple[str, ...] = field(default_factory=empty)
    conditions: EndpointConditions | None = None
    hostname: str | None = None
    targetRef: ObjectReference | None = None
    deprecatedTopology: dict[str, str] = {}
    nodeName: str | None = None
    zone: str | None = None
    hints: EndpointHints | None = None


class EndpointConditions(Object, frozen=True, kw_only=True):
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class EndpointHints(Object, frozen=True, kw_only=True):
    forZones: tuple[ForZone, ...] = ()
    forNodes: tuple[ForNode, ...] = ()


class EndpointPort(Object, frozen=True, kw_only=True):
    name: str | None = None
    protocol: str | None = None
    port: int | None = None
    appProtocol: str | None = None


class EndpointSlice(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "EndpointSlice")
    apiVersion: str = field(default_factory=lambda: "discovery.k8s.io/v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    addressType: str = field(default_factory=text)
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[EndpointPort, ...] = ()


class EndpointSliceList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "EndpointSliceList")
    apiVersion: str = field(default_factory=lambda: "discovery.k8s.io/v1")
    metadata: ListMeta = field(default_factory=lambda: ListMeta())
    items: tuple[EndpointSlice, ...] = field(default_factory=empty)


class ForNode(Object, frozen=True, kw_only=True):
    name: str = field(default_factory=text)


class ForZone(Object, frozen=True, kw_only=True):
    name: str = field(default_factory=text)
