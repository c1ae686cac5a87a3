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
from http import HTTPStatus

from fairlead.client.retry import Backoff
from fairlead.node import plan, status
from fairlead.node.ending import Ending
from fairlead.node.eviction import Storage
from fairlead.node.hostports.ofpod import PodPorts
from fairlead.node.podstate import Node, PodState
from fairlead.node.probing import Probing
from fairlead.node.rejection import rejection
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
        self._ending = Ending(self._state)
        self._ports = PodPorts(self._state)
        self._storage = Storage(self._state.directory)
        self._reporting = Reporting(self._state, self._probing, self.update)
        self._failure: status.Failure | None = None
        self.finished = asyncio.Event()

    @property
    def state(self) -> PodState:
        """The pod as it is held here, for those who look at it."""
        return self._state

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
            self._forget()
            self._reporting.stop()
            self._starting.volumes.release()
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
            await self._ports.close()
            await self._ending.clear_away()
            self.finished.set()
            return None
        if state.sandbox is not None and state.sandbox.gone.is_set():
            await self._lost(pod)
        elif state.is_forgotten():
            log.warning("pod %s: its folder %s is gone, so it begins anew", state.name, state.directory)
            state.directory.mkdir(mode=0o700, exist_ok=True)
            (state.directory / "containers").mkdir(exist_ok=True)
            await self._lost(pod)
            self._starting = self._starting.anew()
        now = time.time()
        if pod.metadata.deletionTimestamp is not None:
            return await self._delete(pod)
        self._failure = self._failure or self._overdue(pod, now) or self._rejection(pod)
        look = await self._check_storage(pod, now)
        state.restart.follow(pod, state.histories())
        unresolved, wake = self._starting.unresolved(pod, now)
        todo = plan.plan(pod, self._observe(pod, unresolved), now)
        if todo.finished or self._failure is not None:
            grace = self._grace(pod)
            return await self._finish(pod, grace)
        for kill in todo.kills:
            self._ending.stop(kill.container, kill.id, kill.container.name, kill.grace, kill.message)
        wakes = [wake, look, todo.wake, plan.deadline(pod), await self._ending.advance(pod, all=False)]
        unready = ""
        if todo.starts or state.sandbox is not None:
            wakes.append(await self._starting.keep_account(pod, now))
            unready, again = await self._starting.volumes.prepare(pod, now)
            wakes.append(again)
        if todo.starts and not unready:
            await self._starting.start_all(pod, todo.starts)
        wakes.append(await self._ports.keep(pod, now))
        self._starting.tell_back_offs(pod, todo.waiting)
        self._probing.follow(pod)
        wakes.append(self._reporting.begin(pod, todo.waiting, self._failure))
        if state.restart.begun:
            state.changed.set()  # that it has begun is told; now it goes on
        return _first(*wakes)

    def _observe(self, pod: Pod, unresolved: Mapping[str, ContainerStateWaiting]) -> plan.Observed:
        stopping = self._ending.stopping
        return plan.Observed(
            sandbox=self._state.sandbox is not None,
            histories=self._state.histories(),
            unhealthy={run: kind for run, kind in self._probing.unhealthy().items() if run not in stopping},
            hooking=frozenset(self._state.hooking),
            hook_failed=frozenset(self._starting.hook_failed - stopping),
            former=self._state.restart.former,
            restarting=self._state.restart.under_way,
            started=self._probing.started(pod),
            crashes=self._starting.crashes,
            unresolved=unresolved,
        )

    def _overdue(self, pod: Pod, now: float) -> status.Failure | None:
        """Whether the pod has been active for longer than it may."""
        until = plan.deadline(pod)
        if until is None or now < until or pod.status.phase in ("Succeeded", "Failed"):
            return None
        self._state.event("Normal", "DeadlineExceeded", status.OVERDUE.message)
        return status.OVERDUE

    def _rejection(self, pod: Pod) -> status.Failure | None:
        """Whether the node does not take the pod at all."""
        if self._state.sandbox is not None or pod.status.phase in ("Succeeded", "Failed"):
            return None
        failure = rejection(pod)
        if failure is not None:
            message = failure.message.removeprefix("Pod was rejected: ")
            self._state.event("Warning", failure.reason, message)
        return failure

    async def _check_storage(self, pod: Pod, now: float) -> float | None:
        """Whether the pod stores more than it may; gives when to look again."""
        if self._failure is not None or self._state.sandbox is None:
            return None
        self._failure, wake = await self._storage.check(pod, now)
        if self._failure is not None:
            self._state.event("Warning", self._failure.reason, self._failure.message)
        return wake

    def _grace(self, pod: Pod) -> float:
        """Seconds that the containers have when the pod ends by itself."""
        if self._failure is not None and self._failure.grace is not None:
            return self._failure.grace
        return float(pod.spec.terminationGracePeriodSeconds or 0)

    async def _lost(self, pod: Pod) -> None:
        """The sandbox died, and the pod with it: what ran is recorded as killed, and will be planned for anew."""
        await self._end_sandbox()
        if pod.metadata.deletionTimestamp is None:
            message = "Pod sandbox changed, it will be killed and re-created."
            self._state.event("Normal", "SandboxChanged", message)

    async def _finish(self, pod: Pod, grace: float) -> float | None:
        """A pod whose work is over, or that has failed: what runs is ended in order, then its sandbox goes."""
        wake = await self._end_containers(pod, grace)
        if wake is not None:
            return _first(wake, self._reporting.begin(pod, {}, self._failure))
        if self._state.sandbox is not None:
            # How its containers ended; that the sandbox is gone is a second change.
            await self._reporting.write(pod, {}, self._failure)
            await self._end_sandbox()
            self._state.free_addresses()
        await self._reporting.write(pod, {}, self._failure)
        return None

    async def _delete(self, pod: Pod) -> float | None:
        """A pod that terminates: its containers end, and then the object goes, too; last, its addresses are free."""
        wake = await self._end_containers(pod, float(pod.metadata.deletionGracePeriodSeconds or 0))
        if wake is not None:
            return _first(wake, self._reporting.begin(pod, {}, self._failure))
        if self._state.sandbox is not None:
            await self._end_sandbox()
        await self._reporting.write(pod, {}, self._failure)
        meta = pod.metadata
        try:
            await self._state.node.api.delete(
                PODS, meta.name, meta.namespace, grace_period_seconds=0, uid=meta.uid
            )
        except StatusError as error:
            if error.code not in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):  # gone, or another by now
                raise
        await self._ending.clear_away()
        # A finalizer may keep the object, terminating; there is nothing left to do for it here.
        self.finished.set()
        return None

    async def _end_containers(self, pod: Pod, grace: float) -> float | None:
        """Ends what runs, readiness probes going on; when to look again, None when nothing runs any more."""
        if self._state.sandbox is None or not self._state.running():
            return None
        self._ending.stop_all(pod, grace)
        wake = await self._ending.advance(pod, all=True)
        self._probing.follow(pod, ending=True)
        return wake

    async def _end_sandbox(self) -> None:
        await self._ports.close()
        await self._ending.end_sandbox()
        self._forget()

    def _forget(self) -> None:
        self._probing.stop()
        self._ending.forget()
        self._starting.forget()


def _first(*moments: float | None) -> float | None:
    return min((moment for moment in moments if moment is not None), default=None)


def _version(pod: Pod) -> int:
    """The resourceVersion as a number, as KEP-5504 lets clients compare it."""
    version = pod.metadata.resourceVersion
    return int(version) if version.isdecimal() else 0
