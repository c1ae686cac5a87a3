"""The endpoint controllers: they follow the cluster and carry out the plans."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fairlead.client.api import Api
from fairlead.client.events import Recorder
from fairlead.client.informer import key_of
from fairlead.client.queue import WorkQueue
from fairlead.endpoints import endpoints as endpoints_plan
from fairlead.endpoints import mirroring, slices
from fairlead.endpoints.cluster import Cluster, concerned_by_service
from fairlead.endpoints.trigger import TriggerTimes
from fairlead.endpoints.written import Written
from fairlead.objects.core_v1 import Endpoints
from fairlead.objects.discovery_v1 import EndpointSlice
from fairlead.objects.resources import ENDPOINTS, ENDPOINTSLICES, SERVICES, Resource, Stored
from fairlead.objects.status import StatusError
from fairlead.process import Health


@dataclass(frozen=True)
class EndpointsConfig:
    """What can be set. `workers` are Services worked on at a time; `resync` is in seconds, a safety net."""

    endpoints_per_slice: int = slices.LIMIT
    workers: int = 8
    resync: float = 600


async def run(api: Api, config: EndpointsConfig, health: Health) -> None:
    """Keeps slices, Endpoints and mirrors right until cancelled."""
    cluster = Cluster(api)
    recorder = Recorder(api, "endpoint-controller")
    controllers = (
        SliceController(api, cluster, recorder, config),
        EndpointsController(api, cluster, recorder),
        MirrorController(api, cluster),
    )
    for informer in cluster.informers:
        health.waits_for(f"endpoints/{informer.resource.plural}")
    try:
        async with asyncio.TaskGroup() as group:
            for informer in cluster.informers:
                group.create_task(informer.run())
            for informer in cluster.informers:
                await informer.synced()
                health.has(f"endpoints/{informer.resource.plural}")
            for controller in controllers:
                group.create_task(controller.queue.serve(controller.sync, workers=config.workers))
            while True:
                await asyncio.sleep(config.resync)
                for key in cluster.services.items:
                    for controller in controllers:
                        controller.queue.add(key)
    finally:
        await recorder.close()


class SliceController:
    """EndpointSlices of the Services that have a selector."""

    def __init__(self, api: Api, cluster: Cluster, recorder: Recorder, config: EndpointsConfig) -> None:
        self.queue: WorkQueue[str] = WorkQueue()
        self._api = api
        self._cluster = cluster
        self._recorder = recorder
        self._limit = config.endpoints_per_slice
        self._triggers = TriggerTimes()
        self._slices = Written("slices", cluster.slices, _service_of(slices.CONTROLLER), self.queue.add)
        _follow(cluster, self.queue)

    async def sync(self, key: str) -> None:
        """Makes the slices of one Service right."""
        service = self._cluster.services.items.get(key)
        if service is None:
            await self._clean_up(key)
            return
        if service.spec.type == "ExternalName" or not service.spec.selector:
            return  # what is there is somebody else's, or a mirror
        pods = self._cluster.selected(service)
        plan = slices.plan_slices(
            service,
            pods,
            self._cluster.nodes.items,
            self._slices.members(key),
            limit=self._limit,
            triggered=self._triggers.of(service, pods),
        )
        try:
            await carry_out(self._api, plan, key, self._slices)
        except StatusError as error:
            if _is_terminating(error):
                return
            if error.code not in (HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND):
                message = f"Error updating Endpoint Slices for Service {key}: {error}"
                self._recorder.event(service, "Warning", "FailedToUpdateEndpointSlices", message)
            raise

    async def _clean_up(self, key: str) -> None:
        """Deletes the slices that a Service left behind; a garbage collector, where there is one, does the same."""
        namespace, _, name = key.partition("/")
        self._triggers.forget(namespace, name)
        left = [s for s in self._slices.members(key) if s.metadata.ownerReferences]
        if left and await _is_gone(self._api, namespace, name):
            await carry_out(self._api, slices.Plan(delete=tuple(left)), key, self._slices)
            self._slices.forget(key)


class EndpointsController:
    """Endpoints of the Services that have a selector."""

    def __init__(self, api: Api, cluster: Cluster, recorder: Recorder) -> None:
        self.queue: WorkQueue[str] = WorkQueue()
        self._api = api
        self._cluster = cluster
        self._recorder = recorder
        self._triggers = TriggerTimes()
        self._endpoints = Written("endpoints", cluster.endpoints, key_of, self.queue.add)
        _follow(cluster, self.queue)

    async def sync(self, key: str) -> None:
        """Makes the Endpoints of one Service right."""
        service = self._cluster.services.items.get(key)
        current = next(iter(self._endpoints.members(key)), None)
        if service is None:
            await self._clean_up(key, current)
            return
        if service.spec.type == "ExternalName" or not service.spec.selector:
            return
        pods = self._cluster.selected(service)
        wanted = endpoints_plan.plan_endpoints(
            service, pods, current, triggered=self._triggers.of(service, pods)
        )
        if wanted is None or service.metadata.deletionTimestamp:
            return
        try:
            if current is None:
                written = await self._api.create(ENDPOINTS, wanted)
            else:
                written = await self._api.replace(ENDPOINTS, wanted)
        except StatusError as error:
            if _is_terminating(error):
                return
            self._endpoints.refused(key, wanted)
            if error.code not in (HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND):
                reason = "FailedToUpdateEndpoint" if current else "FailedToCreateEndpoint"
                self._recorder.event(service, "Warning", reason, f"Failed to write endpoints {key}: {error}")
            raise
        self._endpoints.wrote(key, written)

    async def _clean_up(self, key: str, current: Endpoints | None) -> None:
        """Deletes the Endpoints that a Service left behind, if it was we who made them."""
        namespace, _, name = key.partition("/")
        self._triggers.forget(namespace, name)
        if (
            current is not None
            and current.metadata.labels.get(endpoints_plan.MANAGED_BY) == endpoints_plan.CONTROLLER
            and await _is_gone(self._api, namespace, name)
        ):
            await _delete_if_there(self._api, ENDPOINTS, current)
            self._endpoints.forget(key)


class MirrorController:
    """Slices for the hand-made Endpoints of Services without a selector."""

    def __init__(self, api: Api, cluster: Cluster) -> None:
        self.queue: WorkQueue[str] = WorkQueue()
        self._api = api
        self._cluster = cluster
        self._slices = Written("mirrors", cluster.slices, _service_of(mirroring.CONTROLLER), self.queue.add)
        cluster.services.subscribe(lambda change: _add_all(self.queue, concerned_by_service(change)))
        cluster.endpoints.subscribe(lambda change: self.queue.add(change.key))

    async def sync(self, key: str) -> None:
        """Makes the mirrors of one Endpoints object right."""
        plan = mirroring.plan_mirror(
            self._cluster.endpoints.items.get(key),
            self._cluster.services.items.get(key),
            self._slices.members(key),
        )
        try:
            await carry_out(self._api, plan, key, self._slices)
        except StatusError as error:
            if not _is_terminating(error):
                raise


async def carry_out(api: Api, plan: slices.Plan, group: str, written: Written[EndpointSlice]) -> None:
    """Writes what the plan says, and notes each answer. Raises at the first refusal; the rest is planned again.

    What is already deleted needs no deleting.
    """
    for piece in plan.create:
        written.wrote(group, await api.create(ENDPOINTSLICES, piece))
    for piece in plan.update:
        try:
            written.wrote(group, await api.replace(ENDPOINTSLICES, piece))
        except StatusError:
            written.refused(group, piece)
            raise
    for piece in plan.delete:
        await _delete_if_there(api, ENDPOINTSLICES, piece)
        written.deleted(group, piece)


async def _delete_if_there(api: Api, resource: Resource[Any], obj: Stored) -> None:
    meta = obj.metadata
    try:
        await api.delete(resource, meta.name, meta.namespace, uid=meta.uid)
    except StatusError as error:
        # a conflict says that another object has taken the name since
        if error.code not in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
            raise


async def _is_gone(api: Api, namespace: str, name: str) -> bool:
    """Whether there is no such Service; asks the server, for an informer may not know of one that is new."""
    try:
        await api.get(SERVICES, name, namespace)
    except StatusError as error:
        if error.code == HTTPStatus.NOT_FOUND:
            return True
        raise
    return False


def _is_terminating(error: StatusError) -> bool:
    """Whether the namespace is going away: it takes no more objects, and those in it go by themselves."""
    details = error.status.details
    return details is not None and any(cause.reason == "NamespaceTerminating" for cause in details.causes)


def _follow(cluster: Cluster, queue: WorkQueue[str]) -> None:
    """Queues the Services whose endpoints a change of a Service, a pod or a node may change."""
    cluster.services.subscribe(lambda change: _add_all(queue, concerned_by_service(change)))
    cluster.pods.subscribe(lambda change: _add_all(queue, cluster.concerned_by_pod(change)))
    cluster.nodes.subscribe(lambda change: _add_all(queue, cluster.concerned_by_node(change)))


def _add_all(queue: WorkQueue[str], keys: Iterable[str]) -> None:
    for key in keys:
        queue.add(key)


def _service_of(manager: str) -> Callable[[EndpointSlice], str | None]:
    """Gives the key of the Service that a slice belongs to; None for slices of another manager."""

    def service(piece: EndpointSlice) -> str | None:
        meta = piece.metadata
        name = meta.labels.get(slices.SERVICE_NAME)
        return f"{meta.namespace}/{name}" if name and meta.labels.get(slices.MANAGED_BY) == manager else None

    return service
