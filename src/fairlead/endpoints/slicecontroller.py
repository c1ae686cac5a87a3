"""The EndpointSlice controller: slices of the Services that have a selector."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fairlead.client.events import Recorder
from fairlead.client.queue import WorkQueue
from fairlead.endpoints import metrics, slices
from fairlead.endpoints.cluster import Cluster
from fairlead.endpoints.config import EndpointsConfig
from fairlead.endpoints.layout import Layout
from fairlead.endpoints.pending import Pending
from fairlead.endpoints.plan import Options, Plan, plan_pods, plan_slices
from fairlead.endpoints.topology import DISABLED, ENABLED, Outcome, hints_mode
from fairlead.endpoints.trigger import TriggerTimes
from fairlead.endpoints.writer import Writer, is_stale
from fairlead.endpoints.written import Written
from fairlead.objects.core_v1 import Service
from fairlead.objects.discovery_v1 import EndpointSlice
from fairlead.objects.status import StatusError

Outcomes = Mapping[str, Outcome]
"""What became of the wish for topology hints, by family."""


class SliceController:
    """Keeps the slices of each Service right, in proportion to what changes.

    A Service with more endpoints than a slice holds has a layout: there the change of a pod costs the slices that it
    touches, not all of the Service's pods.
    """

    def __init__(self, writer: Writer, cluster: Cluster, recorder: Recorder, config: EndpointsConfig) -> None:
        self.queue: WorkQueue[str] = WorkQueue("endpoint_slice")
        self.workers = config.concurrent_service_endpoint_syncs
        self.pending = Pending(self.queue, config.endpointslice_updates_batch_period)
        self._writer = writer
        self._cluster = cluster
        self._recorder = recorder
        self._limit = config.max_endpoints_per_slice
        self._triggers = TriggerTimes()
        self._layouts: dict[str, dict[str, Layout]] = {}
        self._outcomes: dict[str, Outcomes] = {}
        self._stranded: dict[str, frozenset[tuple[str, str]]] = {}
        group = service_of(slices.CONTROLLER)
        self._slices = Written("slices", cluster.slices, group, self.pending.disturbed)
        self.pending.follow(cluster)
        cluster.on_shares(self._check_shares)

    def look_again(self, key: str) -> None:
        """The Service may not be right, whatever we believe."""
        self.pending.anything(key)

    async def sync(self, key: str) -> None:
        """Makes the slices of one Service right."""
        well = False
        try:
            with self.pending.taken(key) as names:
                await self._sync(key, names)
            well = True
        finally:
            metrics.SLICES.synced(well=well)

    async def _sync(self, key: str, names: frozenset[str] | None) -> None:
        service = self._cluster.services.items.get(key)
        if service is None:
            await self._clean_up(key)
            return
        if service.spec.type == "ExternalName" or not service.spec.selector:
            self._forget(key)
            return  # what is there is somebody else's, or a mirror
        plan = self._plan(service, key, names)
        metrics.SLICES.planned(plan)
        try:
            await self._writer.carry_out(plan, "Service", key, self._slices, metrics.SLICES)
        except StatusError as error:
            if not is_stale(error):
                self._complain(service, key, str(error))
            raise
        metrics.SLICES.changed(key, hints_mode(service), plan)
        metrics.SLICES.holds(key, self._slices.members(key), self._limit)
        self._tell(service, key, plan.outcomes)
        self._tell_of_stranded(service, key, plan.stranded, names)

    def _complain(self, service: Service, key: str, why: str) -> None:
        message = f"Error updating Endpoint Slices for Service {key}: {why}"
        self._recorder.event(service, "Warning", "FailedToUpdateEndpointSlices", message)

    def _tell_of_stranded(
        self, service: Service, key: str, now: frozenset[tuple[str, str]], names: frozenset[str] | None
    ) -> None:
        """An Event for pods that are no endpoints because their node is not known; each is told once.

        `names` are the pods that were looked at, None: all.
        """
        before = self._stranded.get(key, frozenset())
        texts = [
            f"skipping Pod {pod} for Service {key}: Node {node} Not Found"
            for pod, node in sorted(now - before)
        ]
        if texts:
            self._complain(service, key, texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")
        if names is not None:
            now |= {(pod, node) for pod, node in before if pod not in names}
        if now:
            self._stranded[key] = now
        else:
            self._stranded.pop(key, None)

    def _plan(self, service: Service, key: str, names: frozenset[str] | None) -> Plan:
        current = [piece for piece in self._slices.members(key) if piece.metadata.deletionTimestamp is None]
        nodes = self._cluster.nodes.items
        layouts = self._layouts.get(key)
        if names is not None and layouts is not None and _follows(layouts, service, current):
            pods = {name: self._cluster.pod_of(service, name) for name in names}
            triggered = self._triggers.of_some(service, pods)
            options = Options(self._limit, self._cluster.capacity.shares, triggered)
            return plan_pods(service, pods, nodes, layouts, options)
        selected = self._cluster.selected(service)
        if len(selected) > self._limit:
            self._layouts[key] = {family: Layout() for family in slices.address_types(service)}
        else:
            self._layouts.pop(key, None)
        triggered = self._triggers.of(service, selected)
        options = Options(self._limit, self._cluster.capacity.shares, triggered)
        return plan_slices(service, selected, nodes, current, options)

    def _tell(self, service: Service, key: str, outcomes: Outcomes) -> None:
        """An Event for each family whose hints came, went, or cannot come for another reason than before."""
        before = self._outcomes.get(key, {})
        for family in before.keys() | outcomes.keys():
            for kind, reason, text in outcome_events(before.get(family), outcomes.get(family)):
                self._recorder.event(service, kind, reason, f"{text}, addressType: {family}")
        if outcomes:
            self._outcomes[key] = outcomes
        else:
            self._outcomes.pop(key, None)

    def _check_shares(self) -> None:
        """Queues the Services whose hints are not fair any more, or could be now. Cost: those that ask for them."""
        shares = self._cluster.capacity.shares
        for key, outcomes in self._outcomes.items():
            if not all(outcome.fits(shares) for outcome in outcomes.values()):
                self.pending.anything(key)

    async def _clean_up(self, key: str) -> None:
        """Deletes the slices that a Service left behind; a garbage collector, where there is one, does the same."""
        namespace, _, name = key.partition("/")
        self._forget(key)
        left = [s for s in self._slices.members(key) if s.metadata.ownerReferences]
        if left and not await self._writer.has_service(namespace, name):
            plan = Plan(delete=tuple(left))
            await self._writer.carry_out(plan, "Service", key, self._slices, metrics.SLICES)
            self._slices.forget(key)

    def _forget(self, key: str) -> None:
        self._triggers.forget(key)
        self._layouts.pop(key, None)
        self._outcomes.pop(key, None)
        self._stranded.pop(key, None)
        self.pending.forget(key)
        metrics.SLICES.forget(key)


def outcome_events(before: Outcome | None, after: Outcome | None) -> list[tuple[str, str, str]]:
    """Type, reason and message of what there is to tell when the outcome of a wish for hints changes."""
    if after is None:
        hinted = before is not None and not before.reason
        return [("Warning", "TopologyAwareHintsDisabled", DISABLED)] if hinted else []
    if before is not None and before.reason == after.reason:
        return []
    if after.reason:
        return [("Warning", "TopologyAwareHintsDisabled", after.reason)]
    return [("Normal", "TopologyAwareHintsEnabled", ENABLED)]


def service_of(manager: str) -> Callable[[EndpointSlice], str | None]:
    """Gives the key of the Service that a slice belongs to; None for slices of another manager."""

    def service(piece: EndpointSlice) -> str | None:
        meta = piece.metadata
        name = meta.labels.get(slices.SERVICE_NAME)
        return f"{meta.namespace}/{name}" if name and meta.labels.get(slices.MANAGED_BY) == manager else None

    return service


def _follows(layouts: Mapping[str, Layout], service: Service, current: list[EndpointSlice]) -> bool:
    """Brings the layouts up to date; whether they are such that a plan for some pods alone can be made."""
    if any(p.addressType not in layouts or not slices.owned_by(p, service) for p in current):
        return False
    followed = [
        layout.follow(p for p in current if p.addressType == family) for family, layout in layouts.items()
    ]
    return all(followed)
