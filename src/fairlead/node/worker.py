"""One pod on this node: a task that keeps what runs equal to what the pod says, and its status equal to what runs.

Level-triggered: whatever happens (the pod changes, a container ends, a probe changes its mind, time passes), it looks
at everything again, asks `plan` what to do, does it (`starting`, `ending`), lets the probes go on (`probing`), and
writes the status if that differs from what the API has (`reporting`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping

from fairlead.client.retry import Backoff
from fairlead.node import plan
from fairlead.node.ending import Ending
from fairlead.node.podstate import Node, PodState
from fairlead.node.probing import Probing
from fairlead.node.reporting import Reporting
from fairlead.node.starting import Starting
from fairlead.objects.core_v1 import ContainerStateWaiting, Pod
from fairlead.objects.resources import PODS
from fairlead.objects.status import StatusError

log = logging.getLogger("fairlead.node")


class PodWorker:
    """Runs one pod, by uid, from its binding to its end. `finished` is set when nothing of it is left here."""

    def __init__(self, node: Node, uid: str, pod: Pod | None) -> None:
        self._state = PodState(node, uid, pod)
        self._probing = Probing(self._state)
        self._starting = Starting(self._state)
        self._ending = Ending(self._state, self._probing)
        self._reporting = Reporting(self._state, self._probing)
        self.finished = asyncio.Event()

    @property
    def absent(self) -> bool:
        """Whether the API has the pod no longer."""
        return self._state.pod is None

    def update(self, pod: Pod | None) -> None:
        """The pod as the API has it now; None when it has it no longer. An older one than known is ignored."""
        known = self._state.pod
        if pod is not None and known is not None and _version(pod) < _version(known):
            return
        if pod != known:
            self._state.pod = pod
            self._state.changed.set()

    async def adopt(self) -> None:
        """Takes hold of the sandbox that an earlier agent left running, if there is one."""
        await self._state.adopt()

    async def run(self) -> None:
        """Works until the pod is gone from this node. Cancelled, it lets go of the pod, which goes on running."""
        backoff = Backoff(limit=5.0)
        try:
            while not self.finished.is_set():
                self._state.changed.clear()
                wake: float | None
                try:
                    wake = await self._step()
                    backoff.reset()
                except (StatusError, OSError) as error:
                    log.warning("pod %s: %s", self._state.name, error)
                    wake = time.time() + backoff.next()
                except Exception:
                    log.exception("pod %s: a defect", self._state.name)
                    wake = time.time() + backoff.next()
                if not self.finished.is_set():
                    await self._wait(wake)
        finally:
            self._probing.stop()
            self._ending.stop()
            if self._state.sandbox is not None:
                await self._state.sandbox.release()

    async def _wait(self, wake: float | None) -> None:
        timeout = None if wake is None else max(0.0, wake - time.time())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._state.changed.wait()

    async def _step(self) -> float | None:
        """One look at everything; gives when to look again at the latest."""
        state = self._state
        pod = state.pod
        if pod is None:
            await self._ending.clear_away()
            self.finished.set()
            return None
        if state.sandbox is not None and state.sandbox.gone.is_set():
            await self._lost(pod)
        if pod.metadata.deletionTimestamp is not None:
            return await self._delete(pod)
        now = time.time()
        unresolved, wake = self._starting.unresolved(pod, now)
        todo = plan.plan(pod, self._observe(pod, unresolved), now)
        for kill in todo.kills:
            self._ending.kill(pod, kill)
        wakes = [wake, todo.wake, await self._ending.finish_kills(now)]
        if todo.starts or state.sandbox is not None:
            wakes.append(await self._starting.keep_account(pod, now))
        if todo.starts:
            await self._starting.start_all(pod, todo.starts)
        elif todo.finished and state.sandbox is not None:
            await self._report(pod, todo.waiting)
            await self._ending.end_sandbox()
            state.free_addresses()
        self._probing.follow(pod)
        wakes.append(await self._report(pod, todo.waiting))
        return min((moment for moment in wakes if moment is not None), default=None)

    def _observe(self, pod: Pod, unresolved: Mapping[str, ContainerStateWaiting]) -> plan.Observed:
        killing = self._ending.killing
        return plan.Observed(
            sandbox=self._state.sandbox is not None,
            histories=self._state.histories(),
            unhealthy={run: kind for run, kind in self._probing.unhealthy().items() if run not in killing},
            started=self._probing.started(pod),
            crashes=self._starting.crashes,
            unresolved=unresolved,
        )

    async def _lost(self, pod: Pod) -> None:
        """The sandbox died, and the pod with it: what ran is recorded as killed, and will be planned for anew."""
        await self._ending.end_sandbox()
        if pod.metadata.deletionTimestamp is None:
            message = "Pod sandbox changed, it will be killed and re-created."
            self._state.event("Normal", "SandboxChanged", message)

    async def _delete(self, pod: Pod) -> float | None:
        """A pod that terminates: hooks, SIGTERM, the grace period, SIGKILL, and then the object goes too."""
        deadline = self._ending.terminate_all(pod)
        if deadline is not None:
            self._probing.follow(pod)
            wake = await self._report(pod, {})
            return min(deadline, wake or deadline)
        if self._state.sandbox is not None:
            await self._ending.end_sandbox()
        await self._report(pod, {})
        await self._ending.clear_away()
        meta = pod.metadata
        with contextlib.suppress(StatusError):  # gone already, or another by now
            await self._state.node.api.delete(
                PODS, meta.name, meta.namespace, grace_period_seconds=0, uid=meta.uid
            )
        # A finalizer may keep the object, terminating; there is nothing left to do for it here.
        self.finished.set()
        return None

    async def _report(self, pod: Pod, waiting: Mapping[str, ContainerStateWaiting]) -> float | None:
        """Writes the status if it differs; gives when to try again if it is better to wait for a probe first."""
        hold = self._reporting.hold_until(pod, time.time())
        if hold is not None:
            return hold
        written = await self._reporting.write(pod, waiting)
        if written is not None:
            self.update(written)
        return None


def _version(pod: Pod) -> int:
    """The resourceVersion as a number, as KEP-5504 lets clients compare it."""
    version = pod.metadata.resourceVersion
    return int(version) if version.isdecimal() else 0
