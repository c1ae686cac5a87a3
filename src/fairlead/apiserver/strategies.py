"""What is particular to writing each kind: which parts a write may set, and what else its transaction writes.

Upstream: pkg/registry/core/*/strategy.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec.structs import replace

from fairlead.objects import apps_v1, batch_v1, core_v1, jobs
from fairlead.objects.apiextensions_v1 import (
    CustomResourceDefinition,
    CustomResourceDefinitionCondition,
    CustomResourceDefinitionStatus,
)
from fairlead.store import Change, Condition, Store


class Claim(msgspec.Struct, gc=False):
    """An object as it is to be stored, with what has to be written beside it, on which conditions."""

    obj: Any
    conditions: list[Condition] = []
    changes: list[Change] = []


class Strategy:
    """The usual kind: everything in it belongs to its writer."""

    status_resets: Mapping[str, Any] = MappingProxyType({"f:spec": {}})
    """What a status update leaves as it was, as FieldsV1 (upstream: GetResetFields of the status strategies)."""

    def written(self, obj: Any, given: Any) -> Any:
        """The part of a new object that is its writer's own: without what admission has put in."""
        return obj

    def prepare_create(self, obj: Any) -> Any:
        """The object without what a creator may not set."""
        return obj

    def prepare_update(self, obj: Any, old: Any) -> Any:
        """The object with what a plain update may not change, as it was."""
        return obj

    def prepare_status(self, obj: Any, old: Any) -> Any:
        """The object with what a status update may not change, as it was."""
        return replace(obj, spec=old.spec)

    def prepare_delete(self, obj: Any) -> Any:
        """The object, marked as on its way out, with what holds it."""
        return obj

    async def claim(self, store: Store, obj: Any, old: Any | None, *, dry_run: bool) -> Claim:
        """The object with what is allocated for it."""
        return Claim(obj)

    async def release(self, store: Store, obj: Any) -> Claim:
        """What goes with the object when it is removed from the store."""
        return Claim(obj)

    def spec(self, obj: Any) -> Any:
        """The part whose changes `metadata.generation` counts."""
        return obj.spec


class StatusStrategy(Strategy):
    """Kinds with a status subresource: nothing else writes the status."""

    def prepare_create(self, obj: Any) -> Any:
        """Without a status."""
        return replace(obj, status=type(obj.status)())

    def prepare_update(self, obj: Any, old: Any) -> Any:
        """With the old status."""
        return replace(obj, status=old.status)


class DeploymentStrategy(StatusStrategy):
    """Deployments: their annotations are part of what is counted, and their labels no part of the status."""

    status_resets = MappingProxyType({"f:spec": {}, "f:metadata": {"f:labels": {}}})

    def prepare_status(self, obj: apps_v1.Deployment, old: apps_v1.Deployment) -> apps_v1.Deployment:
        """With the old spec and labels."""
        return replace(obj, spec=old.spec, metadata=replace(obj.metadata, labels=old.metadata.labels))

    def spec(self, obj: apps_v1.Deployment) -> Any:
        """Annotations too."""
        return obj.spec, obj.metadata.annotations


class JobStrategy(StatusStrategy):
    """Jobs: they find their pods by what nobody else has."""

    def prepare_create(self, obj: batch_v1.Job) -> batch_v1.Job:
        """With a selector of its own."""
        prepared: batch_v1.Job = super().prepare_create(obj)
        return jobs.selecting(prepared)


class WebhooksStrategy(Strategy):
    """Configurations of admission webhooks, which have no spec."""

    def spec(self, obj: Any) -> Any:
        """The webhooks."""
        return obj.webhooks


class PriorityClassStrategy(Strategy):
    """PriorityClasses: one of them may be that of pods which name none."""

    async def claim(self, store: Store, obj: Any, old: Any | None, *, dry_run: bool) -> Claim:
        """The only default."""
        if obj.globalDefault and (old is None or not old.globalDefault):
            from fairlead.apiserver.podpriorities import check_only_default

            await check_only_default(store, obj)
        return Claim(obj)


GATED = core_v1.PodCondition(
    type="PodScheduled",
    status="False",
    reason="SchedulingGated",
    message="Scheduling is blocked due to non-empty scheduling gates",
)
"""Upstream: applySchedulingGatedCondition."""


class PodStrategy(StatusStrategy):
    """Pods: status is the node agent's."""

    status_resets = MappingProxyType(
        {"f:spec": {}, "f:metadata": {"f:deletionTimestamp": {}, "f:ownerReferences": {}}}
    )

    def written(self, obj: core_v1.Pod, given: core_v1.Pod) -> core_v1.Pod:
        """Without the account, priority and tolerations that it was given."""
        said = given.spec
        spec = replace(
            obj.spec,
            serviceAccountName=said.serviceAccountName,
            serviceAccount=said.serviceAccount,
            priority=said.priority,
            priorityClassName=said.priorityClassName,
            preemptionPolicy=said.preemptionPolicy,
            tolerations=said.tolerations,
        )
        return replace(obj, spec=spec)

    def prepare_create(self, obj: core_v1.Pod) -> core_v1.Pod:
        """Without a status, but for what says that it waits for its gates."""
        prepared: core_v1.Pod = super().prepare_create(obj)
        if not obj.spec.schedulingGates:
            return prepared
        return replace(prepared, status=replace(prepared.status, conditions=(GATED,)))

    def prepare_status(self, obj: core_v1.Pod, old: core_v1.Pod) -> core_v1.Pod:
        """With the old spec and owners."""
        metadata, owners = obj.metadata, old.metadata.ownerReferences
        if metadata.ownerReferences is not owners:
            metadata = replace(metadata, ownerReferences=owners)
        return replace(obj, spec=old.spec, metadata=metadata)

    async def claim(self, store: Store, obj: Any, old: Any | None, *, dry_run: bool) -> Claim:
        """A new one has an account and a priority."""
        if old is not None:
            return Claim(obj)
        from fairlead.apiserver.podaccounts import with_account
        from fairlead.apiserver.podpriorities import with_priority

        return Claim(await with_priority(store, await with_account(store, obj)))


