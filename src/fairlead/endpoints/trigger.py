"""The time of the change that led to a write: what `endpoints.kubernetes.io/last-change-trigger-time` says.

Upstream: k8s.io/endpointslice/util/trigger_time_tracker.go; the proxies measure their latency from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fairlead.client.informer import key_of
from fairlead.endpoints.pods import readiness
from fairlead.objects.core_v1 import Pod, Service


@dataclass
class _Seen:
    created: str
    pods: dict[str, str] = field(default_factory=dict)


class TriggerTimes:
    """What was seen of each Service at its last sync. Times are RFC 3339 in UTC to the second: text orders them."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def of(self, service: Service, pods: Iterable[Pod]) -> str:
        """The earliest of the times that are new since the last call, "" if none is.

        A pod's time is that of its last change of readiness. For a Service not seen before it is its creation.
        """
        created = service.metadata.creationTimestamp or ""
        last = self._seen.get(key_of(service))
        times = {pod.metadata.name: time for pod in pods if (time := _time(pod))}
        self._seen[key_of(service)] = _Seen(created, times)
        if last is None:
            return created
        new = [time for name, time in times.items() if time > last.pods.get(name, "")]
        if created > last.created:
            new.append(created)
        return min(new, default="")

    def of_some(self, service: Service, pods: Mapping[str, Pod | None]) -> str:
        """The same where only these pods changed since the last call, by name; None for a pod that is gone."""
        last = self._seen.setdefault(key_of(service), _Seen(service.metadata.creationTimestamp or ""))
        new = []
        for name, pod in pods.items():
            before = last.pods.pop(name, "")
            time = "" if pod is None else _time(pod)
            if time:
                last.pods[name] = time
            if time > before:
                new.append(time)
        return min(new, default="")

    def forget(self, key: str) -> None:
        """The Service is gone."""
        self._seen.pop(key, None)


def _time(pod: Pod) -> str:
    condition = readiness(pod)
    return (condition.lastTransitionTime or "") if condition is not None else ""
