"""Ending containers and pods: hooks, SIGTERM, the grace period, SIGKILL, and then nothing stays.

Upstream: killContainer in pkg/kubelet/kuberuntime, SyncTerminatingPod in pkg/kubelet.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import time

from fairlead.node import plan, probes, records
from fairlead.node.podstate import PodState, containers_of
from fairlead.node.probing import Probing
from fairlead.objects.core_v1 import Container, LifecycleHandler, Pod, Probe


class Ending:
    """Ends a pod's containers one by one, or all of it; knows what is about to end."""

    def __init__(self, state: PodState, probing: Probing) -> None:
        self._state = state
        self._probing = probing
        self._killing: dict[str, float] = {}
        self._hooks: dict[str, asyncio.Task[None]] = {}
        self._since: float | None = None

    @property
    def killing(self) -> set[str]:
        """The runs of containers that have been told to end."""
        return set(self._killing)

    def kill(self, pod: Pod, kill: plan.Kill) -> None:
        """Begins to end one run of a container."""
        grace = float(pod.spec.terminationGracePeriodSeconds or 0)
        probe = kill.container.livenessProbe
        if probe is not None and probe.terminationGracePeriodSeconds is not None:
            grace = float(probe.terminationGracePeriodSeconds)
        self._killing[kill.id] = time.time() + grace
        self._state.event("Normal", "Killing", kill.message, kill.container)
        self._terminate(kill.container, kill.id)

    async def finish_kills(self, now: float) -> float | None:
        """Sends SIGKILL to what has used up its grace period; gives when the next has."""
        running = {record.id for record in self._state.running()}
        for run in [run for run in self._killing if run not in running]:
            del self._killing[run]
        for run, deadline in self._killing.items():
            if deadline <= now and self._state.sandbox is not None:
                await self._state.sandbox.signal(run, signal.SIGKILL)
                self._killing[run] = now + 1
        return min(self._killing.values(), default=None)

    def terminate_all(self, pod: Pod) -> float | None:
        """Lets everything end that still runs; when it has to have ended at the latest, None where nothing runs."""
        now = time.time()
        if self._since is None:
            self._since = now
        deadline = self._since + (pod.metadata.deletionGracePeriodSeconds or 0)
        running = self._state.running() if self._state.sandbox is not None else []
        if not running or now >= deadline:
            return None
        containers = {container.name: container for container in containers_of(pod)}
        for record in running:
            container = containers.get(record.name)
            if record.id not in self._hooks:
                self._state.event("Normal", "Killing", f"Stopping container {record.name}", container)
            self._terminate(container, record.id)
        return deadline

    async def end_sandbox(self) -> None:
        """Ends the pod's every process at once. What ran is recorded as killed."""
        sandbox = self._state.sandbox
        assert sandbox is not None
        await sandbox.kill()
        await sandbox.release()
        self._state.sandbox = None
        records.settle(self._state.directory)
        self._probing.stop()

    async def clear_away(self) -> None:
        """Nothing of the pod stays: processes, network, files; its addresses are free."""
        if self._state.sandbox is not None:
            await self.end_sandbox()
        self._state.free_addresses()
        shutil.rmtree(self._state.directory, ignore_errors=True)

    def stop(self) -> None:
        """Lets go of hooks that are under way: the agent ends."""
        for task in self._hooks.values():
            task.cancel()

    def _terminate(self, container: Container | None, run: str) -> None:
        """Runs the preStop hook, then sends SIGTERM, in the background."""

        async def stop() -> None:
            hook = container.lifecycle.preStop if container and container.lifecycle else None
            if container is not None and hook is not None:
                await self._hook(container, run, hook)
            if self._state.sandbox is not None:
                with contextlib.suppress(OSError):
                    await self._state.sandbox.signal(run, signal.SIGTERM)

        if run not in self._hooks:
            self._hooks[run] = asyncio.create_task(stop())

    async def _hook(self, container: Container, run: str, hook: LifecycleHandler) -> None:
        problem = ""
        if hook.sleep is not None:
            await asyncio.sleep(hook.sleep.seconds)
        elif self._state.sandbox is not None:
            probe = Probe(exec=hook.exec, httpGet=hook.httpGet, tcpSocket=hook.tcpSocket, timeoutSeconds=3600)
            answer = await probes.ask(self._probing.target(container, run), probe)
            problem = "" if answer.good else answer.message
        if problem:
            message = f"PreStopHook failed: {problem}"
            self._state.event("Warning", "FailedPreStopHook", message, container)
