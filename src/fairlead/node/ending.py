"""Ending containers and pods: hooks, the signal, the grace period, SIGKILL, and then nothing stays.

What is done when is `stopping`'s decision. Upstream: killContainer in pkg/kubelet/kuberuntime, SyncTerminatingPod in
pkg/kubelet.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from dataclasses import replace

from fairlead.node import hooks, records, trees
from fairlead.node.containers import containers_of, stop_signal, turn_to_stop
from fairlead.node.podstate import PodState
from fairlead.node.stopping import Act, Stop
from fairlead.objects.core_v1 import Container, LifecycleHandler, Pod

log = logging.getLogger("fairlead.node")


class Ending:
    """Ends a pod's containers one by one, or all of it; knows what is about to end."""

    def __init__(self, state: PodState) -> None:
        self._state = state
        self._stops: dict[str, Stop] = {}
        self._hooks: dict[str, asyncio.Task[None]] = {}

    @property
    def stopping(self) -> set[str]:
        """The runs of containers that have been told to end."""
        return set(self._stops)

    def stop(self, container: Container | None, run: str, name: str, grace: float, message: str) -> None:
        """Begins to end one run of a container, or shortens the grace period (seconds) of one that ends already."""
        known, now = self._stops.get(run), time.monotonic()
        if known is not None:
            self._stops[run] = known.shortened(grace, now)
            return
        self._state.event("Normal", "Killing", message, container)
        hook = container.lifecycle.preStop if container and container.lifecycle else None
        self._stops[run] = Stop(name, now, grace, hook=hook is not None and grace > 0)
        if container is not None and hook is not None and grace > 0:
            self._hooks[run] = asyncio.create_task(self._before_stop(container, run, hook))

    def stop_all(self, pod: Pod, grace: float) -> None:
        """Begins to end everything that still runs, or shortens the grace period of what ends already."""
        containers = {container.name: container for container in containers_of(pod)}
        for record in self._running():
            message = f"Stopping container {record.name}"
            self.stop(containers.get(record.name), record.id, record.name, grace, message)

    async def advance(self, pod: Pod, *, all: bool) -> float | None:
        """Sends what signals are due; gives when the next ones are. `all`: the whole pod ends, in its order.

        Grace periods are measured on the monotonic clock: one that is set neither shortens nor lengthens them. Cost:
        that of the pod's containers.
        """
        now = time.monotonic()
        running = self._running()
        alive = {record.id for record in running}
        for run in [run for run in self._stops if run not in alive]:
            del self._stops[run]
            self._drop_hook(run)
        containers = {container.name: container for container in containers_of(pod)} if self._stops else {}
        wakes = []
        for run, stop in list(self._stops.items()):
            turn = not all or turn_to_stop(pod, stop.name, running)
            act, wake = stop.next(turn=turn, now=now)
            if act is Act.SIGNAL:
                self._stops[run] = replace(stop, signalled=now)
                self._drop_hook(run)
                await self._signal(run, stop_signal(containers.get(stop.name)))
            elif act is Act.KILL:
                self._stops[run] = replace(stop, killed=now)
                await self._signal(run, signal.SIGKILL)
            if wake is not None:
                wakes.append(wake)
        return time.time() + min(wakes) - now if wakes else None

    async def end_sandbox(self) -> None:
        """Ends the pod's every process at once. What ran is recorded as killed."""
        sandbox = self._state.sandbox
        assert sandbox is not None
        await sandbox.kill()
        await sandbox.release()
        self._state.sandbox = None
        self._state.settled = records.settle(self._state.directory, sandbox.histories)
        self._stops.clear()
        self.forget()

    async def clear_away(self) -> None:
        """Nothing of the pod stays: processes, network, files; its addresses are free."""
        if self._state.sandbox is not None:
            await self.end_sandbox()
        self._state.free_addresses()
        # In a thread: what the containers have written may be a lot, and others' probes must not wait for it.
        await asyncio.to_thread(trees.remove, self._state.directory)

    def forget(self) -> None:
        """Lets go of hooks that are under way: their containers are gone, or the agent ends."""
        for run in list(self._hooks):
            self._drop_hook(run)

    def _running(self) -> list[records.ContainerRecord]:
        return self._state.running() if self._state.sandbox is not None else []

    def _drop_hook(self, run: str) -> None:
        task = self._hooks.pop(run, None)
        if task is not None:
            task.cancel()

    async def _signal(self, run: str, number: int) -> None:
        if self._state.sandbox is not None:
            with contextlib.suppress(OSError):  # it has ended; its history will say so
                await self._state.sandbox.signal(run, number)

    async def _before_stop(self, container: Container, run: str, hook: LifecycleHandler) -> None:
        problem = await hooks.run(self._state.target(container, run), hook)
        if problem:
            log.info("pod %s: container %s: preStop: %s", self._state.name, container.name, problem)
            self._state.event("Warning", "FailedPreStopHook", "PreStopHook failed", container)
        stop = self._stops.get(run)
        if stop is not None:
            self._stops[run] = replace(stop, hook=False)
        self._hooks.pop(run, None)
        self._state.changed.set()
