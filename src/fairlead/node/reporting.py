"""Writing a pod's status to the API, where it differs from what is there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from http import HTTPStatus

from fairlead.node import status
from fairlead.node.podstate import PodState
from fairlead.node.probing import Probing
from fairlead.objects.core_v1 import ContainerStateWaiting, Pod, PodStatus
from fairlead.objects.resources import PODS
from fairlead.objects.status import StatusError

SETTLING = 0.25
"""Seconds for which a fresh container's status waits for its readiness probe's first answer: one write, not two."""


class Reporting:
    """Keeps the API's view of a pod equal to what its containers do."""

    def __init__(self, state: PodState, probing: Probing) -> None:
        self._state = state
        self._probing = probing

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

    def hold_until(self, pod: Pod, now: float) -> float | None:
        """When to write at the latest if it is better to wait for a probe's first answer."""
        until = max(self._probing.unanswered(pod), default=0.0) + SETTLING
        return until if now < until else None

    async def write(
        self, pod: Pod, waiting: Mapping[str, ContainerStateWaiting], failure: status.Failure | None
    ) -> Pod | None:
        """Writes the status if it differs; gives the pod as it is then, None where nothing was written.

        Raises StatusError or OSError where the API does not take it.
        """
        changes = status.difference(pod.status, self.make(pod, waiting, failure, time.time()))
        if not changes:
            return None
        meta = pod.metadata
        patch = {"metadata": {"uid": self._state.uid}, "status": changes}
        try:
            return await self._state.node.api.patch(
                PODS, meta.name, meta.namespace, patch, kind="strategic", subresource="status"
            )
        except StatusError as error:
            if error.code in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                return None  # gone, or another by that name: the informer will say so
            raise
