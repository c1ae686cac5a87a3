"""What the controllers tell Prometheus, by the names of kube-controller-manager's metrics."""

from __future__ import annotations

from collections import Counter as Count
from collections.abc import Iterable

from prometheus_client import Gauge, Histogram

from fairlead.endpoints.plan import Plan
from fairlead.endpoints.ports import ports_key
from fairlead.endpoints.topology import AUTO, DISTRIBUTIONS
from fairlead.objects.discovery_v1 import EndpointSlice

_BUCKETS = tuple(2.0**n for n in range(1, 16))
_SYNC_BUCKETS = tuple(0.001 * 2**n for n in range(15))


class SliceMetrics:
    """The figures of one of the two controllers that write slices."""

    def __init__(self, subsystem: str) -> None:
        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"{subsystem}_{name}", text, labels)

        def histogram(name: str, text: str, *labels: str, buckets: tuple[float, ...] = _BUCKETS) -> Histogram:
            return Histogram(f"{subsystem}_{name}", text, labels, buckets=buckets)

        self._added = histogram("endpoints_added_per_sync", "Number of endpoints added on each sync")
        self._removed = histogram("endpoints_removed_per_sync", "Number of endpoints removed on each sync")
        self._endpoints = gauge("endpoints_desired", "Number of endpoints desired")
        self._slices = gauge("num_endpoint_slices", "Number of EndpointSlices")
        self._ideal = gauge(
            "desired_endpoint_slices",
            "Number of EndpointSlices that would exist with perfect endpoint allocation",
        )
        # Upstream's counters; as gauges because their names, unlike the library's counters, do not end in _total.
        self._changes = gauge("changes", "Number of EndpointSlice changes", "operation")
        self._totals: dict[str, tuple[int, int, int]] = {}

    def planned(self, plan: Plan) -> None:
        """A Service was looked at, with or without changes."""
        self._added.observe(plan.added)
        self._removed.observe(plan.removed)

    def wrote(self, operation: str) -> None:
        """A slice was written: create, update or delete."""
        self._changes.labels(operation).inc()

    def holds(self, key: str, slices: Iterable[EndpointSlice], limit: int) -> None:
        """These are the slices of a Service now. Cost: their number."""
        groups: Count[object] = Count()
        number = 0
        for piece in slices:
            number += 1
            groups[piece.addressType, ports_key(piece.ports)] += len(piece.endpoints)
        ideal = sum(max(1, -(-size // limit)) for size in groups.values())
        self._move(self._totals.get(key, (0, 0, 0)), (groups.total(), number, ideal))
        self._totals[key] = (groups.total(), number, ideal)

    def forget(self, key: str) -> None:
        """The Service is gone."""
        self._move(self._totals.pop(key, (0, 0, 0)), (0, 0, 0))

    def reset(self) -> None:
        """Nothing is known: the controller starts, or starts again."""
        self._totals.clear()
        for gauge in (self._endpoints, self._slices, self._ideal):
            gauge.set(0)

    def _move(self, old: tuple[int, int, int], new: tuple[int, int, int]) -> None:
        for gauge, before, after in zip((self._endpoints, self._slices, self._ideal), old, new, strict=True):
            if after != before:
                gauge.inc(after - before)


class EndpointSliceMetrics(SliceMetrics):
    """`endpoint_slice_controller_*`."""

    def __init__(self) -> None:
        subsystem = "endpoint_slice_controller"
        super().__init__(subsystem)
        self._changed = Histogram(
            f"{subsystem}_endpointslices_changed_per_sync",
            "Number of EndpointSlices changed on each Service sync",
            ("topology", "traffic_distribution"),
        )
        self._syncs = Gauge(f"{subsystem}_syncs", "Number of EndpointSlice syncs", ("result",))
        self._by_distribution = Gauge(
            f"{subsystem}_services_count_by_traffic_distribution",
            "Number of Services using some specific trafficDistribution",
            ("traffic_distribution",),
        )
        self._distribution: dict[str, str] = {}

    def synced(self, *, well: bool) -> None:
        """A sync ended."""
        self._syncs.labels("success" if well else "error").inc()

    def changed(self, key: str, mode: str, plan: Plan) -> None:
        """The plan was carried out for a Service that asks for this mode of hints."""
        distribution = mode if mode in DISTRIBUTIONS else ""
        self._changed.labels("Auto" if mode == AUTO else "Disabled", distribution).observe(len(plan))
        before = self._distribution.get(key, "")
        if before != distribution:
            if before:
                self._by_distribution.labels(before).dec()
            if distribution:
                self._by_distribution.labels(distribution).inc()
            self._distribution[key] = distribution

    def forget(self, key: str) -> None:
        """The Service is gone."""
        super().forget(key)
        if before := self._distribution.pop(key, ""):
            self._by_distribution.labels(before).dec()

    def reset(self) -> None:
        """Nothing is known: the controller starts, or starts again."""
        super().reset()
        self._distribution.clear()
        self._by_distribution.clear()


class MirrorMetrics(SliceMetrics):
    """`endpoint_slice_mirroring_controller_*`."""

    def __init__(self) -> None:
        subsystem = "endpoint_slice_mirroring_controller"
        super().__init__(subsystem)
        self._updated = Histogram(
            f"{subsystem}_endpoints_updated_per_sync",
            "Number of endpoints updated on each Endpoints sync",
            buckets=_BUCKETS,
        )
        self._skipped = Histogram(
            f"{subsystem}_addresses_skipped_per_sync",
            "Number of addresses skipped on each Endpoints sync due to being invalid or exceeding"
            " MaxEndpointsPerSubset",
            buckets=_BUCKETS,
        )
        self._duration = Histogram(
            f"{subsystem}_endpoints_sync_duration",
            "Duration of syncEndpoints() in seconds",
            buckets=_SYNC_BUCKETS,
        )

    def mirrored(self, *, updated: int, skipped: int) -> None:
        """Endpoints were mirrored."""
        self._updated.observe(updated)
        self._skipped.observe(skipped)

    def took(self, seconds: float) -> None:
        """A sync ended after this time."""
        self._duration.observe(seconds)


SLICES = EndpointSliceMetrics()
MIRRORS = MirrorMetrics()
