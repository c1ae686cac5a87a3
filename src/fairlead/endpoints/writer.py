"""What a plan for a Service comes to: writes to the API server, which only the replica that leads may do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from msgspec.structs import replace

from fairlead.client.writer import Writer as Leader
from fairlead.client.writer import is_terminating
from fairlead.endpoints.metrics import SliceMetrics
from fairlead.endpoints.plan import Plan
from fairlead.endpoints.written import Written
from fairlead.objects.discovery_v1 import EndpointSlice
from fairlead.objects.resources import ENDPOINTSLICES, SERVICES
from fairlead.objects.status import StatusError


class Writer(Leader):
    """The writes of the endpoint controllers."""

    async def has_service(self, namespace: str, name: str) -> bool:
        """Whether there is such a Service; asks the server, for an informer may not know of one that is new."""
        try:
            await self.api.get(SERVICES, name, namespace)
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
                await self.delete(ENDPOINTSLICES, piece, conflicts=True)
            written.deleted(key, piece)
            metrics.wrote("delete")


@contextmanager
def _telling(what: str) -> Iterator[None]:
    """A refusal says what was refused, in upstream's words: it gets into an Event and the log."""
    try:
        yield
    except StatusError as error:
        raise StatusError(replace(error.status, message=f"{what}: {error}")) from error


def is_stale(error: StatusError) -> bool:
    """Whether we knew an older state than the server's: daily business, a newer one is on its way."""
    return error.code in (HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND)
