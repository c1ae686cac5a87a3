"""Writes to the API server, which only the replica that leads may do."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Literal, TypeVar

from fairlead.client.api import Api
from fairlead.client.informer import trimmed
from fairlead.objects.resources import Resource, Stored
from fairlead.objects.status import StatusError

S = TypeVar("S", bound=Stored)


class Writer:
    """Asks before each write whether we still lead: a process that slept through its lease must not go on.

    What it gives of an answer is what an informer would show, so that the next write may be made of it.
    """

    def __init__(self, api: Api, check: Callable[[], None] = lambda: None) -> None:
        """`check` raises `OSError` when we do not lead."""
        self.api = api
        self._check = check

    async def create(self, resource: Resource[S], obj: S) -> S:
        """The object as the server made it."""
        self._check()
        return trimmed(await self.api.create(resource, obj))

    async def replace(self, resource: Resource[S], obj: S, subresource: str = "") -> S:
        """The object as the server has it now; 409 if ours was not the newest."""
        self._check()
        return trimmed(await self.api.replace(resource, obj, subresource))

    async def patch(
        self,
        resource: Resource[S],
        obj: Stored,
        patch: Any,
        *,
        kind: Literal["merge", "strategic", "json"] = "merge",
        subresource: str = "",
    ) -> S:
        """The object with the patch in it."""
        self._check()
        meta = obj.metadata
        return trimmed(
            await self.api.patch(
                resource, meta.name, meta.namespace, patch, kind=kind, subresource=subresource
            )
        )

    async def delete(
        self,
        resource: Resource[Any],
        obj: Stored,
        *,
        propagation_policy: str = "",
        grace_period_seconds: int | None = None,
        conflicts: bool = False,
    ) -> None:
        """Deletes this very object; it is well if it is gone already.

        A conflict says so, too: another object has taken the name. With `conflicts` it is raised, for those who
        believe from now on that the object is gone.
        """
        self._check()
        meta = obj.metadata
        try:
            await self.api.delete(
                resource,
                meta.name,
                meta.namespace,
                uid=meta.uid,
                propagation_policy=propagation_policy,
                grace_period_seconds=grace_period_seconds,
            )
        except StatusError as error:
            gone = (HTTPStatus.NOT_FOUND,) if conflicts else (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)
            if error.code not in gone:
                raise


def is_terminating(error: StatusError) -> bool:
    """Whether the namespace is going away: it takes no more objects, and those in it go by themselves."""
    details = error.status.details
    return details is not None and any(cause.reason == "NamespaceTerminating" for cause in details.causes)
