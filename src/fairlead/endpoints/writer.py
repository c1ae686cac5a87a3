"""Writes to the API server, which only the replica that leads may do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, TypeVar

from msgspec.structs import replace

from fairlead.client.api import Api
from fairlead.endpoints.metrics import SliceMetrics
from fairlead.endpoints.plan import Plan
from fairlead.endpoints.written import Written
from fairlead.objects.discovery_v1 import EndpointSlice
from fairlead.objects.resources import ENDPOINTSLICES, SERVICES, Resource, Stored
from fairlead.objects.status import StatusError

S = TypeVar("S", bound=Stored)


class Writer:
    """Asks before each write whether we still lead: a process that slept through its lease must not go on."""

    def __init__(self, api: Api, check: Callable[[], None]) -> None:
        """`check` raises `OSError` when we do not lead."""
        self._api = api
        self._check = check

    async def create(self, resource: Resource[S], obj: S) -> S:
        """The object as the server made it."""
        self._check()
        return await self._api.create(resource, obj)

    async def replace(self, resource: Resource[S], obj: S) -> S:
        """The object as the server has it now."""
        self._check()
        return await self._api.replace(resource, obj)

    async def delete(self, resource: Resource[Any], obj: Stored) -> None:
        """Deletes this very object; it is well if it is gone already."""
        self._check()
        meta = obj.metadata
        try:
            await self._api.delete(resource, meta.name, meta.namespace, uid=meta.uid)
        except StatusError as error:
            # a conflict says that another object has taken the name since
            if error.code not in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                raise

    async def has_service(self, namespace: str, name: str) -> bool:
        """Whether there is such a Service; asks the server, for an informer may not know of one that is new."""
        try:
            await self._api.get(SERVICES, name, namespace)
        except StatusError as error:
            if error.code == HTTPStatus.NOT_FOUND:
                return False
            raise
        return True

    async def carry_out(
        self, plan: Plan, owner: str, key: str, written: Written[EndpointSlice], metrics: SliceMetrics
    ) -> None:
        """Writes what the plan says of the slices of `owner`, "Service" say, and notes each answer.

        A family that the server refuses does not hold the other one up. Raises the first refusal when all is tried;
        what was left out is planned again. A namespace that goes away takes no more slices: that is no refusal.
        """
        refusals = []
        with written.writing(key):
            for family in dict.fromkeys(s.addressType for s in (*plan.create, *plan.update, *plan.delete)):
                try:
                    await self._carry_out(plan.of(family), f"{owner} {key}", key, written, metrics)
                except StatusError as error:
                    if not is_terminating(error):
                        refusals.append(error)
        if refusals:
            raise refusals[0]

    async def _carry_out(
        self, plan: Plan, whose: str, key: str, written: Written[EndpointSlice], metrics: SliceMetrics
    ) -> None:
        for piece in plan.create:
            with _telling(f"failed to create EndpointSlice for {whose}"):
                written.wrote(key, await self.create(ENDPOINTSLICES, piece))
            metrics.wrote("create")
        for piece in plan.update:
            with _telling(f"failed to update {piece.metadata.name} EndpointSlice for {whose}"):
                try:
                    written.wrote(key, await self.replace(ENDPOINTSLICES, piece))
                except StatusError:
                    written.refused(key, piece)
                    raise
            metrics.wrote("update")
        for piece in plan.delete:
            with _telling(f"failed to delete {piece.metadata.name} EndpointSlice for {whose}"):
                await self.delete(ENDPOINTSLICES, piece)
            written.deleted(key, piece)
            metrics.wrote("delete")


@contextmanager
def _telling(what: str) -> Iterator[None]:
    """A refusal says what was refused, in upstream's words: it gets into an Event and the log."""
    try:
        yield
    except StatusError as error:
        raise StatusError(replace(error.status, message=f"{what}: {error}")) from error


def is_terminating(error: StatusError) -> bool:
    """Whether the namespace is going away: it takes no more objects, and those in it go by themselves."""
    details = error.status.details
    return details is not None and any(cause.reason == "NamespaceTerminating" for cause in details.causes)


def is_stale(error: StatusError) -> bool:
    """Whether we knew an older state than the server's: daily business, a newer one is on its way."""
    return error.code in (HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND)
