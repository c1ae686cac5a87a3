"""The time of the change that led to a write: what `endpoints.kubernetes.io/last-change-trigger-time` says.

Upstream: k8s.io/endpointslice/util/trigger_time_tracker.go; the proxies measure their latency from it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from fairlead.endpoints.pods import readiness
from fairlead.objects.core_v1 import Pod, Service


@dataclass
class _Seen:
    service: str
    pods: dict[str, str] = field(default_factory=dict)


class TriggerTimes:
    """What was seen of each Service at its last sync. Times are RFC 3339 in UTC to the second: text orders them."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], _Seen] = {}

    def of(self, service: Service, pods: Iterable[Pod]) -> str:
        """The earliest of the times that are new since the last call, "" if none is.

        A pod's time is that of its last change of readiness. For a Service not seen before it is its creation.
        """
        meta = service.metadata
        created = meta.creationTimestamp or ""
        last = self._seen.get((meta.namespace, meta.name))
        times = {}
        for pod in pods:
            condition = readiness(pod)
            if condition is not None and condition.lastTransitionTime:
                times[pod.metadata.name] = condition.lastTransitionTime
        self._seen[meta.namespace, meta.name] = _Seen(created, times)
        if last is None:
            return created
        new = [time for name, time in times.items() if time > last.pods.get(name, "")]
        if created > last.service:
            new.append(created)
        return min(new, default="")

    def forget(self, namespace: str, name: str) -> None:
        """The Service is gone."""
        self._seen.pop((namespace, name), None)