class NodeStrategy(Strategy):
    """Nodes: they come with their status, as an agent registers them."""

    def prepare_update(self, obj: core_v1.Node, old: core_v1.Node) -> core_v1.Node:
        """With the old status."""
        return replace(obj, status=old.status)


class NamespaceStrategy(Strategy):
    """Namespaces: phase and finalizer are the API's."""

    def __init__(self, authority: bytes) -> None:
        self._authority = authority

    def written(self, obj: core_v1.Namespace, given: core_v1.Namespace) -> core_v1.Namespace:
        """Without the finalizer."""
        return replace(obj, spec=given.spec)

    def prepare_create(self, obj: core_v1.Namespace) -> core_v1.Namespace:
        """Active, held by the finalizer that empties it at its end."""
        return replace(
            obj,
            spec=core_v1.NamespaceSpec(finalizers=tuple(dict.fromkeys((*obj.spec.finalizers, "kubernetes")))),
            status=core_v1.NamespaceStatus(phase="Active"),
        )

    def prepare_update(self, obj: core_v1.Namespace, old: core_v1.Namespace) -> core_v1.Namespace:
        """With the old finalizers and status."""
        return replace(obj, spec=old.spec, status=old.status)

    async def claim(self, store: Store, obj: Any, old: Any | None, *, dry_run: bool) -> Claim:
        """A new one comes with the objects that pods in it count on."""
        if old is not None:
            return Claim(obj)
        from fairlead.apiserver.namespaces import furnishing

        return Claim(obj, [], furnishing(obj.metadata.name, self._authority))


class EndpointSliceStrategy(Strategy):
    """EndpointSlices: all of it is spec."""

    def spec(self, obj: Any) -> Any:
        """Everything but metadata."""
        return (obj.addressType, obj.endpoints, obj.ports)


class SecretStrategy(Strategy):
    """Secrets: what is given as text is stored as bytes."""

    def prepare_create(self, obj: core_v1.Secret) -> core_v1.Secret:
        """With `stringData` moved into `data`."""
        if not obj.stringData:
            return obj
        texts = {name: text.encode() for name, text in obj.stringData.items()}
        return replace(obj, data={**obj.data, **texts}, stringData={})

    def prepare_update(self, obj: core_v1.Secret, old: core_v1.Secret) -> core_v1.Secret:
        """The same; a type that was left out stays."""
        prepared = self.prepare_create(obj)
        return replace(prepared, type=prepared.type or old.type)


CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
"""The finalizer that holds a definition while there are instances of it."""


def with_condition(
    obj: CustomResourceDefinition, condition: CustomResourceDefinitionCondition
) -> CustomResourceDefinition:
    """A definition with a condition; its time is that of the last change of its status."""
    conditions = obj.status.conditions
    old = next((one for one in conditions if one.type == condition.type), None)
    if old is None:
        return replace(obj, status=replace(obj.status, conditions=(*conditions, condition)))
    if old.status == condition.status:
        condition = replace(condition, lastTransitionTime=old.lastTransitionTime)
    changed = tuple(condition if one is old else one for one in conditions)
    return replace(obj, status=replace(obj.status, conditions=changed))


class DefinitionStrategy(StatusStrategy):
    """Definitions of custom resources: the versions ever stored are counted, and instances go first."""

    def prepare_create(self, obj: CustomResourceDefinition) -> CustomResourceDefinition:
        """Without a status but for the version that is stored."""
        return self._storing(replace(obj, status=CustomResourceDefinitionStatus()))

    def prepare_update(
        self, obj: CustomResourceDefinition, old: CustomResourceDefinition
    ) -> CustomResourceDefinition:
        """With the old status, and the version that is stored from now on."""
        return self._storing(replace(obj, status=old.status))

    def prepare_status(
        self, obj: CustomResourceDefinition, old: CustomResourceDefinition
    ) -> CustomResourceDefinition:
        """With the old spec and metadata."""
        metadata = replace(old.metadata, resourceVersion=obj.metadata.resourceVersion)
        return replace(obj, spec=old.spec, metadata=metadata)

    def prepare_delete(self, obj: CustomResourceDefinition) -> CustomResourceDefinition:
        """Held until its instances are gone."""
        metadata = obj.metadata
        if CLEANUP not in metadata.finalizers:
            metadata = replace(metadata, finalizers=(*metadata.finalizers, CLEANUP))
        ending = CustomResourceDefinitionCondition(
            type="Terminating",
            status="True",
            lastTransitionTime=metadata.deletionTimestamp,
            reason="InstanceDeletionInProgress",
            message="CustomResource deletion is in progress",
        )
        return with_condition(replace(obj, metadata=metadata), ending)

    @staticmethod
    def _storing(obj: CustomResourceDefinition) -> CustomResourceDefinition:
        stored = obj.status.storedVersions
        names = (version.name for version in obj.spec.versions if version.storage)
        name = next(names, None)
        if name is None or name in stored:
            return obj
        return replace(obj, status=replace(obj.status, storedVersions=(*stored, name)))
