"""The types of apimachinery.pkg.apis.meta.v1. Written by tools/generate_objects.py: change that."""

from __future__ import annotations

from typing import Any

from msgspec import Raw, field

from fairlead.objects.scalars import Object, Time, empty, no, text


class APIGroup(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "APIGroup")
    apiVersion: str = field(default_factory=lambda: "v1")
    name: str = field(default_factory=text)
    versions: tuple[GroupVersionForDiscovery, ...] = field(default_factory=empty)
    preferredVersion: GroupVersionForDiscovery | None = None
    serverAddressByClientCIDRs: tuple[ServerAddressByClientCIDR, ...] = ()


class APIGroupList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "APIGroupList")
    apiVersion: str = field(default_factory=lambda: "v1")
    groups: tuple[APIGroup, ...] = field(default_factory=empty)


class APIResource(Object, frozen=True, kw_only=True):
    name: str = field(default_factory=text)
    singularName: str = field(default_factory=text)
    namespaced: bool = field(default_factory=no)
    group: str = ""
    version: str = ""
    kind: str = field(default_factory=text)
    verbs: tuple[str, ...] = field(default_factory=empty)
    shortNames: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    storageVersionHash: str = ""


class APIResourceList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "APIResourceList")
    apiVersion: str = field(default_factory=lambda: "v1")
    groupVersion: str = field(default_factory=text)
    resources: tuple[APIResource, ...] = field(default_factory=empty)


class Condition(Object, frozen=True, kw_only=True):
    type: str = field(default_factory=text)
    status: str = field(default_factory=text)
    observedGeneration: int = 0
    lastTransitionTime: Time | None = None
    reason: str = field(default_factory=text)
    message: str = field(default_factory=text)


class CreateOptions(Object, frozen=True, kw_only=True):
    dryRun: tuple[str, ...] = ()
    fieldManager: str = ""
    fieldValidation: str = ""


class DeleteOptions(Object, frozen=True, kw_only=True):
    gracePeriodSeconds: int | None = None
    preconditions: Preconditions | None = None
    orphanDependents: bool | None = None
    propagationPolicy: str | None = None
    dryRun: tuple[str, ...] = ()
    ignoreStoreReadErrorWithClusterBreakingPotential: bool = False


class FieldSelectorRequirement(Object, frozen=True, kw_only=True):
    key: str = field(default_factory=text)
    operator: str = field(default_factory=text)
    values: tuple[str, ...] = ()


class GetOptions(Object, frozen=True, kw_only=True):
    resourceVersion: str = ""


class GroupVersionForDiscovery(Object, frozen=True, kw_only=True):
    groupVersion: str = field(default_factory=text)
    version: str = field(default_factory=text)


class LabelSelector(Object, frozen=True, kw_only=True):
    matchLabels: dict[str, str] = {}
    matchExpressions: tuple[LabelSelectorRequirement, ...] = ()


class LabelSelectorRequirement(Object, frozen=True, kw_only=True):
    key: str = field(default_factory=text)
    operator: str = field(default_factory=text)
    values: tuple[str, ...] = ()


class ListMeta(Object, frozen=True, kw_only=True, rename={"continue_": "continue"}):
    selfLink: str = ""
    resourceVersion: str = ""
    continue_: str = ""
    remainingItemCount: int | None = None
    shardInfo: ShardInfo | None = None


class ListOptions(Object, frozen=True, kw_only=True, rename={"continue_": "continue"}):
    labelSelector: str = ""
    fieldSelector: str = ""
    watch: bool = False
    allowWatchBookmarks: bool = False
    resourceVersion: str = ""
    resourceVersionMatch: str = ""
    timeoutSeconds: int = 0
    limit: int = 0
    continue_: str = ""
    sendInitialEvents: bool = False
    shardSelector: str = ""


class ManagedFieldsEntry(Object, frozen=True, kw_only=True):
    manager: str = ""
    operation: str = ""
    apiVersion: str = ""
    time: Time | None = None
    fieldsType: str = ""
    fieldsV1: Raw = Raw()
    subresource: str = ""


class ObjectMeta(Object, frozen=True, kw_only=True):
    name: str = ""
    generateName: str = ""
    namespace: str = ""
    selfLink: str = ""
    uid: str = ""
    resourceVersion: str = ""
    generation: int = 0
    creationTimestamp: Time | None = None
    deletionTimestamp: Time | None = None
    deletionGracePeriodSeconds: int | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    ownerReferences: tuple[OwnerReference, ...] = ()
    finalizers: tuple[str, ...] = ()
    managedFields: tuple[ManagedFieldsEntry, ...] = ()


class OwnerReference(Object, frozen=True, kw_only=True):
    apiVersion: str = field(default_factory=text)
    kind: str = field(default_factory=text)
    name: str = field(default_factory=text)
    uid: str = field(default_factory=text)
    controller: bool | None = None
    blockOwnerDeletion: bool | None = None


class PartialObjectMetadata(Object, frozen=True, kw_only=True):
    metadata: ObjectMeta | None = None


class PartialObjectMetadataList(Object, frozen=True, kw_only=True):
    metadata: ListMeta | None = None
    items: tuple[PartialObjectMetadata, ...] = ()


class PatchOptions(Object, frozen=True, kw_only=True):
    dryRun: tuple[str, ...] = ()
    force: bool = False
    fieldManager: str = ""
    fieldValidation: str = ""


class Preconditions(Object, frozen=True, kw_only=True):
    uid: str | None = None
    resourceVersion: str | None = None


class ServerAddressByClientCIDR(Object, frozen=True, kw_only=True):
    clientCIDR: str = field(default_factory=text)
    serverAddress: str = field(default_factory=text)


class ShardInfo(Object, frozen=True, kw_only=True):
    selector: str = field(default_factory=text)


class Status(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "Status")
    apiVersion: str = field(default_factory=lambda: "v1")
    metadata: ListMeta = field(default_factory=lambda: ListMeta())
    status: str = ""
    message: str = ""
    reason: str = ""
    details: StatusDetails | None = None
    code: int = 0


class StatusCause(Object, frozen=True, kw_only=True):
    reason: str = ""
    message: str = ""
    field: str = ""


class StatusDetails(Object, frozen=True, kw_only=True):
    name: str = ""
    group: str = ""
    kind: str = ""
    uid: str = ""
    causes: tuple[StatusCause, ...] = ()
    retryAfterSeconds: int = 0


class UpdateOptions(Object, frozen=True, kw_only=True):
    dryRun: tuple[str, ...] = ()
    fieldManager: str = ""
    fieldValidation: str = ""


class WatchEvent(Object, frozen=True, kw_only=True):
    type: str = field(default_factory=text)
    object: Any | None = None
