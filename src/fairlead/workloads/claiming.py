"""Which objects an owner has: its own, those without an owner that it may adopt, and those that it has to release.

Upstream: pkg/controller/controller_ref_manager.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Generic, TypeVar

from fairlead.client.events import Described
from fairlead.client.writer import Writer
from fairlead.objects.labels import Selector
from fairlead.objects.meta_v1 import ObjectMeta, OwnerReference
from fairlead.objects.resources import Resource, Stored
from fairlead.objects.status import StatusError

T = TypeVar("T", bound=Stored)


def controller_of(obj: Stored) -> OwnerReference | None:
    """The owner that controls the object; there is at most one."""
    return next((owner for owner in obj.metadata.ownerReferences if owner.controller), None)


def controller_reference(owner: Described) -> OwnerReference:
    """The reference that an object of this owner has (upstream: metav1.NewControllerRef)."""
    return OwnerReference(
        apiVersion=owner.apiVersion,
        kind=owner.kind,
        name=owner.metadata.name,
        uid=owner.metadata.uid,
        controller=True,
        blockOwnerDeletion=True,
    )


@dataclass(frozen=True)
class Claim(Generic[T]):
    """What of some objects is an owner's. An object stands in one of the three, or in none."""

    owned: tuple[T, ...] = ()
    adopt: tuple[T, ...] = ()
    """They are nobody's, and selected."""
    release: tuple[T, ...] = ()
    """They are the owner's, but not selected any more."""


def claim(owner: ObjectMeta, selector: Selector, objects: Iterable[T]) -> Claim[T]:
    """Sorts the objects, all of the owner's namespace. An owner that is being deleted adopts and releases nothing."""
    owned, adopt, release = [], [], []
    for obj in objects:
        controller = controller_of(obj)
        selected = selector.matches(obj.metadata.labels)
        if controller is not None:
            if controller.uid != owner.uid:
                continue
            if selected:
                owned.append(obj)
            elif owner.deletionTimestamp is None:
                release.append(obj)
        elif selected and owner.deletionTimestamp is None and obj.metadata.deletionTimestamp is None:
            adopt.append(obj)
    return Claim(tuple(owned), tuple(adopt), tuple(release))


class Claimer(Generic[T]):
    """Carries claims out for the objects of one resource."""

    def __init__(self, writer: Writer, owners: Resource[Any], objects: Resource[T]) -> None:
        self._writer = writer
        self._owners = owners
        self._objects = objects

    async def take(
        self, owner: Described, selector: Selector, objects: Iterable[T], finalizers: tuple[str, ...] = ()
    ) -> tuple[T, ...]:
        """The owner's objects, with those just adopted, which get the finalizers; without those released.

        Raises the first refusal when all is tried.
        """
        found = claim(owner.metadata, selector, objects)
        taken, refusals = list(found.owned), []
        adopt = found.adopt
        if adopt and not await self._may_adopt(owner):
            adopt = ()
        for obj in adopt:
            try:
                taken.append(await self._adopt(owner, obj, finalizers))
            except StatusError as error:
                if error.code != HTTPStatus.NOT_FOUND:
                    refusals.append(error)
        for obj in found.release:
            try:
                await self._release(owner, obj, finalizers)
            except StatusError as error:
                # gone, or not ours any more
                if error.code not in (HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY):
                    refusals.append(error)
        if refusals:
            raise refusals[0]
        return tuple(taken)

    async def _may_adopt(self, owner: Described) -> bool:
        """Whether the server still has the owner, not deleted (upstream: RecheckDeletionTimestamp)."""
        meta = owner.metadata
        try:
            now = (await self._writer.api.get(self._owners, meta.name, meta.namespace)).metadata
        except StatusError as error:
            if error.code == HTTPStatus.NOT_FOUND:
                return False
            raise
        return bool(now.uid == meta.uid and now.deletionTimestamp is None)

    async def _adopt(self, owner: Described, obj: T, finalizers: tuple[str, ...]) -> T:
        metadata: dict[str, object] = {
            "uid": obj.metadata.uid,
            "ownerReferences": [controller_reference(owner)],
        }
        if finalizers:
            metadata["finalizers"] = finalizers
        return await self._writer.patch(self._objects, obj, {"metadata": metadata}, kind="strategic")

    async def _release(self, owner: Described, obj: T, finalizers: tuple[str, ...]) -> None:
        reference = {"$patch": "delete", "uid": owner.metadata.uid}
        metadata: dict[str, object] = {"uid": obj.metadata.uid, "ownerReferences": [reference]}
        if finalizers:
            metadata["$deleteFromPrimitiveList/finalizers"] = finalizers
        await self._writer.patch(self._objects, obj, {"metadata": metadata}, kind="strategic")
