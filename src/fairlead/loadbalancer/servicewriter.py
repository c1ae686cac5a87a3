"""What is written on Services: addresses, our condition and our finalizer, where they are not as they should be."""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from fairlead.client.api import Api
from fairlead.loadbalancer.allocation import Given, Refused
from fairlead.loadbalancer.reports import ALLOCATED, condition, known
from fairlead.loadbalancer.requests import held_by
from fairlead.loadbalancer.written import Written
from fairlead.objects.core_v1 import Service
from fairlead.objects.resources import SERVICES
from fairlead.objects.scalars import timestamp
from fairlead.objects.status import StatusError

FINALIZER = "service.kubernetes.io/load-balancer-cleanup"
"""Upstream: k8s.io/cloud-provider/service/helpers."""


def was_ours(service: Service) -> bool:
    """Whether our condition is on the Service; the finalizer alone may be another provider's."""
    return known(service.status, ALLOCATED) is not None


class ServiceWriter:
    """Writes only what differs. Raises OSError and StatusError; 409 where the Service is another one by now."""

    def __init__(self, api: Api, written: Written, check: Callable[[], None]) -> None:
        """`check` is asked before each write, see `controller.run`; `written` hears of each."""
        self._api = api
        self._written = written
        self._check = check

    async def give(self, service: Service, found: Given | Refused) -> None:
        """The status first: by its condition, a Service with the finalizer is known as ours, whatever becomes of it."""
        meta = service.metadata
        addresses = found.addresses if isinstance(found, Given) else ()
        status: dict[str, Any] = {}
        wanted = [{"ip": str(address), "ipMode": "VIP"} for address in addresses]
        current = service.status.loadBalancer.ingress if service.status is not None else ()
        if [(each["ip"], each["ipMode"]) for each in wanted] != [(i.ip, i.ipMode or "VIP") for i in current]:
            status["loadBalancer"] = {"ingress": wanted or None}
        now, before = condition(found), known(service.status, ALLOCATED)
        if now != before:
            written: dict[str, Any] = {
                "type": now.type,
                "status": now.status,
                "reason": now.reason,
                "message": now.message,
                "observedGeneration": meta.generation or 0,
            }
            if before is None or before.status != now.status:
                written["lastTransitionTime"] = timestamp(time.time())
            status["conditions"] = [written]
        if status:
            service = await self._patch(service, {"status": status}, "status")
        if addresses and FINALIZER not in service.metadata.finalizers:
            # Not if somebody has written meanwhile: another replica may have let the Service go.
            await self._patch(service, {"metadata": {"finalizers": [FINALIZER]}}, as_it_is=True)

    async def let_go(self, service: Service, *, theirs: bool) -> Service:
        """Nothing of ours stays; addresses and finalizer do, if they are another provider's by now."""
        meta = service.metadata
        gone = meta.deletionTimestamp is not None and set(meta.finalizers) <= {FINALIZER}
        status: dict[str, Any] = {}
        if held_by(service) and not theirs:
            status["loadBalancer"] = {"ingress": None}
        if was_ours(service):
            status["conditions"] = [{"type": ALLOCATED, "$patch": "delete"}]
        try:
            # The condition last: without it nobody would know that the finalizer is ours.
            if FINALIZER in meta.finalizers and not theirs:
                patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": [FINALIZER]}}
                service = await self._patch(service, patch)
            if status and not gone:
                await self._patch(service, {"status": status}, "status", as_it_is=True)
        except StatusError as error:
            if error.code != HTTPStatus.NOT_FOUND:
                raise
        return service

    async def _patch(
        self, service: Service, patch: dict[str, Any], subresource: str = "", *, as_it_is: bool = False
    ) -> Service:
        """The Service with the patch; 409 if it is another one now, or, with `as_it_is`, not as we know it."""
        self._check()
        meta = service.metadata
        patch["metadata"] = {**patch.get("metadata", {}), "uid": meta.uid}
        if as_it_is:
            patch["metadata"]["resourceVersion"] = meta.resourceVersion
        written = await self._api.patch(
            SERVICES, meta.name, meta.namespace, patch, kind="strategic", subresource=subresource
        )
        self._written.put(written)
        return written
