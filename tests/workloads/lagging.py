"""A server in memory whose informers show what happened only when they are told to.

How far an informer lags behind cannot be had from a real server at will; everything else of the controllers is tested
against one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Protocol, cast

from msgspec.structs import replace

from fairlead.client.api import Api
from fairlead.client.events import Recorder
from fairlead.client.informer import Informer, key_of, version_of
from fairlead.client.kubeconfig import Config
from fairlead.client.writer import Writer
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.resources import PODS, Resource
from fairlead.objects.status import StatusError, failure
from fairlead.workloads.cluster import Cluster
from fairlead.workloads.config import WorkloadsConfig
from fairlead.workloads.context import Context


class Told:
    """Takes Events and forgets them."""

    def event(self, about: object, type: str, reason: str, message: str) -> None:
        pass


class World:
    """Objects by resource, and per resource the events that its informer has not shown."""

    def __init__(self) -> None:
        self.api = self
        self.version = 0
        self.objects: dict[str, dict[str, Any]] = {}
        self.unseen: dict[str, deque[tuple[str, Any | None, int]]] = {}
        self.names = 0

    def context(self) -> Context:
        """What a controller that starts now is given; its informers show all that there is."""
        cluster = Cluster(Api(Config(server="http://192.0.2.1")))
        return Context(cluster, cast(Writer, self), cast(Recorder, Told()), WorkloadsConfig())

    def show_all(self, informer: Informer[Any]) -> None:
        """What a list does."""
        self.unseen[informer.resource.plural] = deque()
        for key, obj in self.objects.get(informer.resource.plural, {}).items():
            informer._apply(key, obj)
        informer._version = str(self.version)

    def show(self, informer: Informer[Any], count: int) -> None:
        """Shows the next `count` events of a watch."""
        waiting = self.unseen.setdefault(informer.resource.plural, deque())
        for _ in range(min(count, len(waiting))):
            key, obj, version = waiting.popleft()
            informer._apply(key, obj)
            informer._version = str(version)

    def of(self, resource: Resource[Any]) -> dict[str, Any]:
        """The objects of a resource, by key."""
        return self.objects.setdefault(resource.plural, {})

    def put(self, resource: Resource[Any], obj: Any, **meta: Any) -> Any:
        """Stores the object in a new version."""
        self.version += 1
        obj = replace(obj, metadata=replace(obj.metadata, resourceVersion=str(self.version), **meta))
        self.of(resource)[key_of(obj)] = obj
        self._happened(resource, key_of(obj), obj)
        return obj

    def drop(self, resource: Resource[Any], key: str) -> None:
        """Removes the object."""
        self.version += 1
        del self.of(resource)[key]
        self._happened(resource, key, None)

    def _happened(self, resource: Resource[Any], key: str, obj: Any | None) -> None:
        self.unseen.setdefault(resource.plural, deque()).append((key, obj, self.version))

    async def get(self, resource: Resource[Any], name: str, namespace: str = "") -> Any:
        found = self.of(resource).get(f"{namespace}/{name}")
        if found is None:
            raise failure(HTTPStatus.NOT_FOUND, "NotFound", name)
        return found

    async def create(self, resource: Resource[Any], obj: Any) -> Any:
        self.names += 1
        meta: ObjectMeta = obj.metadata
        name = meta.name or f"{meta.generateName}{self.names}"
        if f"{meta.namespace}/{name}" in self.of(resource):
            raise failure(HTTPStatus.CONFLICT, "AlreadyExists", name)
        return self.put(resource, obj, name=name, uid=f"uid{self.names}")

    async def replace(self, resource: Resource[Any], obj: Any, subresource: str = "") -> Any:
        meta: ObjectMeta = obj.metadata
        now = await self.get(resource, meta.name, meta.namespace)
        if version_of(now) != version_of(obj):
            raise failure(HTTPStatus.CONFLICT, "Conflict", "not the newest")
        if subresource:  # which takes annotations too, as Deployments have it
            obj = replace(now, status=obj.status)
            obj = replace(obj, metadata=replace(now.metadata, annotations=meta.annotations))
        return self.put(resource, obj)

    async def delete(self, resource: Resource[Any], obj: Any, *, propagation_policy: str = "") -> None:
        """Pods take a grace period, as on a node, and go when the node says so; the rest goes at once."""
        now = self.of(resource).get(key_of(obj))
        if (
            now is not None
            and now.metadata.uid == obj.metadata.uid
            and now.metadata.deletionTimestamp is None
        ):
            if resource is not PODS:
                self.drop(resource, key_of(obj))
                return
            self.put(resource, now, deletionTimestamp="2026-11-23T09:00:00Z")


class Controller(Protocol):
    """What all controllers of workloads have."""

    async def sync(self, key: str) -> None:
        """Looks at the owner of this key."""


class Story:
    """One owner in a `World`, and the controller of the moment, which dies and starts again.

    The steps of a history are pairs of a word and a number: "sync", "restart", "show INFORMER" by the names of
    `begin`, and whatever else `befall` knows.
    """

    def __init__(self, key: str) -> None:
        self.key = key
        self.world = World()

    def begin(self) -> tuple[Controller, dict[str, Informer[Any]]]:
        """A controller that knows nothing yet, and its informers, by names of the test's choice."""
        raise NotImplementedError

    def befall(self, what: str, number: int) -> None:
        """Something that is not the controller's doing."""
        raise NotImplementedError

    async def look(self) -> None:
        """One look of the controller, which does no harm, whatever it does not know yet: the test's own claim."""
        await self.sync()

    def restart(self) -> None:
        """Another controller, which knows nothing, takes over."""
        self.controller, self.informers = self.begin()
        for informer in self.informers.values():
            self.world.show_all(informer)

    async def sync(self) -> None:
        """One look of the controller; what it wrote may be refused, as not of the newest version."""
        with suppress(StatusError):
            await self.controller.sync(self.key)

    async def tell(self, steps: Iterable[tuple[str, int]]) -> None:
        """What happens one after the other; then everything settles."""
        for what, number in steps:
            if what == "sync":
                await self.look()
            elif what == "restart":
                self.restart()
            elif what.startswith("show "):
                self.world.show(self.informers[what.removeprefix("show ")], number)
            else:
                self.befall(what, number)
        await self.settle()

    def serve_all(self) -> None:
        """What others do while everything settles."""

    async def settle(self) -> None:
        """Everything is shown, and the controller looks until it has nothing to do any more."""
        for _ in range(40):
            before = self.world.version
            self.serve_all()
            for informer in self.informers.values():
                self.world.show(informer, 1000)
            await self.controller.sync(self.key)
            if self.world.version == before:
                return
        raise AssertionError("the controller does not come to rest")
