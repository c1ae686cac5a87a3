"""The Endpoints controller: the older form of slices, for the Services that have a selector."""

from __future__ import annotations

from fairlead.client.events import Recorder
from fairlead.client.informer import key_of
from fairlead.client.queue import WorkQueue
from fairlead.client.writer import is_terminating
from fairlead.endpoints import endpoints as plans
from fairlead.endpoints.cluster import Cluster
from fairlead.endpoints.config import EndpointsConfig
from fairlead.endpoints.pending import Pending
from fairlead.endpoints.roster import Roster
from fairlead.endpoints.trigger import TriggerTimes
from fairlead.endpoints.writer import Writer, is_stale
from fairlead.endpoints.written import Written
from fairlead.objects.core_v1 import Endpoints, Service
from fairlead.objects.resources import ENDPOINTS
from fairlead.objects.status import StatusError

ROSTER = 100
"""Services of more pods have a roster, so that a pod's change does not cost all of them."""


class EndpointsController:
    """Keeps the Endpoints of each Service right."""

    def __init__(self, writer: Writer, cluster: Cluster, recorder: Recorder, config: EndpointsConfig) -> None:
        self.queue: WorkQueue[str] = WorkQueue("endpoint")
        self.workers = config.concurrent_endpoint_syncs
        self.pending = Pending(self.queue, config.endpoint_updates_batch_period)
        self._writer = writer
        self._cluster = cluster
        self._recorder = recorder
        self._triggers = TriggerTimes()
        self._rosters: dict[str, Roster] = {}
        self._endpoints = Written("endpoints", cluster.endpoints, key_of, self.pending.disturbed)
        self.pending.follow(cluster, nodes=False)  # Endpoints do not depend on what a node is

    def look_again(self, key: str) -> None:
        """The Service may not be right, whatever we believe."""
        self.pending.anything(key)

    async def sync(self, key: str) -> None:
        """Makes the Endpoints of one Service right."""
        with self.pending.taken(key) as names:
            await self._sync(key, names)

    async def _sync(self, key: str, names: frozenset[str] | None) -> None:
        service = self._cluster.services.items.get(key)
        current = next(iter(self._endpoints.members(key)), None)
        if service is None:
            await self._clean_up(key, current)
            return
        if service.spec.type == "ExternalName" or not service.spec.selector:
            self._forget(key)
            return
        roster, triggered = self._roster(service, key, names)
        wanted = plans.plan_endpoints(service, roster, current, triggered=triggered)
        if wanted is None:
            return
        try:
            with self._endpoints.writing(key):
                if current is None:
                    written = await self._writer.create(ENDPOINTS, wanted)
                else:
                    written = await self._writer.replace(ENDPOINTS, wanted)
                self._endpoints.wrote(key, written)
        except StatusError as error:
            if is_terminating(error):
                return
            self._endpoints.refused(key, wanted)
            if not is_stale(error):
                reason, what = ("FailedToUpdateEndpoint", "Failed to update endpoint")
                if current is None:
                    reason, what = ("FailedToCreateEndpoint", "Failed to create endpoint for service")
                self._recorder.event(wanted, "Warning", reason, f"{what} {key}: {error}")
            raise

    def _roster(self, service: Service, key: str, names: frozenset[str] | None) -> tuple[Roster, str]:
        """Who stands behind the Service, and the time of the change that led here."""
        roster = self._rosters.get(key)
        if names is not None and roster is not None:
            pods = {name: self._cluster.pod_of(service, name) for name in names}
            roster.change(pods)
            return roster, self._triggers.of_some(service, pods)
        selected = self._cluster.selected(service)
        roster = Roster.of(service, selected)
        if len(selected) > ROSTER:
            self._rosters[key] = roster
        else:
            self._rosters.pop(key, None)
        return roster, self._triggers.of(service, selected)

    async def _clean_up(self, key: str, current: Endpoints | None) -> None:
        """Deletes the Endpoints that a Service left behind, if it was we who made them."""
        namespace, _, name = key.partition("/")
        self._forget(key)
        if (
            current is not None
            and current.metadata.labels.get(plans.MANAGED_BY) == plans.CONTROLLER
            and not await self._writer.has_service(namespace, name)
        ):
            await self._writer.delete(ENDPOINTS, current, conflicts=True)
            self._endpoints.forget(key)

    def _forget(self, key: str) -> None:
        self._triggers.forget(key)
        self._rosters.pop(key, None)
        self.pending.forget(key)
