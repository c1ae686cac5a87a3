"""Which probes of a pod are being asked, and what they have said: the watches of `probes`, run by run.

Upstream: pkg/kubelet/prober, prober_manager.go and worker.go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any

from fairlead.node import probes
from fairlead.node.containers import containers_of
from fairlead.node.podstate import PodState
from fairlead.node.status import container_id
from fairlead.objects.core_v1 import Container, Pod, Probe


class Probing:
    """Asks the probes of a pod's running containers, and knows from them which have started and are ready."""

    def __init__(self, state: PodState) -> None:
        self._state = state
        self._watches: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._results: dict[tuple[str, str], bool] = {}

    def follow(self, pod: Pod, *, ending: bool = False) -> None:
        """Lets every probe of every running container be asked, and no other. Cost: that of the pod's containers.

        Of a pod that is ending it is the readiness alone: a load balancer may still want to know.
        """
        wanted: dict[tuple[str, str], tuple[Container, Probe]] = {}
        histories = self._state.histories() if self._state.sandbox is not None else {}
        runs = {history.current.id for history in histories.values()}
        for key in [key for key in self._results if key[0] not in runs]:
            del self._results[key]  # or a container that is restarted for ever leaves something each time
        for container in containers_of(pod):
            history = histories.get(container.name)
            if history is None or not history.current.running or history.current.id in self._state.hooking:
                continue
            run = history.current.id
            startup = container.startupProbe
            if startup is not None and not self._results.get((run, "startup")):
                if _said_before(pod, run, "started"):
                    self._results[run, "startup"] = True
                else:
                    if not ending:
                        wanted[run, "startup"] = (container, startup)
                    continue
            if container.livenessProbe is not None and not ending:
                wanted[run, "liveness"] = (container, container.livenessProbe)
            if container.readinessProbe is not None:
                wanted[run, "readiness"] = (container, container.readinessProbe)
                if _said_before(pod, run, "ready"):
                    self._results.setdefault((run, "readiness"), True)
        self._keep(wanted)
        for key, (container, probe) in wanted.items():
            if key not in self._watches:
                self._watches[key] = asyncio.create_task(self._watch(key, container, probe))

    def stop(self) -> None:
        """Asks nothing any more."""
        self._keep({})

    def _keep(self, wanted: Mapping[tuple[str, str], object]) -> None:
        for key in [key for key in self._watches if key not in wanted]:
            self._watches.pop(key).cancel()

    def _watch(self, key: tuple[str, str], container: Container, probe: Probe) -> Coroutine[Any, Any, None]:
        run, kind = key
        known = True if kind == "liveness" else self._results.get(key)

        def decided(good: bool) -> None:
            self._results[key] = good
            self._state.changed.set()

        def answered(answer: probes.Answer) -> None:
            event = answer.event(kind)
            if event is not None:
                self._state.event("Warning", *event, container)
            if kind == "readiness" and not answer.good and key not in self._results:
                decided(False)  # the first answer is news, whatever the threshold

        # A container that fails one of these will be ended: it is not asked again (doProbe in worker.go).
        final = kind in ("liveness", "startup")
        return probes.watch(self._state.target(container, run), probe, known, decided, answered, final=final)

    def unhealthy(self) -> dict[str, str]:
        """Runs that a liveness or startup probe has given up, and which kind of probe."""
        return {
            run: kind
            for (run, kind), good in self._results.items()
            if not good and kind in ("liveness", "startup")
        }

    def started(self, pod: Pod) -> frozenset[str]:
        """Runs whose postStart hook has ended and whose startup probe has succeeded, or that have none."""
        probed = {container.name for container in containers_of(pod) if container.startupProbe}
        return frozenset(
            record.id
            for record in self._state.running()
            if record.id not in self._state.hooking
            and (record.name not in probed or self._results.get((record.id, "startup")))
        )

    def ready(self, pod: Pod) -> frozenset[str]:
        """Runs that have started and whose readiness probe, if any, says yes."""
        probed = {container.name for container in containers_of(pod) if container.readinessProbe}
        started = self.started(pod)
        return frozenset(
            record.id
            for record in self._state.running()
            if record.id in started
            and (record.name not in probed or self._results.get((record.id, "readiness")))
        )

    def unanswered(self, pod: Pod) -> list[float]:
        """When the runs started whose readiness probe goes out at once and has not been answered yet."""
        running = {record.name: record for record in self._state.running()}
        return [
            running[container.name].started_at
            for container in pod.spec.containers
            if container.name in running
            and _asked_at_once(container)
            and (running[container.name].id, "readiness") not in self._results
            and running[container.name].id not in self._state.hooking
        ]


def _asked_at_once(container: Container) -> bool:
    probe = container.readinessProbe
    return probe is not None and probe.initialDelaySeconds == 0 and container.startupProbe is None


def _said_before(pod: Pod, run: str, what: str) -> bool:
    """Whether the API has this run as ready or started: an earlier agent asked, and nothing speaks against it."""
    return any(
        one.containerID == container_id(run) and getattr(one, what)
        for one in (*pod.status.initContainerStatuses, *pod.status.containerStatuses)
    )
