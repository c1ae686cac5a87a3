"""The types of api.batch.v1. Written by tools/generate_objects.py: change that."""

from __future__ import annotations

from msgspec import field

from fairlead.objects.core_v1 import ObjectReference, PodTemplateSpec
from fairlead.objects.meta_v1 import LabelSelector, ListMeta, ObjectMeta
from fairlead.objects.scalars import Object, Time, empty, text


class CronJob(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "CronJob")
    apiVersion: str = field(default_factory=lambda: "batch/v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    spec: CronJobSpec = field(default_factory=lambda: CronJobSpec())
    status: CronJobStatus = field(default_factory=lambda: CronJobStatus())


class CronJobList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "CronJobList")
    apiVersion: str = field(default_factory=lambda: "batch/v1")
    metadata: ListMeta = field(default_factory=lambda: ListMeta())
    items: tuple[CronJob, ...] = field(default_factory=empty)


class CronJobSpec(Object, frozen=True, kw_only=True):
    schedule: str = field(default_factory=text)
    timeZone: str | None = None
    startingDeadlineSeconds: int | None = None
    concurrencyPolicy: str = ""
    suspend: bool | None = None
    jobTemplate: JobTemplateSpec = field(default_factory=lambda: JobTemplateSpec())
    successfulJobsHistoryLimit: int | None = None
    failedJobsHistoryLimit: int | None = None


class CronJobStatus(Object, frozen=True, kw_only=True):
    active: tuple[ObjectReference, ...] = ()
    lastScheduleTime: Time | None = None
    lastSuccessfulTime: Time | None = None


class Job(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "Job")
    apiVersion: str = field(default_factory=lambda: "batch/v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    spec: JobSpec = field(default_factory=lambda: JobSpec())
    status: JobStatus = field(default_factory=lambda: JobStatus())


class JobCondition(Object, frozen=True, kw_only=True):
    type: str = field(default_factory=text)
    status: str = field(default_factory=text)
    lastProbeTime: Time | None = None
    lastTransitionTime: Time | None = None
    reason: str = ""
    message: str = ""


class JobList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "JobList")
    apiVersion: str = field(default_factory=lambda: "batch/v1")
    metadata: ListMeta = field(default_factory=lambda: ListMeta())
    items: tuple[Job, ...] = field(default_factory=empty)


class JobSpec(Object, frozen=True, kw_only=True):
    parallelism: int | None = None
    completions: int | None = None
    activeDeadlineSeconds: int | None = None
    podFailurePolicy: PodFailurePolicy | None = None
    successPolicy: SuccessPolicy | None = None
    backoffLimit: int | None = None
    backoffLimitPerIndex: int | None = None
    maxFailedIndexes: int | None = None
    selector: LabelSelector | None = None
    manualSelector: bool | None = None
    template: PodTemplateSpec = field(default_factory=lambda: PodTemplateSpec())
    ttlSecondsAfterFinished: int | None = None
    completionMode: str | None = None
    suspend: bool | None = None
    podReplacementPolicy: str | None = None
    managedBy: str | None = None


class JobStatus(Object, frozen=True, kw_only=True):
    conditions: tuple[JobCondition, ...] = ()
    startTime: Time | None = None
    completionTime: Time | None = None
    active: int = 0
    succeeded: int = 0
    failed: int = 0
    terminating: int | None = None
    completedIndexes: str = ""
    failedIndexes: str | None = None
    uncountedTerminatedPods: UncountedTerminatedPods | None = None
    ready: int | None = None


class JobTemplateSpec(Object, frozen=True, kw_only=True):
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    spec: JobSpec = field(default_factory=lambda: JobSpec())


class PodFailurePolicy(Object, frozen=True, kw_only=True):
    rules: tuple[PodFailurePolicyRule, ...] = field(default_factory=empty)


class PodFailurePolicyOnExitCodesRequirement(Object, frozen=True, kw_only=True):
    containerName: str = ""
    operator: str = field(default_factory=text)
    values: tuple[int, ...] = field(default_factory=empty)


class PodFailurePolicyOnPodConditionsPattern(Object, frozen=True, kw_only=True):
    type: str = field(default_factory=text)
    status: str = ""


class PodFailurePolicyRule(Object, frozen=True, kw_only=True):
    action: str = field(default_factory=text)
    onExitCodes: PodFailurePolicyOnExitCodesRequirement | None = None
    onPodConditions: tuple[PodFailurePolicyOnPodConditionsPattern, ...] = ()


class SuccessPolicy(Object, frozen=True, kw_only=True):
    rules: tuple[SuccessPolicyRule, ...] = field(default_factory=empty)


class SuccessPolicyRule(Object, frozen=True, kw_only=True):
    succeededIndexes: str = ""
    succeededCount: int = 0


class UncountedTerminatedPods(Object, frozen=True, kw_only=True):
    succeeded: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
