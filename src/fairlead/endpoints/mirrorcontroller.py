"""The mirroring controller: slices for the hand-made Endpoints of Services without a selector."""

from __future__ import annotations

import time

from fairlead.client.events import Recorder
from fairlead.client.informer import Change
from fairlead.client.queue import WorkQueue
from fairlead.endpoints import metrics, mirroring
from fairlead.endpoints.cluster import Cluster
from fairlead.endpoints.config import EndpointsConfig
from fairlead.endpoints.slicecontroller import service_of
from fairlead.endpoints.writer import Writer
from fairlead.endpoints.written import Written
from fairlead.objects.core_v1 import Endpoints, Service


class MirrorController:
    """Keeps the mirrors of each Endpoints object right. Only what others do to them waits for the batch period."""

    def __init__(self, writer: Writer, cluster: Cluster, recorder: Recorder, config: EndpointsConfig) -> None:
        self.queue: WorkQueue[str] = WorkQueue("endpoint_slice_mirroring")
        self.workers = config.mirroring_concurrent_service_endpoint_syncs
        self._writer = writer
        self._cluster = cluster
        self._recorder = recorder
        self._limit = config.mirroring_max_endpoints_per_subset
        self._period = config.mirroring_endpointslice_updates_batch_period
        group = service_of(mirroring.CONTROLLER)
        self._slices = Written("mirrors", cluster.slices, group, self._disturbed)
        cluster.services.subscribe(self._on_service)
        cluster.endpoints.subscribe(self._on_endpoints)

    def look_again(self, key: str) -> None:
        """The Service may not be right, whatever we believe."""
        self.queue.add(key)

    async def sync(self, key: str) -> None:
        """Makes the mirrors of one Endpoints object right."""
        started = time.monotonic()
        endpoints = self._cluster.endpoints.items.get(key)
        service = self._cluster.services.items.get(key)
        mirror = mirroring.plan_mirror(endpoints, service, self._slices.members(key), limit=self._limit)
        metrics.MIRRORS.planned(mirror.plan)
        metrics.MIRRORS.mirrored(updated=mirror.updated, skipped=mirror.invalid + mirror.surplus)
        if endpoints is not None:
            for reason, message in mirroring.complaints(mirror, self._limit):
                self._recorder.event(endpoints, "Warning", reason, message)
        await self._writer.carry_out(mirror.plan, "Endpoints", key, self._slices, metrics.MIRRORS)
        if endpoints is None:
            metrics.MIRRORS.forget(key)
        else:
            metrics.MIRRORS.holds(key, self._slices.members(key), self._limit)
        metrics.MIRRORS.took(time.monotonic() - started)

    def _on_service(self, change: Change[Service]) -> None:
        old, new = change.old, change.new
        if old is None or new is None or bool(old.spec.selector) != bool(new.spec.selector):
            self.queue.add(change.key)

    def _on_endpoints(self, change: Change[Endpoints]) -> None:
        """Most Endpoints are ours: those of Services with a selector, which have no mirrors."""
        service = self._cluster.services.items.get(change.key)
        if service is None or not service.spec.selector:
            self.queue.add(change.key)

    def _disturbed(self, key: str) -> None:
        if self._period:
            self.queue.add_after(key, self._period)
        else:
            self.queue.add(key)
