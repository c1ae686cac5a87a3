"""The types of api.apps.v1. Written by tools/generate_objects.py: change that."""

from __future__ import annotations

from typing import Any

from msgspec import field

from fairlead.objects.core_v1 import PersistentVolumeClaim, PodTemplateSpec
from fairlead.objects.meta_v1 import LabelSelector, ListMeta, ObjectMeta
from fairlead.objects.scalars import IntOrString, Object, Time, empty, text, zero


class ControllerRevision(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "ControllerRevision")
    apiVersion: str = field(default_factory=lambda: "apps/v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    data: Any | None = None
    revision: int = field(default_factory=zero)


class ControllerRevisionList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "ControllerRevisionList")
    apiVersion: str = field(default_factory=lambda: "apps/v1")
    metadata: ListMeta = field(default_factory=lambda: ListMeta())
    items: tuple[ControllerRevision, ...] = field(default_factory=empty)


class DaemonSet(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "DaemonSet")
    apiVersion: str = field(default_factory=lambda: "apps/v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    spec: DaemonSetSpec = field(default_factory=lambda: DaemonSetSpec())
    status: DaemonSetStatus = field(default_factory=lambda: DaemonSetStatus())


class DaemonSetCondition(Object, frozen=True, kw_only=True):
    type: str = field(default_factory=text)
    status: str = field(default_factory=text)
    lastTransitionTime: Time | None = None
    reason: str = ""
    message: str = ""


class DaemonSetList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "DaemonSetList")
    apiVersion: str = field(default_factory=lambda: "apps/v1")
    metadata: ListMeta = field(default_factory=lambda: ListMeta())
    items: tuple[DaemonSet, ...] = field(default_factory=empty)


class DaemonSetSpec(Object, frozen=True, kw_only=True):
    selector: LabelSelector | None = None
    template: PodTemplateSpec = field(default_factory=lambda: PodTemplateSpec())
    updateStrategy: DaemonSetUpdateStrategy = field(default_factory=lambda: DaemonSetUpdateStrategy())
    minReadySeconds: int = 0
    revisionHistoryLimit: int | None = None


class DaemonSetStatus(Object, frozen=True, kw_only=True):
    currentNumberScheduled: int = field(default_factory=zero)
    numberMisscheduled: int = field(default_factory=zero)
    desiredNumberScheduled: int = field(default_factory=zero)
    numberReady: int = field(default_factory=zero)
    observedGeneration: int = 0
    updatedNumberScheduled: int = 0
    numberAvailable: int = 0
    numberUnavailable: int = 0
    collisionCount: int | None = None
    conditions: tuple[DaemonSetCondition, ...] = ()


class DaemonSetUpdateStrategy(Object, frozen=True, kw_only=True):
    type: str = ""
    rollingUpdate: RollingUpdateDaemonSet | None = None


class Deployment(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "Deployment")
    apiVersion: str = field(default_factory=lambda: "apps/v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    spec: DeploymentSpec = field(default_factory=lambda: DeploymentSpec())
    status: DeploymentStatus = field(default_factory=lambda: DeploymentStatus())


class DeploymentCondition(Object, frozen=True, kw_only=True):
    type: str = field(default_factory=text)
    status: str = field(default_factory=text)
    lastUpdateTime: Time | None = None
    lastTransitionTime: Time | None = None
    reason: str = ""
    message: str = ""


class DeploymentList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "DeploymentList")
    apiVersion: str = field(default_factory=lambda: "apps/v1")
    metadata: ListMeta = field(default_factory=lambda: ListMeta())
    items: tuple[Deployment, ...] = field(default_factory=empty)


class DeploymentSpec(Object, frozen=True, kw_only=True):
    replicas: int | None = None
    selector: LabelSelector | None = None
    template: PodTemplateSpec = field(default_factory=lambda: PodTemplateSpec())
    strategy: DeploymentStrategy = field(default_factory=lambda: DeploymentStrategy())
    minReadySeconds: int = 0
    revisionHistoryLimit: int | None = None
    paused: bool = False
    progressDeadlineSeconds: int | None = None


class DeploymentStatus(Object, frozen=True, kw_only=True):
    observedGeneration: int = 0
    replicas: int = 0
    updatedReplicas: int = 0
    readyReplicas: int = 0
    availableReplicas: int = 0
    unavailableReplicas: int = 0
    terminatingReplicas: int | None = None
    conditions: tuple[DeploymentCondition, ...] = ()
    collisionCount: int | None = None


