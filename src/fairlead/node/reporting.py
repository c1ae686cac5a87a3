"""Writing a pod's status to the API, where it differs from what is there.

In the background while the pod runs: it must not wait for an API server that does not answer. Upstream: the status
manager (pkg/kubelet/status).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from fairlead.client.retry import Backoff
from fairlead.node import status
from fairlead.node.podstate import PodState
from fairlead.node.probing import Probing
from fairlead.objects.core_v1 import ContainerStateWaiting, Pod, PodStatus
from fairlead.objects.resources import PODS
from fairlead.objects.status import StatusError

log = logging.getLogger("fairlead.node")

SETTLING = 0.25
"""Seconds for which a fresh container's status waits for its readiness probe's first answer: one write, not two."""


class Reporting:
    """Keeps the API's view of a pod equal to what its containers do; `written` is told what the API has then."""

    def __init__(self, state: PodState, probing: Probing, written: Callable[[Pod], None]) -> None:
        self._state = state
        self._probing = probing
        self._written = written
        self._writing: asyncio.Task[None] | None = None
        self._asked = False
        """Whether the pod was to be looked at again while that was under way."""
        self._backoff = Backoff(limit=5.0)
        self._again = 0.0
        """When to try again after a failure, on the monotonic clock."""

    def make(
        self,
        pod: Pod,
        waiting: Mapping[str, ContainerStateWaiting],
        failure: status.Failure | None,
        now: float,
    ) -> PodStatus:
        """The status as it should be now."""
        state = self._state
        facts = status.Facts(
            host_ips=state.node.config.addresses,
            pod_ips=state.ips(pod),
            sandbox=state.sandbox is not None,
            histories=state.histories(),
            waiting=waiting,
            ready=self._probing.ready(pod),
            started=self._probing.started(pod),
            hooking=frozenset(state.hooking),
            former=state.restart.former,
            restarting=state.restart.under_way,
            failure=failure,
        )
        return status.make(pod, facts, now)

    def begin(
        self, pod: Pod, waiting: Mapping[str, ContainerStateWaiting], failure: status.Failure | None
    ) -> float | None:
        """Begins to write the status if it differs; gives when to come again.

        That is not now while it is better to wait for a probe's first answer, or after a failure; while the last
        status is being written the pod is looked at again when that is done.
        """
        now = time.time()
        hold = self._hold_until(pod, now)
        if self._writing is not None:
            self._asked = True
        if hold is not None or self._writing is not None:
            return hold
        pod = self._state.pod or pod
        changes = status.difference(pod.status, self.make(pod, waiting, failure, now))
        if not changes:
            return None
        rest = self._again - time.monotonic()
        if rest > 0:
            return now + rest
        self._writing = asyncio.create_task(self._try(pod, changes))
        return None

    async def write(
        self, pod: Pod, waiting: Mapping[str, ContainerStateWaiting], failure: status.Failure | None
    ) -> None:
        """Writes the status if it differs, now. Raises StatusError or OSError where the API does not take it."""
        if self._writing is not None:
            await asyncio.wait([self._writing])
        pod = self._state.pod or pod  # with what has been written since
        changes = status.difference(pod.status, self.make(pod, waiting, failure, time.time()))
        if changes:
            await self._send(pod, changes)

    def stop(self) -> None:
        """Writes nothing any more."""
        if self._writing is not None:
            self._writing.cancel()

    def _hold_until(self, pod: Pod, now: float) -> float | None:
        until = max(self._probing.unanswered(pod), default=0.0) + SETTLING
        return until if now < until <= now + SETTLING else None  # later only if the clock was set back

    async def _try(self, pod: Pod, changes: Mapping[str, Any]) -> None:
        try:
            await self._send(pod, changes)
        except (StatusError, OSError) as error:
            log.warning("pod %s: %s", self._state.name, error)
            self._failed()
        except Exception:
            log.exception("pod %s: a defect", self._state.name)
            self._failed()
        else:
            self._again = 0.0
            self._backoff.reset()
        finally:
            self._writing = None
            if self._asked:  # what was written may be known already, by the informer
                self._asked = False
                self._state.changed.set()

    def _failed(self) -> None:
        self._again = time.monotonic() + self._backoff.next()
        self._state.changed.set()

    async def _send(self, pod: Pod, changes: Mapping[str, Any]) -> None:
        meta = pod.metadata
        patch = {"metadata": {"uid": self._state.uid}, "status": changes}
        try:
            written = await self._state.node.api.patch(
                PODS, meta.name, meta.namespace, patch, kind="strategic", subresource="status"
            )
        except StatusError as error:
            if error.code not in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                raise  # else it is gone, or another by that name: the informer will say so
        else:
            self._written(written)