class DeploymentStrategy(Object, frozen=True, kw_only=True):
    type: str = ""
    rollingUpdate: RollingUpdateDeployment | None = None


class ReplicaSet(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "ReplicaSet")
    apiVersion: str = field(default_factory=lambda: "apps/v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    spec: ReplicaSetSpec = field(default_factory=lambda: ReplicaSetSpec())
    status: ReplicaSetStatus = field(default_factory=lambda: ReplicaSetStatus())


class ReplicaSetCondition(Object, frozen=True, kw_only=True):
    type: str = field(default_factory=text)
    status: str = field(default_factory=text)
    lastTransitionTime: Time | None = None
    reason: str = ""
    message: str = ""


class ReplicaSetList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "ReplicaSetList")
    apiVersion: str = field(default_factory=lambda: "apps/v1")
    metadata: ListMeta = field(default_factory=lambda: ListMeta())
    items: tuple[ReplicaSet, ...] = field(default_factory=empty)


class ReplicaSetSpec(Object, frozen=True, kw_only=True):
    replicas: int | None = None
    minReadySeconds: int = 0
    selector: LabelSelector | None = None
    template: PodTemplateSpec = field(default_factory=lambda: PodTemplateSpec())


class ReplicaSetStatus(Object, frozen=True, kw_only=True):
    replicas: int = field(default_factory=zero)
    fullyLabeledReplicas: int = 0
    readyReplicas: int = 0
    availableReplicas: int = 0
    terminatingReplicas: int | None = None
    observedGeneration: int = 0
    conditions: tuple[ReplicaSetCondition, ...] = ()


class RollingUpdateDaemonSet(Object, frozen=True, kw_only=True):
    maxUnavailable: IntOrString | None = None
    maxSurge: IntOrString | None = None


class RollingUpdateDeployment(Object, frozen=True, kw_only=True):
    maxUnavailable: IntOrString | None = None
    maxSurge: IntOrString | None = None


class RollingUpdateStatefulSetStrategy(Object, frozen=True, kw_only=True):
    partition: int | None = None
    maxUnavailable: IntOrString | None = None


class StatefulSet(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "StatefulSet")
    apiVersion: str = field(default_factory=lambda: "apps/v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    spec: StatefulSetSpec = field(default_factory=lambda: StatefulSetSpec())
    status: StatefulSetStatus = field(default_factory=lambda: StatefulSetStatus())


class StatefulSetCondition(Object, frozen=True, kw_only=True):
    type: str = field(default_factory=text)
    status: str = field(default_factory=text)
    lastTransitionTime: Time | None = None
    reason: str = ""
    message: str = ""


class StatefulSetList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "StatefulSetList")
    apiVersion: str = field(default_factory=lambda: "apps/v1")
    metadata: ListMeta = field(default_factory=lambda: ListMeta())
    items: tuple[StatefulSet, ...] = field(default_factory=empty)


class StatefulSetOrdinals(Object, frozen=True, kw_only=True):
    start: int = 0


class StatefulSetPersistentVolumeClaimRetentionPolicy(Object, frozen=True, kw_only=True):
    whenDeleted: str = ""
    whenScaled: str = ""


class StatefulSetSpec(Object, frozen=True, kw_only=True):
    replicas: int | None = None
    selector: LabelSelector | None = None
    template: PodTemplateSpec = field(default_factory=lambda: PodTemplateSpec())
    volumeClaimTemplates: tuple[PersistentVolumeClaim, ...] = ()
    serviceName: str = ""
    podManagementPolicy: str = ""
    updateStrategy: StatefulSetUpdateStrategy = field(default_factory=lambda: StatefulSetUpdateStrategy())
    revisionHistoryLimit: int | None = None
    minReadySeconds: int = 0
    persistentVolumeClaimRetentionPolicy: StatefulSetPersistentVolumeClaimRetentionPolicy | None = None
    ordinals: StatefulSetOrdinals | None = None


class StatefulSetStatus(Object, frozen=True, kw_only=True):
    observedGeneration: int = 0
    replicas: int = field(default_factory=zero)
    readyReplicas: int = 0
    currentReplicas: int = 0
    updatedReplicas: int = 0
    currentRevision: str = ""
    updateRevision: str = ""
    collisionCount: int | None = None
    conditions: tuple[StatefulSetCondition, ...] = ()
    availableReplicas: int = 0


class StatefulSetUpdateStrategy(Object, frozen=True, kw_only=True):
    type: str = ""
    rollingUpdate: RollingUpdateStatefulSetStrategy | None = None
